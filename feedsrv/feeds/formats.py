"""The feed formats: media type, title and writer of each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.bibtex import render_bibtex
from feedsrv.feeds.entry import Entry
from feedsrv.feeds.json_feed import render_json_feed
from feedsrv.feeds.metadata import FeedMetadata
from feedsrv.feeds.rss import render_rss


class Format(NamedTuple):
    """One feed format."""

    media_type: str
    title: str
    render: Callable[[FeedMetadata, Sequence[Entry]], bytes]


#: The formats for feed readers by URL suffix. Atom comes first wherever formats are listed.
FORMATS = {
    "atom": Format("application/atom+xml", "Atom", render_atom),
    "rss": Format("application/rss+xml", "RSS", render_rss),
    "json": Format("application/feed+json", "JSON Feed", render_json_feed),
}
#: Those for feed readers, and those for other programs.
ALL_FORMATS = FORMATS | {"bib": Format("application/x-bibtex", "BibTeX", render_bibtex)}


def link_headers(
    metadata: FeedMetadata, suffix: str, links: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the Link headers (RFC 8288 3): the document itself, and the same in other formats.

    The suffix is that of the document's format, empty for the HTML page. The links are by suffix.
    """
    yield "Link", f'<{metadata.self_url}>; rel="self"'
    if suffix:
        yield "Link", f'<{metadata.page_url}>; rel="alternate"; type="text/html"'
    for name, url in links.items():
        if name != suffix:
            media_type = FORMATS[name].media_type
            yield "Link", f'<{url}>; rel="alternate"; type="{media_type}"'
