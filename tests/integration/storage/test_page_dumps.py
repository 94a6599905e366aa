"""Answers that could not be read are kept for bug reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feedsrv.storage.unparsed_pages import UnparsedPages

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_an_answer_that_cannot_be_read_is_kept_as_it_came_one_a_day(tmp_path: Path) -> None:
    reports = UnparsedPages(tmp_path / "unreadable")
    file = tmp_path / "unreadable" / "day.html"
    for hours, body, is_new in (
        (0, b"one \xff", True),
        (23, b"two", False),
        (24, b"three", True),
        (-30, b"a clock that was set back", True),
    ):
        now = NOON + timedelta(hours=hours)
        reports.save("day.html", body, now)
        assert (file.read_bytes() == body) is is_new
        if is_new:
            assert UnparsedPages(tmp_path / "unreadable").list_all() == (("day", file, now),)
    assert list(file.parent.iterdir()) == [file]


def test_what_is_kept_for_bug_reports_may_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reports = UnparsedPages(tmp_path / "unreadable")
    assert reports.list_all() == ()
    (tmp_path / "unreadable").write_text("in the way")
    reports.save("day.html", b"x", NOON)
    assert "Unparsed page not saved" in caplog.text
    assert reports.list_all() == ()
