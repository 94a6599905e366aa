"""Template filters: numbers, counts, dates and durations in English; data for programs."""

from datetime import date, datetime, timedelta
from urllib.parse import urlencode

from feedsrv.models import Paper

#: Between a number and its unit. Not broken at a line's end.
_NARROW_SPACE = "\u202f"
#: The duration from which on a unit is used, the length of the unit and its name, longest first.
_UNITS = (
    (timedelta(days=2), timedelta(days=1), "day"),
    (timedelta(hours=1), timedelta(hours=1), "hour"),
    (timedelta(minutes=1), timedelta(minutes=1), "minute"),
)


def format_number(value: int) -> str:
    """Return ``1,512`` for 1512."""
    return f"{value:,}"


def format_count(value: int, noun: str) -> str:
    """Return ``no papers``, ``1 paper`` or ``1,512 papers``; the plural takes an s."""
    return f"{format_number(value) if value else 'no'} {noun}{'' if value == 1 else 's'}"


def format_share(part: int, whole: int) -> str:
    """Return the share in whole percent: ``61 %``."""
    percent = 100 * part / whole if whole else 0.0
    return f"{'<1' if 0 < percent < 1 else f'{percent:.0f}'}{_NARROW_SPACE}%"


def long_date(value: date) -> str:
    """Return ``24 November 2026``."""
    return f"{value.day} {value:%B %Y}"


def short_date(value: date) -> str:
    """Return ``24 November``."""
    return f"{value.day} {value:%B}"


def format_timestamp(value: datetime) -> str:
    """Return ``24 November 2026, 09:30 UTC``."""
    return f"{long_date(value)}, {value:%H:%M} UTC"


def time_ago(value: datetime, now: datetime) -> str:
    """Return ``just now``, ``12 minutes ago`` or ``3 days ago``."""
    elapsed = format_duration(now - value)
    return f"{elapsed} ago" if elapsed else "just now"


def time_until(value: datetime, now: datetime) -> str:
    """Return ``in a moment`` or ``in 12 minutes``."""
    remaining = format_duration(value - now)
    return f"in {remaining}" if remaining else "in a moment"


def format_duration(value: timedelta) -> str:
    """Return ``12 minutes``, ``1 hour`` or ``3 days``; an empty string for less than a minute."""
    for threshold, unit, noun in _UNITS:
        if value >= threshold:
            return format_count(value // unit, noun)
    return ""


def format_file_size(value: int) -> str:
    """Return ``512 bytes``, ``94 kB`` or ``4.2 MB``."""
    if value < 1000:  # noqa: PLR2004  # 1 kB
        return format_count(value, "byte")
    if value < 999_500:  # noqa: PLR2004  # rounds to 1 MB
        return f"{value / 1000:.0f}{_NARROW_SPACE}kB"
    return f"{value / 1_000_000:,.1f}{_NARROW_SPACE}MB"


def sentence(text: str) -> str:
    """Return the text with a capital first letter and a full stop."""
    text = text.strip()
    ending = "" if text.endswith((".", "!", "?", "…")) else "."
    return text[:1].upper() + text[1:] + ending if text else ""


def context_object(paper: Paper) -> str:
    """Return what a reference manager reads from a page: a ContextObject (COinS) of the paper."""
    url = f"https://arxiv.org/abs/{paper.id}"
    pairs = [
        ("ctx_ver", "Z39.88-2004"),
        ("rft_val_fmt", "info:ofi/fmt:kev:mtx:dc"),
        ("rft_id", f"info:doi/10.48550/arXiv.{paper.id}"),
        ("rft_id", url),
        ("rft.type", "preprint"),
        ("rft.title", paper.title),
        ("rft.date", paper.submitted.isoformat()),
        ("rft.identifier", url),
        ("rft.description", paper.abstract),
        *(("rft.creator", author) for author in paper.authors),
    ]
    return urlencode(pairs)


#: Registered with the application's Jinja environment.
FILTERS = (
    context_object,
    format_duration,
    format_file_size,
    format_count,
    format_number,
    long_date,
    sentence,
    time_ago,
    time_until,
    format_timestamp,
)
