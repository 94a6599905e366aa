"""Pages that could not be parsed are saved for bug reports."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feedsrv.storage.unparsed_pages import UnparsedPages

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_one_unparsed_page_a_day_is_saved_unchanged(tmp_path: Path) -> None:
    unparsed_pages = UnparsedPages(tmp_path / "unreadable")
    file = tmp_path / "unreadable" / "day.html"
    for hours, body, is_new in (
        (0, b"one \xff", True),
        (23, b"two", False),
        (24, b"three", True),
        (-30, b"a clock that was set back", True),
    ):
        now = NOON + timedelta(hours=hours)
        unparsed_pages.save("day.html", body, now)
        assert (file.read_bytes() == body) is is_new
        if is_new:
            assert UnparsedPages(tmp_path / "unreadable").list_all() == (("day", file, now),)
    assert list(file.parent.iterdir()) == [file]


def test_a_failure_to_save_an_unparsed_page_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unparsed_pages = UnparsedPages(tmp_path / "unreadable")
    assert unparsed_pages.list_all() == ()
    (tmp_path / "unreadable").write_text("in the way")
    unparsed_pages.save("day.html", b"x", NOON)
    assert "Unparsed page not saved" in caplog.text
    assert unparsed_pages.list_all() == ()
