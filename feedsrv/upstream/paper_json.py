"""Parse the JSON of one paper, as pages and the JSON API have it."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec

from feedsrv.models import FIRST_LIST_DAY, FIRST_SUBMISSION_DAY, Paper, last_list_day
from feedsrv.upstream.cards import arxiv_month
from feedsrv.upstream.normalize import normalize_line, normalize_paragraphs, normalize_url

_PAPER_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
#: A Hugging Face handle. Anything else in its place is not shown, searched or linked.
_HANDLE = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_ID_VERSION = re.compile(r"(?<=\d)v\d+$")
#: Limits in characters: for names and URLs, and for abstracts, of which arXiv accepts 1,920.
#: Normalizing some texts takes minutes if they are megabytes long. A paper over a limit is skipped.
_ShortText = Annotated[str, msgspec.Meta(max_length=5_000)]
_LongText = Annotated[str, msgspec.Meta(max_length=20_000)]
#: JSON has numbers of any size.
_Counter = Annotated[int, msgspec.Meta(ge=-(10**9), le=10**9)]


class _Author(msgspec.Struct):
    name: _ShortText
    hidden: bool | None = None
    user: Any = None  # an account, see `_account_handle`


class _Organization(msgspec.Struct):
    name: _ShortText
    fullname: _ShortText | None = None


class _PaperDetails(msgspec.Struct, rename="camel"):
    id: str
    title: _ShortText
    summary: _LongText
    authors: list[_Author]
    published_at: datetime
    upvotes: _Counter
    submitted_on_daily_at: datetime | None = None
    submitted_on_daily_by: Any = None
    media_urls: list[_ShortText] | None = None
    project_page: _ShortText | None = None
    github_repo: _ShortText | None = None
    github_stars: _Counter | None = None
    ai_summary: _LongText | None = msgspec.field(default=None, name="ai_summary")
    ai_keywords: list[_ShortText] | None = msgspec.field(default=None, name="ai_keywords")
    organization: _Organization | None = None


class _Entry(msgspec.Struct, rename="camel"):
    paper: _PaperDetails
    num_comments: _Counter | None = None
    submitted_by: Any = None
    media_urls: list[_ShortText] | None = None
    media_url: _ShortText | None = None  # in May and June 2024
    organization: _Organization | None = None
    submitter_organization: _Organization | None = None  # on four days of September 2025


def parse_paper(raw: msgspec.Raw, day: date | None) -> Paper:
    """Return the paper of one entry, of a page's props or of the API; raise ValueError if invalid.

    The outer ``publishedAt`` is ignored: until March 2025 it was the time of submission, since then
    it is the arXiv date, shifted into the previous day. The day is for entries that do not give it.
    """
    entry = msgspec.json.decode(raw, type=_Entry)
    paper = entry.paper
    listed = paper.submitted_on_daily_at
    org = entry.organization or paper.organization or entry.submitter_organization
    media = entry.media_urls or paper.media_urls or ([entry.media_url] if entry.media_url else [])
    visible = [author for author in paper.authors if not author.hidden]
    authors = tuple(filter(None, (normalize_line(author.name) for author in visible)))
    handles = map(_account_handle, (author.user for author in visible))
    keywords = filter(None, map(normalize_line, paper.ai_keywords or ()))
    submitter = _account_handle(entry.submitted_by or paper.submitted_on_daily_by)
    paper_id = _ID_VERSION.sub("", paper.id)
    if not _PAPER_ID.fullmatch(paper_id):
        raise ValueError(f"invalid paper id {paper_id!r}")
    return Paper(
        id=paper_id,
        title=normalize_line(paper.title) or paper_id,
        abstract=normalize_paragraphs(paper.summary),
        authors=authors,
        author_count=len(authors),
        submitted=_to_utc(paper.published_at).date(),
        listed=_to_utc(listed).date() if listed else day,
        organization=normalize_line(org.fullname or org.name) if org else "",
        author_handles=tuple(filter(None, handles)),
        organization_handle=_handle(org.name) if org else "",
        submitter=submitter,
        keywords=tuple(dict.fromkeys(keywords)),
        ai_summary=normalize_line(paper.ai_summary or ""),
        code=normalize_url(paper.github_repo or ""),
        project=normalize_url(paper.project_page or ""),
        media=tuple(filter(None, map(normalize_url, media))),
        upvotes=paper.upvotes,
        comments=entry.num_comments or 0,
        stars=paper.github_stars or 0,
    )


def _account_handle(account: object) -> str:
    """Return the handle of an account: its ``user`` in some places, its ``name`` in others.

    Nothing else depends on accounts, so one with an unexpected type spoils no paper.
    """
    fields = account if isinstance(account, dict) else {}
    return _handle(fields.get("user") or fields.get("name"))


def _handle(value: object) -> str:
    return value if isinstance(value, str) and _HANDLE.fullmatch(value) else ""


def _to_utc(timestamp: datetime) -> datetime:
    try:
        return timestamp.astimezone(UTC) if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(f"{timestamp} is out of range in UTC") from error


def clamp_dates(paper: Paper, day: date | None, today: date) -> Paper:
    """Return the paper with dates that can be: a date in the future would stay on top for ever."""
    last = last_list_day(today)
    listed, submitted = paper.listed, paper.submitted
    if listed is not None and not FIRST_LIST_DAY <= listed <= last:
        listed = day
    if not FIRST_SUBMISSION_DAY <= submitted <= last:
        month = arxiv_month(paper.id) if paper.is_arxiv else None
        submitted = month if month and month <= last else FIRST_LIST_DAY
    if (listed, submitted) == (paper.listed, paper.submitted):
        return paper
    return msgspec.structs.replace(paper, listed=listed, submitted=submitted)
