"""Ad-hoc feeds: made from a query alone."""

from feedsrv.models import Feed
from feedsrv.search.parser import URL_LIMITS, parse_query


def adhoc_feed(query: str) -> Feed:
    """Return the feed of a query; of every paper of the window for an empty one.

    Raises:
        QueryError: The query is invalid.
    """
    if not query:
        return Feed(name="all", title="Daily Papers", sources=("daily",))
    name = str(parse_query(query, URL_LIMITS))
    return Feed(name=name, title=f"Daily Papers: {query}", query=query)
