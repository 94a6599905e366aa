"""A paper as it stands in a feed: ids, links, dates and content, the same for every format.

Nothing here counts: votes, comments and stars change hourly, would wake readers up and defeat 304.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from html import escape
from uuid import UUID, uuid5

import msgspec

from feedsrv.paper import FIRST_DAY, Feed, Paper

#: Tells a feed's name from a paper's keyword where both are categories.
FEED_SCHEME = "tag:feedsrv,2026:feed"
KEYWORD_SCHEME = "tag:feedsrv,2026:keyword"

_NAMESPACE = UUID("6f0d3c3e-5f0e-5b51-9d4e-2b7c1a2f9f10")
_HTML = "text/html"
_PDF = "application/pdf"


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
    #: Keywords and the feeds' names, as (scheme, term).
    categories: tuple[tuple[str, str], ...]
    links: tuple[Link, ...]
    #: A short text, where there is one.
    summary: str
    #: HTML: who wrote it, the abstract in paragraphs, links.
    content: str


def entries(feed: Feed, papers: Sequence[Paper]) -> tuple[Entry, ...]:
    """Return the feed's entries for these papers, in their order."""
    return tuple(_entry(feed, paper) for paper in papers)


def feed_id(feed: Feed, definition: str) -> str:
    """Return a feed's id, from what it holds and not from where it stands (RFC 4287 4.2.6).

    Args:
        feed: The feed; its sources and its way of matching count, its name and title do not.
        definition: Its query, written in one canonical way.

    """
    parts = (" ".join(sorted(feed.sources)), feed.match, definition)
    return f"urn:uuid:{uuid5(_NAMESPACE, chr(10).join(parts))}"


def updated(found: Sequence[Entry]) -> datetime:
    """Return when the latest entry changed; a fixed day for none, so that bytes stay the same."""
    none = datetime.combine(FIRST_DAY, time(), UTC)
    return max((entry.updated for entry in found), default=none)


def _entry(feed: Feed, paper: Paper) -> Entry:
    keywords = ((KEYWORD_SCHEME, keyword) for keyword in paper.keywords)
    return Entry(
        # RFC 4287 4.2.6: an id never changes, so arXiv's version is no part of it. The peers that
        # used vN, or moved their ids to another host, made every paper new again.
        id=_arxiv(paper) or _home(paper),
        title=paper.title,
        published=paper.published,
        updated=paper.updated.replace(microsecond=0),
        authors=paper.authors,
        categories=(*keywords, (FEED_SCHEME, feed.name)),
        links=tuple(_links(feed, paper)),
        summary=paper.summary,
        content="\n".join(_content(paper)),
    )


def _home(paper: Paper) -> str:
    """Return the paper's page. A sample paper has none: RFC 2606 keeps example.org for that."""
    if paper.is_arxiv:
        return f"https://huggingface.co/papers/{paper.id}"
    return f"https://example.org/papers/{paper.id}"


def _arxiv(paper: Paper) -> str:
    return f"https://arxiv.org/abs/{paper.id}" if paper.is_arxiv else ""


def _pdf(paper: Paper) -> str:
    return f"https://arxiv.org/pdf/{paper.id}" if paper.is_arxiv else ""


def _links(feed: Feed, paper: Paper) -> Iterator[Link]:
    """Yield the links: one alternate, as the feed wants it, and the others as related."""
    pages = {
        "huggingface": Link("related", _home(paper), _HTML, "Paper page"),
        "arxiv": Link("related", _arxiv(paper), _HTML, "arXiv"),
        "pdf": Link("related", _pdf(paper), _PDF, "PDF"),
    }
    pages = {name: link for name, link in pages.items() if link.href}
    # RFC 4287 4.1.2: no two alternates of the same type and language.
    first = pages.pop(feed.link, None) or pages.pop("huggingface")
    yield msgspec.structs.replace(first, rel="alternate")
    yield from pages.values()
    if paper.code:
        yield Link("related", paper.code, _HTML, "Code")
    if paper.project:
        yield Link("related", paper.project, _HTML, "Project")
    # RFC 4685 4, without thr:count: counters change hourly.
    yield Link("replies", f"{_home(paper)}#community", _HTML, "Discussion")


def _content(paper: Paper) -> Iterator[str]:
    # Many readers show one author only, some the first and some the last: all of them stand here.
    who = _who(paper)
    if who:
        yield f"<p><em>{escape(who)}</em></p>"
    for paragraph in paper.abstract.split("\n\n"):
        if paragraph:
            yield f"<p>{escape(paragraph)}</p>"
    named = {
        "Paper page": _home(paper),
        "arXiv": _arxiv(paper),
        "PDF": _pdf(paper),
        "Code": paper.code,
        "Project": paper.project,
    }
    shown = (f'<a href="{escape(href)}">{name}</a>' for name, href in named.items() if href)
    yield f"<p>{' · '.join(shown)}</p>"


def _who(paper: Paper) -> str:
    names = ", ".join(paper.authors)
    if not names and paper.author_count:
        names = "1 author" if paper.author_count == 1 else f"{paper.author_count} authors"
    return " — ".join(filter(None, [names, paper.organization]))
