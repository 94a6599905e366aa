"""The data: papers, the listings they stand in, the feeds made of them. All of it frozen.

Dates are days of the UTC calendar; datetimes are aware and in UTC. Text has been cleaned when it
was read (`feedsrv.text`): one line where one line is meant, and no character that XML forbids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

#: The first day that has a list; also what a feed without entries says it was updated at, so that
#: the same (absent) papers make the same bytes.
FIRST_DAY = date(2023, 5, 4)

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
MOST_ENTRIES = 200


class Page(msgspec.Struct, frozen=True):
    """One upstream page.

    The key is ``2026-11-24`` for a day, ``2026-W48`` for a week, ``2026-11`` for a month, the words
    that are searched for, and nothing for trending.
    """

    kind: Kind
    key: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.key}".rstrip()


class Words(msgspec.Struct, frozen=True, array_like=True, gc=False):
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
    words: Words = Words()

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
    read_at: datetime
    #: The list day before this one, as the page names it (weekends are skipped).
    previous: str = ""
    #: The list day after this one; empty on the newest.
    next: str = ""
    #: Papers that could not be read: id and reason.
    skipped: tuple[str, ...] = ()
    #: Which part of upstream's answer it was read from.
    source: Literal["data", "cards", "api"] = "data"
    #: The validators that came with the page, to ask for it again with.
    etag: str = ""
    modified: str = ""


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name or ad-hoc query, its sources, its options."""

    name: str
    title: str
    #: As the user wrote it; empty for every paper.
    query: str = ""
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)] = ("daily", "search")
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_ENTRIES)] = 50
    #: Where an entry leads to.
    link: Literal["huggingface", "arxiv", "pdf"] = "huggingface"
    #: Whether upstream's search hits are held against the query or trusted as they are.
    match: Literal["strict", "upstream"] = "strict"


class Found(msgspec.Struct, frozen=True):
    """A paper with the feeds that it stands in, of those asked for; at least one."""

    paper: Paper
    feeds: tuple[Feed, ...]


def recent(kind: Kind, today: date, days: int) -> tuple[Page, ...]:
    """Return the pages of one kind that cover the last ``days`` days, newest first."""
    found = dict.fromkeys(_key(kind, today - timedelta(days=back)) for back in range(days))
    return tuple(Page(kind, key) for key in found)


def _key(kind: Kind, day: date) -> str:
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


def succeed(kept: Listing | None, fresh: Listing) -> Listing:
    """Return the listing to keep after ``fresh`` was read where ``kept`` lay.

    A paper whose title or abstract changed is marked as revised at the moment it was read. A day's
    list only grows: early in the day it is partial, and a list shorter than the one kept is a
    fault, so both are united. Fuller readings win: cards know less than data.
    """
    if kept is None:
        return fresh
    before = {paper.id: paper for paper in kept.papers}
    papers = [_revised(before.get(paper.id), paper, fresh) for paper in fresh.papers]
    if fresh.page.kind is Kind.DAY:
        seen = {paper.id for paper in papers}
        papers += [paper for paper in kept.papers if paper.id not in seen]
    return msgspec.structs.replace(
        fresh,
        papers=tuple(papers),
        previous=fresh.previous or kept.previous,
        next=fresh.next or kept.next,
    )


def _revised(kept: Paper | None, fresh: Paper, listing: Listing) -> Paper:
    if kept is None:
        return fresh
    if listing.source == "cards":
        # Cards shorten abstracts and leave authors out; only their counters are news.
        return msgspec.structs.replace(
            kept,
            upvotes=fresh.upvotes,
            comments=fresh.comments or kept.comments,
            stars=fresh.stars or kept.stars,
        )
    if kept.listed:
        # The day on which it was first listed is its date for ever.
        fresh = msgspec.structs.replace(fresh, listed=kept.listed)
    if (kept.title, kept.abstract) == (fresh.title, fresh.abstract):
        return msgspec.structs.replace(fresh, revised=kept.revised)
    if not kept.abstract or not kept.authors:
        # The kept copy came from cards: a fuller reading is no revision.
        return fresh
    return msgspec.structs.replace(fresh, revised=listing.read_at)


def unite(listings: tuple[Listing, ...]) -> tuple[Paper, ...]:
    """Return every paper of the listings once, newest first by (published, id).

    Where a paper stands on several, the copy of the first listing that knows its list day wins,
    and among day lists its earliest day.
    """
    best: dict[str, Paper] = {}
    for listing in listings:
        for paper in listing.papers:
            best[paper.id] = better(best.get(paper.id, paper), paper)
    return tuple(sorted(best.values(), key=_age, reverse=True))


def better(paper: Paper, other: Paper | None) -> Paper:
    """Return which of two copies of a paper to show: the first, unless the other knows more."""
    if other is None or other is paper:  # nearly always
        return paper
    return other if _rank(other) < _rank(paper) else paper


def merge(found: Iterable[tuple[Feed, Sequence[Paper]]]) -> tuple[Found, ...]:
    """Return every paper of several feeds once, with all the feeds that have it, newest first."""
    best: dict[str, Paper] = {}
    feeds: dict[str, tuple[Feed, ...]] = {}
    for feed, papers in found:
        for paper in papers:
            best[paper.id] = better(best.get(paper.id, paper), paper)
            feeds[paper.id] = (*feeds.get(paper.id, ()), feed)
    papers = sorted(best.values(), key=_age, reverse=True)
    return tuple(Found(paper, feeds[paper.id]) for paper in papers)


def _age(paper: Paper) -> tuple[date, str]:
    return paper.listed or paper.submitted, paper.id


def _rank(paper: Paper) -> tuple[bool, bool, date]:
    return (paper.listed is None, not paper.abstract, paper.published.date())
