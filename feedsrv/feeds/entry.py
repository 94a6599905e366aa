"""Entries: papers as feeds present them, the same for every format.

An entry has no counters: votes, comments and stars change hourly, so readers would show entries as
updated, and conditional requests would never be answered with 304.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from functools import lru_cache
from html import escape

import msgspec

from feedsrv.models import FIRST_LIST_DAY, Feed, Match, Paper

#: The schemes of categories, which distinguish the name of a feed from a keyword of a paper. The
#: authority of a tag URI is a registered domain (RFC 4151 2.1).
FEED_SCHEME = "tag:huggingface.co,2026:papers:feed"
KEYWORD_SCHEME = "tag:huggingface.co,2026:papers:keyword"

AI_SUMMARY_LABEL = "AI-generated summary:"
PDF_MEDIA_TYPE = "application/pdf"
_HTML_MEDIA_TYPE = "text/html"


class EntryLink(msgspec.Struct, frozen=True):
    """A link of an entry (RFC 4287 4.2.7)."""

    rel: str
    href: str
    type: str
    title: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One paper in a feed. Datetimes are aware, in UTC, and in whole seconds."""

    id: str
    title: str
    published: datetime
    updated: datetime
    authors: tuple[str, ...]
    keywords: tuple[str, ...]
    #: The names of the feeds that have the paper.
    feeds: tuple[str, ...]
    #: The alternate link comes first.
    links: tuple[EntryLink, ...]
    #: The abstract: paragraphs, separated by empty lines. Empty if there is none.
    summary: str
    #: HTML: the authors, the AI summary, the abstract in paragraphs, and links.
    content: str
    #: The DOI, without a prefix. Empty if there is none.
    doi: str = ""

    @property
    def categories(self) -> tuple[tuple[str, str], ...]:
        """Pairs of scheme and term: the keywords, then the names of the feeds."""
        keywords = ((KEYWORD_SCHEME, keyword) for keyword in self.keywords)
        return (*keywords, *((FEED_SCHEME, name) for name in self.feeds))


def build_entries(matches: Sequence[Match]) -> tuple[Entry, ...]:
    """Return the entries of the matches, in the same order."""
    return tuple(_build_entry(match.paper, match.feeds) for match in matches)


def latest_update(entries: Sequence[Entry]) -> datetime:
    """Return when the latest entry was updated; a constant for none, so that bytes are stable."""
    first_list_day = datetime.combine(FIRST_LIST_DAY, time(), UTC)
    return max((entry.updated for entry in entries), default=first_list_day)


def paper_page_url(paper: Paper) -> str:
    """Return the URL of the paper's page; that of a sample paper does not exist (RFC 2606)."""
    if paper.is_arxiv:
        return f"https://huggingface.co/papers/{paper.id}"
    return f"https://example.org/papers/{paper.id}"


def arxiv_url(paper: Paper) -> str:
    """Return the URL of the abstract on arXiv; empty for a sample paper."""
    return f"https://arxiv.org/abs/{paper.id}" if paper.is_arxiv else ""


def pdf_url(paper: Paper) -> str:
    """Return the URL of the PDF on arXiv; empty for a sample paper."""
    return f"https://arxiv.org/pdf/{paper.id}" if paper.is_arxiv else ""


def paper_links(paper: Paper) -> dict[str, str]:
    """Return the URLs of the paper's pages by their titles."""
    urls = {
        "Paper page": paper_page_url(paper),
        "arXiv": arxiv_url(paper),
        "PDF": pdf_url(paper),
        "Code": paper.code,
        "Project": paper.project,
    }
    return {title: url for title, url in urls.items() if url}


def linked_url(paper: Paper, link: str) -> str:
    """Return the URL of the page that feeds with this `Feed.link` link to."""
    return next(_links(paper, link)).href


def count_authors(paper: Paper) -> str:
    """Return ``1 author`` or ``7 authors``; empty where their number is unknown."""
    if not paper.author_count:
        return ""
    return "1 author" if paper.author_count == 1 else f"{paper.author_count} authors"


def _build_entry(paper: Paper, feeds: tuple[Feed, ...]) -> Entry:
    names = tuple(dict.fromkeys(feed.name for feed in feeds))
    return msgspec.structs.replace(_entry_without_feeds(paper, feeds[0].link), feeds=names)


@lru_cache(maxsize=256)
def _entry_without_feeds(paper: Paper, link: str) -> Entry:
    """Return the entry without the names of feeds, so that all feeds share the cached one."""
    return Entry(
        # RFC 4287 4.2.6: an id never changes, so it does not contain arXiv's version. In feeds that
        # used vN, or moved their ids to another host, every paper became new again.
        id=arxiv_url(paper) or paper_page_url(paper),
        title=paper.title,
        published=paper.published,
        updated=paper.updated.replace(microsecond=0),
        authors=paper.authors,
        keywords=paper.keywords,
        feeds=(),
        links=tuple(_links(paper, link)),
        # Zotero shows nothing else as the abstract.
        summary=paper.abstract,
        content="\n".join(_content(paper)),
        doi=f"10.48550/arXiv.{paper.id}" if paper.is_arxiv else "",
    )


def _links(paper: Paper, target: str) -> Iterator[EntryLink]:
    """Yield the links: the alternate (by `Feed.link`), the related ones, the discussion."""
    pages = {
        "huggingface": EntryLink("related", paper_page_url(paper), _HTML_MEDIA_TYPE, "Paper page"),
        "arxiv": EntryLink("related", arxiv_url(paper), _HTML_MEDIA_TYPE, "arXiv"),
        "pdf": EntryLink("related", pdf_url(paper), PDF_MEDIA_TYPE, "PDF"),
    }
    pages = {name: link for name, link in pages.items() if link.href}
    # RFC 4287 4.1.2: no two alternates of the same type and language.
    alternate = pages.pop(target, None) or pages.pop("huggingface")
    yield msgspec.structs.replace(alternate, rel="alternate")
    yield from pages.values()
    if paper.code:
        yield EntryLink("related", paper.code, _HTML_MEDIA_TYPE, "Code")
    if paper.project:
        yield EntryLink("related", paper.project, _HTML_MEDIA_TYPE, "Project")
    # RFC 4685 4, without thr:count: counters change hourly.
    yield EntryLink("replies", f"{paper_page_url(paper)}#community", _HTML_MEDIA_TYPE, "Discussion")


def _content(paper: Paper) -> Iterator[str]:
    # Many readers show only one author, the first or the last, so the content names them all.
    authors = ", ".join(paper.authors) or count_authors(paper)
    if byline := " — ".join(filter(None, [authors, paper.organization])):
        yield f"<p><em>{escape(byline)}</em></p>"
    if paper.ai_summary:
        yield f"<p><strong>{AI_SUMMARY_LABEL}</strong> {escape(paper.ai_summary)}</p>"
    for paragraph in paper.abstract.split("\n\n"):
        if paragraph:
            yield f"<p>{escape(paragraph)}</p>"
    links = (f'<a href="{escape(url)}">{title}</a>' for title, url in paper_links(paper).items())
    yield f"<p>{' · '.join(links)}</p>"
