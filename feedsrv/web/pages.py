"""What several HTML pages show: cards of feeds, titles of upstream's pages, links to subscribe."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from urllib.parse import quote

import msgspec

from feedsrv.feeds.window import Window
from feedsrv.models import Failure, Feed, Kind, Page
from feedsrv.search.parser import parse_feed_query
from feedsrv.web.chart import Chart, build_chart
from feedsrv.web.filters import long_date
from feedsrv.web.urls import is_public_url

#: Web-based readers and where each subscribes to a feed. The settings can add others.
WEB_READERS = {
    "Feedly": "https://feedly.com/i/subscription/feed/{url}",
    "Inoreader": "https://www.inoreader.com/?add_feed={url}",
    "NewsBlur": "https://www.newsblur.com/?url={url}",
    "The Old Reader": "https://theoldreader.com/feeds/subscribe?url={url}",
}


class FeedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A configured feed."""

    feed: Feed
    papers_this_week: int
    chart: Chart
    #: When the newest stored list was fetched; None without one.
    fetched_at: datetime | None
    failure: Failure | None


def feed_card(feed: Feed, window: Window, failure: Failure | None, today: date) -> FeedCard:
    """Return the card of a configured feed."""
    papers = window.search(parse_feed_query(feed))
    week_ago = today - timedelta(weeks=1)
    return FeedCard(
        feed=feed,
        papers_this_week=sum(paper.published.date() > week_ago for paper in papers),
        chart=build_chart(papers, window.days),
        fetched_at=window.fetched_at,
        failure=failure,
    )


def page_title(page: Page) -> str:
    """Return the title of an upstream page."""
    match page.kind:
        case Kind.DAY:
            return long_date(date.fromisoformat(page.key))
        case Kind.WEEK:
            year, _, week = page.key.partition("-W")
            return f"Week {int(week)} of {year}"
        case Kind.MONTH:
            return f"{date.fromisoformat(f'{page.key}-01'):%B %Y}"
        case Kind.TRENDING:
            return "Trending"
        case Kind.SEARCH | Kind.PAPER:
            return page.key


def subscribe_links(readers: Mapping[str, str], feed_url: str) -> tuple[tuple[str, str], ...]:
    """Return the name of each reader, configured ones first, and the URL that subscribes it.

    Web-based readers are left out where they cannot reach the feed.
    """
    quoted, web_readers = quote(feed_url, safe=""), WEB_READERS if is_public_url(feed_url) else {}
    return tuple(
        (name, template.replace("{url}", quoted))
        for name, template in {**readers, **web_readers}.items()
    )
