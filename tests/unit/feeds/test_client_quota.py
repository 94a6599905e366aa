"""The quota of new keywords, with the time as a value."""

from datetime import UTC, datetime, timedelta

import pytest

from feedsrv.errors import QuotaExceededError
from feedsrv.feeds.client_quota import ClientQuota

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_a_client_may_use_a_quarter_of_its_quota_at_once_and_the_rest_over_the_hour() -> None:
    quota = ClientQuota(per_hour=12)
    for _ in range(3):
        quota.consume("a", NOON)
    with pytest.raises(QuotaExceededError) as caught:
        quota.consume("a", NOON)
    assert caught.value.retry_after == 300
    quota.consume("b", NOON)  # another client has its own quota
    quota.consume("a", NOON + timedelta(minutes=5))
    with pytest.raises(QuotaExceededError):
        quota.consume("a", NOON + timedelta(minutes=5))


def test_the_least_recently_used_clients_are_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedsrv.feeds.client_quota._MAX_CLIENTS", 2)
    quota = ClientQuota(per_hour=4)
    for client in ("a", "b", "c"):
        quota.consume(client, NOON)
    quota.consume("a", NOON)
    with pytest.raises(QuotaExceededError):
        quota.consume("c", NOON)


def test_a_quota_of_zero_is_no_limit() -> None:
    quota = ClientQuota(per_hour=0)
    for _ in range(1000):
        quota.consume("a", NOON)
