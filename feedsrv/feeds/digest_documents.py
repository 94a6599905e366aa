"""Digests as documents: entries of a feed, plain text, Markdown, HTML and JSON."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from textwrap import TextWrapper

import msgspec

from feedsrv.feeds.digest import MAX_FULL_PAPERS, format_period
from feedsrv.feeds.entry import AI_SUMMARY_LABEL, Entry, EntryLink
from feedsrv.feeds.metadata import FeedMetadata, uuid_urn
from feedsrv.models import Digest, DigestPaper

#: Columns of plain text (RFC 3676 4.2).
_COLUMNS = 72
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~])")


def build_digest_entries(
    digests: Iterable[Digest], metadata: FeedMetadata, feed_names: Sequence[str]
) -> tuple[Entry, ...]:
    """Return the entries of a feed's digests, in the same order, with the feed's ids and links."""
    return tuple(
        Entry(
            id=digest_id(metadata.id, digest.key),
            title=digest.title,
            published=digest.published,
            updated=digest.published,
            authors=(),
            keywords=(),
            feeds=tuple(dict.fromkeys(feed_names)),
            links=(
                EntryLink("alternate", f"{metadata.page_url}#{digest.key}", "text/html"),
                EntryLink("related", period_page_url(digest.key), "text/html", "Hugging Face"),
            ),
            summary="; ".join(paper.title for paper in digest.papers[:MAX_FULL_PAPERS]),
            content=render_digest_html(digest),
        )
        for digest in digests
    )


def digest_id(feed_id: str, key: str) -> str:
    """Return the id of a digest, made from that of its feed and its period."""
    return uuid_urn(f"{feed_id} {key}")


def period_page_url(key: str) -> str:
    """Return the URL of Hugging Face's page of a period."""
    return f"https://huggingface.co/papers/{'week' if 'W' in key else 'date'}/{key}"


def render_digest_html(digest: Digest) -> str:
    """Return the papers as a fragment of HTML."""
    return "\n".join(_html_lines(digest))


def _html_lines(digest: Digest) -> Iterator[str]:
    yield "<ol>"
    yield from map(_html_item, digest.papers[:MAX_FULL_PAPERS])
    yield "</ol>"
    if more := digest.papers[MAX_FULL_PAPERS:]:
        yield "<p>More papers:</p>\n<ul>"
        yield from (f"<li>{_html_link(paper.title, paper.url)}</li>" for paper in more)
        yield "</ul>"
    if digest.key:
        title = f"All papers of {format_period(digest.key)} on Hugging Face"
        yield f"<p>{_html_link(title, period_page_url(digest.key))}</p>"


def _html_item(paper: DigestPaper) -> str:
    lines = [f"<li><p><strong>{_html_link(paper.title, paper.url)}</strong>"]
    if paper.byline:
        lines.append(f"<br><em>{escape(paper.byline)}</em>")
    lines.append("</p>")
    if paper.text:
        label = f"<em>{AI_SUMMARY_LABEL}</em> " if paper.is_ai_summary else ""
        lines.append(f"<p>{label}{escape(paper.text, quote=False)}</p>")
    links = " · ".join(_html_link(title, url) for title, url in paper.links)
    lines.append(f"<p>{links}</p></li>")
    return "".join(lines)


def _html_link(title: str, url: str) -> str:
    return f'<a href="{escape(url)}">{escape(title, quote=False)}</a>'


def render_digest_text(digest: Digest) -> str:
    """Return the digest as plain text with lines of 72 columns, but for long URLs."""
    return "\n".join(_text_lines(digest)) + "\n"


def _text_lines(digest: Digest) -> Iterator[str]:
    yield from wrap_text(digest.title)
    yield "=" * min(len(digest.title), _COLUMNS)
    for number, paper in enumerate(digest.papers[:MAX_FULL_PAPERS], 1):
        yield ""
        start = f"{number}. "
        yield from wrap_text(paper.title, start)
        indent = " " * len(start)
        for line in (paper.byline, _labelled_text(paper)):
            yield from wrap_text(line, indent)
        yield f"{indent}{paper.url}"
        yield from (
            f"{indent}{title}: {url}" for title, url in paper.links if title in {"Code", "Project"}
        )
    if more := digest.papers[MAX_FULL_PAPERS:]:
        yield from ("", "More papers:")
        for paper in more:
            yield ""
            yield from wrap_text(paper.title, "- ")
            yield f"  {paper.url}"
    if digest.key:
        yield from ("", f"All papers of {format_period(digest.key)} on Hugging Face:")
        yield period_page_url(digest.key)


def wrap_text(text: str, start: str = "") -> list[str]:
    """Return the lines of a paragraph, 72 columns wide; those after the first are indented."""
    wrapper = TextWrapper(
        _COLUMNS,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(text)


def _labelled_text(paper: DigestPaper) -> str:
    return f"{AI_SUMMARY_LABEL} {paper.text}" if paper.is_ai_summary else paper.text


def _render_markdown(digest: Digest) -> str:
    return "\n".join(_markdown_lines(digest)) + "\n"


def _markdown_lines(digest: Digest) -> Iterator[str]:
    yield f"**{_escape_markdown(digest.title)}**"
    for paper in digest.papers[:MAX_FULL_PAPERS]:
        yield ""
        yield f"- {_markdown_link(paper)}"
        for line in (paper.byline, _labelled_text(paper)):
            if line:
                yield f"  {_escape_markdown(line)}"
    if more := digest.papers[MAX_FULL_PAPERS:]:
        yield from ("", "More papers:", "")
        yield from (f"- {_markdown_link(paper)}" for paper in more)


def _markdown_link(paper: DigestPaper) -> str:
    url = paper.url.replace("(", "%28").replace(")", "%29")
    return f"[{_escape_markdown(paper.title)}]({url})"


def _escape_markdown(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", text)


def _render_html_document(digest: Digest) -> str:
    return f"<h2>{escape(digest.title, quote=False)}</h2>\n{render_digest_html(digest)}\n"


def _render_json(digest: Digest) -> str:
    papers = msgspec.to_builtins(digest.papers)
    return msgspec.json.encode({"title": digest.title, "papers": papers}).decode() + "\n"


#: The formats of ``feedsrv digest``.
DIGEST_FORMATS: dict[str, Callable[[Digest], str]] = {
    "text": render_digest_text,
    "md": _render_markdown,
    "html": _render_html_document,
    "json": _render_json,
}
