"""A paper as it stands in a feed: ids, links, dates and content, the same for every format.

Nothing here counts: votes, comments and stars change hourly, would wake readers up and defeat 304.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, time
from functools import lru_cache
from html import escape
from textwrap import shorten
from uuid import UUID, uuid5

import msgspec

from feedsrv.models import FIRST_LIST_DAY, Feed, Match, Paper

#: Tells a feed's name from a paper's keyword where both are categories.
FEED_SCHEME = "tag:feedsrv,2026:feed"
KEYWORD_SCHEME = "tag:feedsrv,2026:keyword"

_NAMESPACE = UUID("6f0d3c3e-5f0e-5b51-9d4e-2b7c1a2f9f10")
_HTML = "text/html"
_PDF = "application/pdf"
#: Characters of an abstract's beginning.
_SHORT_TEXT_LENGTH = 300


class Link(msgspec.Struct, frozen=True):
    """One link of an entry, as RFC 4287 4.2.7 has it."""

    rel: str
    href: str
    type: str
    title: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One paper of a feed. Datetimes are aware, in UTC and whole seconds."""

    id: str
    title: str
    published: datetime
    updated: datetime
    authors: tuple[str, ...]
    keywords: tuple[str, ...]
    #: The names of the feeds that it stands in.
    feeds: tuple[str, ...]
    links: tuple[Link, ...]
    #: A short text, where there is one.
    summary: str
    #: Paragraphs, parted by empty lines.
    abstract: str
    #: HTML: who wrote it, the abstract in paragraphs, links.
    content: str

    @property
    def categories(self) -> tuple[tuple[str, str], ...]:
        """Keywords and the feeds' names, as (scheme, term)."""
        keywords = ((KEYWORD_SCHEME, keyword) for keyword in self.keywords)
        return (*keywords, *((FEED_SCHEME, name) for name in self.feeds))

    @property
    def short_text(self) -> str:
        """A short text in any case, for formats that want one beside the content: Atom does not."""
        # Twice as much as is taken: to look for words in all of it takes four times as long.
        text = self.summary or shorten(
            self.abstract[: 2 * _SHORT_TEXT_LENGTH], _SHORT_TEXT_LENGTH, placeholder=" …"
        )
        return text or self.title


def build_entries(matches: Sequence[Match]) -> tuple[Entry, ...]:
    """Return the entries for what was found, in its order."""
    return tuple(_build_entry(each.paper, each.feeds) for each in matches)


def feed_id(definitions: Iterable[str]) -> str:
    """Return a feed's id, from what it holds and not from where it stands (RFC 4287 4.2.6).

    Args:
        definitions: Of each feed that it unites, what makes it another feed than others.

    """
    return f"urn:uuid:{uuid5(_NAMESPACE, chr(10).join(sorted(set(definitions))))}"


def feed_definition(feed: Feed, query: str) -> str:
    """Return what makes the feed another than others: not its name, title, limit or link.

    Args:
        feed: The feed.
        query: Its query, written in one canonical way.

    """
    return " ".join([*sorted(feed.sources), feed.match, query])


def latest_update(entries: Sequence[Entry]) -> datetime:
    """Return when the latest entry changed; a fixed day for none, so that bytes stay the same."""
    none = datetime.combine(FIRST_LIST_DAY, time(), UTC)
    return max((entry.updated for entry in entries), default=none)


def _build_entry(paper: Paper, feeds: tuple[Feed, ...]) -> Entry:
    names = tuple(dict.fromkeys(feed.name for feed in feeds))
    return msgspec.structs.replace(_entry_without_feeds(paper, feeds[0].link), feeds=names)


@lru_cache(maxsize=2048)
def _entry_without_feeds(paper: Paper, link: str) -> Entry:
    """Return the entry without the feeds that it stands in, made once for all of them."""
    return Entry(
        # RFC 4287 4.2.6: an id never changes, so arXiv's version is no part of it. The peers that
        # used vN, or moved their ids to another host, made every paper new again.
        id=_arxiv_url(paper) or paper_page_url(paper),
        title=paper.title,
        published=paper.published,
        updated=paper.updated.replace(microsecond=0),
        authors=paper.authors,
        keywords=paper.keywords,
        feeds=(),
        links=tuple(_links(paper, link)),
        summary=paper.ai_summary,
        abstract=paper.abstract,
        content="\n".join(_content(paper)),
    )


def paper_page_url(paper: Paper) -> str:
    """Return the address of the paper's page; a sample paper's is none (RFC 2606)."""
    if paper.is_arxiv:
        return f"https://huggingface.co/papers/{paper.id}"
    return f"https://example.org/papers/{paper.id}"


def _arxiv_url(paper: Paper) -> str:
    return f"https://arxiv.org/abs/{paper.id}" if paper.is_arxiv else ""


def _pdf_url(paper: Paper) -> str:
    return f"https://arxiv.org/pdf/{paper.id}" if paper.is_arxiv else ""


def _links(paper: Paper, wanted: str) -> Iterator[Link]:
    """Yield the links: one alternate, the one that is wanted, and the others as related."""
    pages = {
        "huggingface": Link("related", paper_page_url(paper), _HTML, "Paper page"),
        "arxiv": Link("related", _arxiv_url(paper), _HTML, "arXiv"),
        "pdf": Link("related", _pdf_url(paper), _PDF, "PDF"),
    }
    pages = {name: link for name, link in pages.items() if link.href}
    # RFC 4287 4.1.2: no two alternates of the same type and language.
    first = pages.pop(wanted, None) or pages.pop("huggingface")
    yield msgspec.structs.replace(first, rel="alternate")
    yield from pages.values()
    if paper.code:
        yield Link("related", paper.code, _HTML, "Code")
    if paper.project:
        yield Link("related", paper.project, _HTML, "Project")
    # RFC 4685 4, without thr:count: counters change hourly.
    yield Link("replies", f"{paper_page_url(paper)}#community", _HTML, "Discussion")


def _content(paper: Paper) -> Iterator[str]:
    # Many readers show one author only, some the first and some the last: all of them stand here.
    who = _byline(paper)
    if who:
        yield f"<p><em>{escape(who)}</em></p>"
    for paragraph in paper.abstract.split("\n\n"):
        if paragraph:
            yield f"<p>{escape(paragraph)}</p>"
    named = {
        "Paper page": paper_page_url(paper),
        "arXiv": _arxiv_url(paper),
        "PDF": _pdf_url(paper),
        "Code": paper.code,
        "Project": paper.project,
    }
    shown = (f'<a href="{escape(href)}">{name}</a>' for name, href in named.items() if href)
    yield f"<p>{' · '.join(shown)}</p>"


def _byline(paper: Paper) -> str:
    names = ", ".join(paper.authors)
    if not names and paper.author_count:
        names = "1 author" if paper.author_count == 1 else f"{paper.author_count} authors"
    return " — ".join(filter(None, [names, paper.organization]))


class FeedMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed says of itself."""

    id: str
    title: str
    subtitle: str
    #: Where the feed is; readers rewrite their subscription from it.
    self_url: str
    #: The same feed as a page for people.
    page_url: str
    icon_url: str
    version: str
