"""The JSON that upstream writes: the data of a page, and one paper of it.

Keys that upstream leaves out are absent; null is taken for the same. A key of another type than
declared here makes its paper unreadable, which is how a change of layout is noticed.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated

import msgspec

from feedsrv.paper import Paper
from feedsrv.text import line, link, paragraphs
from feedsrv.words import prepared

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_VERSION = re.compile(r"(?<=\d)v\d+$")


# Characters of a name or an address, and of an abstract, of which arXiv takes 1,920. Some texts
# take minutes to fold where they are megabytes; a paper with one is unreadable.
_Short = Annotated[str, msgspec.Meta(max_length=5_000)]
_Long = Annotated[str, msgspec.Meta(max_length=20_000)]


class _Author(msgspec.Struct):
    name: _Short
    hidden: bool | None = None


class _Organization(msgspec.Struct):
    name: _Short
    fullname: _Short | None = None


class _Details(msgspec.Struct, rename="camel"):
    id: str
    title: _Short
    summary: _Long
    authors: list[_Author]
    published_at: datetime
    upvotes: int
    submitted_on_daily_at: datetime | None = None
    media_urls: list[_Short] | None = None
    project_page: _Short | None = None
    github_repo: _Short | None = None
    github_stars: int | None = None
    ai_summary: _Long | None = msgspec.field(default=None, name="ai_summary")
    ai_keywords: list[_Short] | None = msgspec.field(default=None, name="ai_keywords")
    organization: _Organization | None = None


class _Entry(msgspec.Struct, rename="camel"):
    paper: _Details
    num_comments: int | None = None
    media_urls: list[_Short] | None = None
    media_url: _Short | None = None  # May and June 2024
    organization: _Organization | None = None
    submitter_organization: _Organization | None = None  # four days of September 2025


class _Asked(msgspec.Struct):
    q: str | None = None


class Props(msgspec.Struct, rename="camel"):
    """The data of a page. Its lists are left as they came: one bad paper spoils no other."""

    daily_papers: list[msgspec.Raw] | None = None
    search_results: list[msgspec.Raw] | None = None
    query: _Asked | None = None
    period_type: str | None = None
    is_trending: bool | None = None
    date_string: str | None = None
    date: str | None = None  # 2024
    prev_date: str | None = None
    next_date: str | None = None


def paper_of(raw: msgspec.Raw, day: date | None) -> Paper:
    """Return the paper of one entry, of a page or of the API.

    The outer ``publishedAt`` is not read: it was the moment of submission until March 2025, and is
    the arXiv date shifted into the day before since.
    """
    entry = msgspec.json.decode(raw, type=_Entry)
    paper = entry.paper
    listed = paper.submitted_on_daily_at
    org = entry.organization or paper.organization or entry.submitter_organization
    media = entry.media_urls or paper.media_urls or ([entry.media_url] if entry.media_url else [])
    authors = tuple(filter(None, (line(who.name) for who in paper.authors if not who.hidden)))
    name = _VERSION.sub("", paper.id)
    if not _ID.fullmatch(name):
        raise ValueError(f"{name!r} is no paper's id")
    made = Paper(
        id=name,
        title=line(paper.title) or name,
        abstract=paragraphs(paper.summary),
        authors=authors,
        author_count=len(authors),
        submitted=_utc(paper.published_at).date(),
        listed=_utc(listed).date() if listed else day,
        organization=line(org.fullname or org.name) if org else "",
        keywords=tuple(dict.fromkeys(filter(None, map(line, paper.ai_keywords or ())))),
        summary=line(paper.ai_summary or ""),
        code=link(paper.github_repo or ""),
        project=link(paper.project_page or ""),
        media=tuple(filter(None, map(link, media))),
        upvotes=paper.upvotes,
        comments=entry.num_comments or 0,
        stars=paper.github_stars or 0,
    )
    return prepared(made)


def _utc(stamp: datetime) -> datetime:
    try:
        return stamp.astimezone(UTC) if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(f"{stamp} is no date of the UTC calendar") from error
