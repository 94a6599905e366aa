"""Numbers, dates and plurals as a person writes them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

#: Keeps a number and its unit on one line.
_NARROW_SPACE = "\u202f"
_STEPS = (
    (timedelta(days=2), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)


def format_number(value: int) -> str:
    """Return ``1,512`` for 1512."""
    return f"{value:,}"


def format_count(value: int, noun: str) -> str:
    """Return ``no papers``, ``1 paper`` or ``1,512 papers``; the noun takes an s."""
    return f"{format_number(value) if value else 'no'} {noun}{'' if value == 1 else 's'}"


def format_share(part: int, whole: int) -> str:
    """Return how much of the whole the part is, in whole percent: ``61 %``."""
    percent = 100 * part / whole if whole else 0.0
    return f"{'<1' if 0 < percent < 1 else f'{percent:.0f}'}{_NARROW_SPACE}%"


def long_date(value: date) -> str:
    """Return ``24 November 2026``."""
    return f"{value.day} {value:%B %Y}"


def short_date(value: date) -> str:
    """Return ``24 November``."""
    return f"{value.day} {value:%B}"


def timestamp(value: datetime) -> str:
    """Return ``24 November 2026, 09:30 UTC``."""
    return f"{long_date(value)}, {value:%H:%M} UTC"


def time_ago(value: datetime, now: datetime) -> str:
    """Return how long ago that was: ``just now``, ``12 minutes ago``, ``3 days ago``."""
    past = duration(now - value)
    return f"{past} ago" if past else "just now"


def time_until(value: datetime, now: datetime) -> str:
    """Return how long it is until then: ``now``, ``in 12 minutes``."""
    rest = duration(value - now)
    return f"in {rest}" if rest else "in a moment"


def duration(length: timedelta) -> str:
    """Return ``12 minutes``, ``1 hour`` or ``3 days``; nothing for less than a minute."""
    for step, noun in _STEPS:
        if length >= step:
            return format_count(int(length / (timedelta(days=1) if noun == "day" else step)), noun)
    return ""


def file_size(value: int) -> str:
    """Return ``512 bytes``, ``94 kB`` or ``4.2 MB``."""
    if value < 1000:  # noqa: PLR2004  # a kB
        return format_count(value, "byte")
    if value < 999_500:  # noqa: PLR2004  # an MB, but for rounding
        return f"{value / 1000:.0f}{_NARROW_SPACE}kB"
    return f"{value / 1_000_000:,.1f}{_NARROW_SPACE}MB"


def sentence(text: str) -> str:
    """Return the text with a capital letter in front and a full stop behind."""
    text = text.strip()
    ending = "" if text.endswith((".", "!", "?", "…")) else "."
    return text[:1].upper() + text[1:] + ending if text else ""
