"""Papers and feeds of a server that stay as they are."""

from feedsrv.models import Feed
from tests.support.upstream import make_raw_paper

FEEDS = {
    feed.name: feed
    for feed in (
        Feed(name="causal", title="Causal matters", query="causal"),
        Feed(name="sea", title="By the sea", query="sea OR lighthouse", link="arxiv", limit=3),
        Feed(name="empty", title="No walrus", query="walrus", sources=("daily",)),
    )
}


PAPERS = [
    make_raw_paper(1, title="Causal lighthouses", upvotes=30, github="https://github.com/e/x"),
    make_raw_paper(2, authors=[]),
    make_raw_paper(
        3, summary="Whether fog causally delays ferries.", ai_summary="Fog delays ferries."
    ),
    make_raw_paper(4, day=1, authors=["李 明", "Zoë Le-Blanc", "Bo <bo@example.org>"]),
    make_raw_paper(5, day=1, title="Causality by the sea: p < 0.05 & <i>more</i>"),
]

#: Feeds as pages, configured and not.
FEED_PAGES = [
    "/papers",
    "/papers?q=causal",
    "/papers?q=%22world+model%22+C%2B%2B&limit=3",
    "/papers/trending",
    "/papers/week?q=sea",
    "/papers/month",
    "/feeds/causal",
    "/feeds/causal+sea",
    "/feeds/empty",
]
