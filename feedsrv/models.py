"""Data models: papers, listings, feeds and the records that the storage keeps. All frozen.

Dates are UTC calendar days; datetimes are aware and in UTC. Text was cleaned when it was parsed
(`feedsrv.upstream.normalize`): single line where one line is meant, without characters that XML
forbids.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

#: The first day that has a list; also what a feed without entries says it was updated at, so that
#: the same (absent) papers make the same bytes.
FIRST_LIST_DAY = date(2023, 5, 4)

ARXIV_ID = re.compile(r"\d{4}\.\d{4,5}", re.ASCII)


class Kind(StrEnum):
    """What an upstream page lists."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TRENDING = "trending"
    SEARCH = "search"


Source = Literal["daily", "search", "trending", "week", "month"]
#: Entries of one feed. More make a feed that readers choke on.
MAX_ENTRIES = 200


class Page(msgspec.Struct, frozen=True):
    """One upstream page.

    The key is ``2026-11-24`` for a day, ``2026-W48`` for a week, ``2026-11`` for a month, the words
    that are searched for, and nothing for trending.
    """

    kind: Kind
    key: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.key}".rstrip()


class PaperTokens(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A paper's words, prepared once so that matching is a search for one string in another.

    Each field is a row of folded words with a space before, between and after them, so that
    ``" world model "`` is found in it exactly where these two words stand side by side. The
    ``_stems`` rows hold the same words cut to their English stems.
    """

    title: str = ""
    title_stems: str = ""
    abstract: str = ""
    abstract_stems: str = ""
    keyword: str = ""
    keyword_stems: str = ""
    author: str = ""
    org: str = ""
    id: str = ""


class Paper(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One paper, as upstream last described it."""

    id: str
    title: str
    #: Paragraphs, parted by empty lines; empty where the page did not show one.
    abstract: str
    #: In order, hidden ones left out; empty where only their number is known.
    authors: tuple[str, ...] = ()
    author_count: int = 0
    #: The day it came to arXiv.
    submitted: date
    #: The day of the Daily Papers list it stands on; absent for a paper never on one.
    listed: date | None = None
    #: When a change of title or abstract was first seen.
    revised: datetime | None = None
    organization: str = ""
    keywords: tuple[str, ...] = ()
    #: The short summary written by a machine.
    summary: str = ""
    code: str = ""
    project: str = ""
    media: tuple[str, ...] = ()
    upvotes: int = 0
    comments: int = 0
    stars: int = 0
    tokens: PaperTokens = PaperTokens()

    @property
    def published(self) -> datetime:
        """The midnight of its list day, else of its arXiv day. It never moves."""
        return datetime.combine(self.listed or self.submitted, time(), UTC)

    @property
    def updated(self) -> datetime:
        """When its title or abstract last changed, else when it was published."""
        return max(self.revised or self.published, self.published)

    @property
    def is_arxiv(self) -> bool:
        """Whether the id is one of arXiv's. A sample paper's is not."""
        return ARXIV_ID.fullmatch(self.id) is not None


class Listing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one upstream page says, once read."""

    page: Page
    papers: tuple[Paper, ...]
    fetched_at: datetime
    #: The list day before this one, as the page names it (weekends are skipped).
    previous_day: str = ""
    #: The list day after this one; empty on the newest.
    next_day: str = ""
    #: Papers that could not be read: id and reason.
    skipped: tuple[str, ...] = ()
    #: Which part of upstream's answer it was read from.
    source: Literal["data", "cards", "api"] = "data"
    #: The validators that came with the page, to ask for it again with.
    etag: str = ""
    last_modified: str = ""


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name or ad-hoc query, its sources, its options."""

    name: str
    title: str
    #: As the user wrote it; empty for every paper.
    query: str = ""
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)] = ("daily", "search")
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ENTRIES)] = 50
    #: Where an entry leads to.
    link: Literal["huggingface", "arxiv", "pdf"] = "huggingface"
    #: Whether upstream's search hits are held against the query or trusted as they are.
    match: Literal["strict", "upstream"] = "strict"


class Match(msgspec.Struct, frozen=True):
    """A paper with the feeds that it stands in, of those asked for; at least one."""

    paper: Paper
    feeds: tuple[Feed, ...]


def pages_covering(kind: Kind, today: date, days: int) -> tuple[Page, ...]:
    """Return the pages of one kind that cover the last ``days`` days, newest first."""
    found = dict.fromkeys(_page_key(kind, today - timedelta(days=back)) for back in range(days))
    return tuple(Page(kind, key) for key in found)


def _page_key(kind: Kind, day: date) -> str:
    match kind:
        case Kind.DAY:
            return day.isoformat()
        case Kind.WEEK:
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02d}"
        case Kind.MONTH:
            return f"{day:%Y-%m}"
        case Kind.TRENDING | Kind.SEARCH:
            return ""


#: What XML 1.0 (section 2.2) forbids. One such character makes feedgen raise and loses the feed.
XML_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


# --- the window of list days -----------------------------------------------------------------

#: List days, newest first, each with what is kept of it.
ListDays = tuple[tuple[Page, Listing | None], ...]


# --- after a failure -------------------------------------------------------------------------


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """How asking upstream failed, so that nobody asks again before it makes sense."""

    reason: str
    #: How many times in a row.
    count: int
    at: datetime
    retry_at: datetime
    #: When the first in the row was; what was kept before this was told has none.
    since: datetime | None = None


# --- the next request ------------------------------------------------------------------------


class RequestLog(msgspec.Struct, frozen=True):
    """The requests of the last five minutes, by all processes of this server."""

    all: tuple[datetime, ...] = ()
    #: Those among them that searched for a keyword that no configured feed has.
    adhoc: tuple[datetime, ...] = ()


class Incident(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"reported_at": "told_at", "ended_at": "until"},  # as stored by earlier versions
):
    """A long failure, or a change of the layout of upstream's pages."""

    #: What failed: a page, all of upstream, or the layout of one kind of page.
    subject: str
    reason: str
    #: When it first failed.
    since: datetime
    #: When it had failed for long enough to be reported.
    reported_at: datetime
    #: When it ended; None while it lasts.
    ended_at: datetime | None = None


Incidents = tuple[Incident, ...]
