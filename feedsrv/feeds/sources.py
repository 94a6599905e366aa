"""The sources of a feed: which upstream pages they need, what is stored of them, what is due."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice

import msgspec

from feedsrv.errors import QuotaExceededError
from feedsrv.models import Feed, Kind, Listing, Page, Source, StoredDays
from feedsrv.search.parser import parse_feed_queries
from feedsrv.search.query import iter_likes
from feedsrv.search.search_terms import search_terms
from feedsrv.upstream.artefact_refresh import ARTEFACT_FAILURE_KEY
from feedsrv.upstream.policy import newest_day_page, page_to_fetch, pages_covering, remaining_ttl

_ZERO = timedelta(0)


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


def source_state(
    source: Source,
    feed: Feed,
    *,
    now: datetime,
    days: StoredDays,
    get_listing: Callable[[Page], Listing | None],
    may_fetch: Callable[[Page], bool],
) -> SourceState:
    """Return what is stored of one source of the feed, and what has to be fetched.

    ``may_fetch`` returns whether a page may be fetched now, which a back-off forbids.
    """
    if source == "daily" and feed.page is None:
        return _daily_state(days, now, may_fetch)
    pages = _candidate_pages(source, feed, now)
    first = next((listing for page in pages if (listing := get_listing(page))), None)
    ttl = remaining_ttl(pages[0], first, now)
    is_due = ttl <= _ZERO and may_fetch(pages[0])
    return SourceState(pages[0], (first,) if first else (), pages[:1] if is_due else (), ttl, ttl)


def _daily_state(days: StoredDays, now: datetime, may_fetch: Callable[[Page], bool]) -> SourceState:
    ttls = {page: remaining_ttl(page, listing, now) for page, listing in days}
    stale = (page for page, ttl in ttls.items() if ttl <= _ZERO)
    # Fetch one day at a time: each page names the previous list day, which could otherwise only be
    # guessed.
    due = tuple(islice(filter(may_fetch, stale), 1))
    listings = tuple(listing for _, listing in days if listing is not None)
    newest = newest_day_page(now.date())
    return SourceState(newest, listings, due, ttls[days[0][0]], min(ttls.values()))


def _candidate_pages(source: Source, feed: Feed, now: datetime) -> tuple[Page, ...]:
    """Return the pages of which the first stored one serves the source."""
    if feed.page is not None:
        return (page_to_fetch(feed.page, now.date()),)
    match source:
        case "search":
            return (Page(Kind.SEARCH, search_terms(feed.query)),)
        case "week":
            # Until this week has a list, upstream answers with last week's.
            return pages_covering(Kind.WEEK, now.date(), 8)
        case "month":
            return pages_covering(Kind.MONTH, now.date(), 32)
        case _:
            return (Page(Kind.TRENDING),)
