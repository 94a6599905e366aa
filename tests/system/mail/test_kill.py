"""`feedsrv mail`, killed again and again while it sends."""

import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from feedsrv.cli import main
from tests.support.mail_server import make_certificate, serve_mail
from tests.support.servers import serve_wsgi
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

KILLS = 50
ADDRESSES = [f"reader{number}@example.org" for number in range(220)]


def run_mail(settings: str) -> None:
    main(["--config", settings, "mail"])


@pytest.fixture
def site() -> Iterator[FakeUpstream]:
    papers = [make_raw_paper(n, day=n, title="Causal tides") for n in range(3)]
    site = FakeUpstream(papers, lambda: datetime.now(UTC).date())
    with serve_wsgi(site) as site.url:
        yield site


@pytest.mark.slow
def test_killed_fifty_times_nobody_misses_a_digest_and_one_message_a_kill_is_sent_twice(
    site: FakeUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To read the certificates of all authorities takes as long as all else.
    monkeypatch.setenv("SSL_CERT_FILE", str(make_certificate(tmp_path).certificate))
    chance = random.Random(7)
    # Processes are forked from one that has imported everything.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with serve_mail() as server:
        settings = tmp_path / "feedsrv.toml"
        settings.write_text(
            f"""
            upstream_url = "{site.url}"
            cache_dir = "{tmp_path / "store"}"
            history_days = 2
            spacing = 0
            mail = {{ host = "127.0.0.1", port = {server.port}, tls = "none", pause = 0,
                      from = "papers@example.org" }}
            [feeds.causal]
            query = "causal"
            sources = ["daily"]
            digest = "day"
            mail = {ADDRESSES}
        """.replace("\n                      ", " ")
        )
        for _ in range(KILLS):
            process = context.Process(target=run_mail, args=(str(settings),))
            process.start()
            enough = len(server.messages) + chance.randint(1, 4)
            wait_until(lambda enough=enough: len(server.messages) >= enough)  # type: ignore[misc]
            process.kill()
            process.join()
        assert len(set(server.recipients())) < len(
            ADDRESSES
        )  # each kill hit a run that was sending
        process = context.Process(target=run_mail, args=(str(settings),))
        process.start()
        process.join()
        assert process.exitcode == 0
        counts = Counter(server.recipients())
        assert set(counts) == set(ADDRESSES)
        assert counts.total() - len(ADDRESSES) <= KILLS
        ids = {(each.recipient, each.parsed["Message-ID"]) for each in server.messages}
        assert len(ids) == len(ADDRESSES)
