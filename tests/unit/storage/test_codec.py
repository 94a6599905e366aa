"""Records as bytes."""

from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import pytest

from feedsrv.models import Failure
from feedsrv.storage.codec import decode, encode

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FAILURE = Failure(reason="status 503", count=1, at=NOON, retry_at=NOON, since=NOON)


def test_a_record_with_any_flipped_bit_is_never_decoded_as_another_one() -> None:
    data, size = encode(FAILURE)
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with suppress(msgspec.DecodeError):
            assert decode(bytes(damaged), Failure) == (FAILURE, size)


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_a_truncated_record_cannot_be_decoded(length: int) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(encode(FAILURE)[0][:length], Failure)
