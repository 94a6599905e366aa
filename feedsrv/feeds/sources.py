"""The sources of a feed, and which upstream pages they need."""

from collections.abc import Collection, Iterable, Iterator
from datetime import date, timedelta

import msgspec

from feedsrv.errors import QuotaExceededError
from feedsrv.models import Feed, Kind, Listing, Page, Source
from feedsrv.search.parser import parse_feed_queries
from feedsrv.search.query import iter_likes
from feedsrv.search.search_terms import search_terms
from feedsrv.upstream.artefact_refresh import ARTEFACT_FAILURE_KEY
from feedsrv.upstream.policy import page_to_fetch, pages_covering


class SourceState(msgspec.Struct, frozen=True):
    """What is stored of one source of a feed, and what has to be fetched."""

    #: The page that matters most.
    main_page: Page
    listings: tuple[Listing, ...]
    #: Pages to fetch, the most important first.
    due_pages: tuple[Page, ...]
    #: How long the most important page stays fresh.
    main_page_ttl: timedelta
    #: How long all pages stay fresh.
    min_ttl: timedelta
    #: Why nothing may be fetched for the client; None where that is allowed.
    quota_error: QuotaExceededError | None = None


def search_pages(feeds: Iterable[Feed]) -> frozenset[Page]:
    """Return the upstream search pages of the feeds."""
    terms = (search_terms(feed.query) for feed in feeds)
    return frozenset(Page(Kind.SEARCH, each) for each in terms if each)


def configured_pages(feeds: Collection[Feed]) -> frozenset[Page]:
    """Return all pages that are fetched for the feeds alone: searches, and single papers."""
    return search_pages(feeds).union([ARTEFACT_FAILURE_KEY], *map(seed_pages, feeds))


def seed_pages(feed: Feed) -> Iterator[Page]:
    """Yield the pages of the papers that the feed compares others with."""
    text = feed.query + feed.narrowed_by
    if not feed.library and text.isascii() and "like:" not in text.lower():
        return  # a server with twenty thousand feeds would take long to parse them all
    for query in parse_feed_queries(feed):
        for like in iter_likes(query):
            for paper_id in (*like.ids, *like.unlike_ids):
                yield Page(Kind.PAPER, paper_id)


def effective_sources(feed: Feed) -> tuple[Source, ...]:
    """Return the feed's sources, without search where the query has no words to search for."""
    return tuple(
        source for source in feed.sources if source != "search" or search_terms(feed.query)
    )


def candidate_pages(source: Source, feed: Feed, today: date) -> tuple[Page, ...]:
    """Return the pages of which the first stored one serves a source other than the window."""
    if feed.page is not None:
        return (page_to_fetch(feed.page, today),)
    match source:
        case "search":
            return (Page(Kind.SEARCH, search_terms(feed.query)),)
        case "week":
            # Until this week has a list, upstream answers with last week's.
            return pages_covering(Kind.WEEK, today, 8)
        case "month":
            return pages_covering(Kind.MONTH, today, 32)
        case _:
            return (Page(Kind.TRENDING),)
