"""Packing: whichever library packs, each reads what the other wrote."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import pytest

from feedsrv.storage import codec as deflate

TEXT = b"The tide is late, the gauge is wrong. " * 400


@pytest.fixture(params=["isal_zlib", "zlib"], autouse=True)
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    name = request.param
    if name == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)  # as where nobody has built it
    else:
        pytest.importorskip("isal", reason="install isal, where there is a wheel of it")
    library, error, level = deflate._found()
    assert library.__name__.endswith(name)
    monkeypatch.setattr(deflate, "_library", library)
    monkeypatch.setattr(deflate, "_error", error)
    monkeypatch.setattr(deflate, "_level", level)


def test_what_was_packed_is_unpacked() -> None:
    packed = deflate.packed(TEXT)
    assert len(packed) < len(TEXT) / 10
    assert deflate.unpacked(packed, len(TEXT)) == zlib.decompress(packed) == TEXT
    assert deflate.unpacked(zlib.compress(TEXT, 1), len(TEXT)) == TEXT


def test_no_more_is_unpacked_than_is_wanted() -> None:
    assert deflate.unpacked(deflate.packed(TEXT), 100) == TEXT[:100]


@pytest.mark.parametrize("bad", [b"nothing packed", b"\x78\x9c" + b"\xff" * 30, b"\x1f\x8b"])
def test_bytes_that_nobody_packed_are_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        deflate.unpacked(bad, 100)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("damage", [lambda data: data[:20], lambda _data: b""])
def test_bytes_that_are_cut_off_give_what_there_is(damage: Callable[[bytes], bytes]) -> None:
    assert TEXT.startswith(deflate.unpacked(damage(deflate.packed(TEXT)), len(TEXT)))


def test_gzip_is_for_everybody_and_always_the_same() -> None:
    assert gzip.decompress(deflate.gzipped(TEXT)) == TEXT
    assert deflate.gzipped(TEXT) == deflate.gzipped(TEXT)
    assert deflate.gzipped(TEXT)[4:8] == b"\0\0\0\0"  # RFC 1952 2.3.1: no time
