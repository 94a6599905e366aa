"""Prometheus metrics: counters of this process and gauges of the server's state.

The only module that imports prometheus-client. Each `Metrics` has a registry of its own in place of
the library's global one, so that services in one process count separately. Counters belong to one
process. Gauges are computed from the `Status` at each scrape.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product

from prometheus_client import CollectorRegistry, Counter, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from feedsrv.errors import ParseError
from feedsrv.models import Kind
from feedsrv.monitoring.status import PageStatus, Status
from feedsrv.upstream.events import Event, FetchFailed, ListingFetched, RequestSent

#: Values of the label ``result``: what a list was parsed from, or why there is none.
_REFRESH_RESULTS = ("data", "cards", "api", "failed", "unreadable")
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# Omit the ``_created`` series; the library has only this global switch.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counters of one process. Safe for threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = self._counter(
            "requests",
            "HTTP responses by route and status; ready is yes for those from the response cache.",
            *("route", "status", "ready"),
        )
        self._refreshes = self._counter(
            "refreshes",
            "Refreshes of upstream lists by kind and result: data, cards or api for the part that"
            " was parsed, failed without a usable response, unreadable for one without a list.",
            *("kind", "result"),
        )
        self._upstream_requests = self._counter(
            "upstream_requests", "HTTP requests sent to upstream, including each redirect."
        )

        for kind, result in product(Kind, _REFRESH_RESULTS):
            # Start each series at 0: increase() does not see a series appear.
            self._refreshes.labels(str(kind), result)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, namespace="feedsrv", registry=self._registry)

    def count_response(self, route: str, status: str) -> None:
        """Count a response that was built by a view.

        By its URL rule, never by its path: clients could create any number of series.
        """
        self._requests.labels(route, status[:3], "no").inc()

    def cached_response_counters(
        self, route: str, statuses: Iterable[str]
    ) -> Mapping[str, Callable[[], None]]:
        """Return a function for each status line that counts a response from the cache.

        The cache looks them up once per route: finding a labelled counter takes as long as serving
        a cached response.
        """
        return {status: self._requests.labels(route, status[:3], "yes").inc for status in statuses}

    def handle(self, event: Event) -> None:
        """Count an event of the refresher; a `feedsrv.upstream.events.Listener`."""
        match event:
            case RequestSent():
                self._upstream_requests.inc()
            case ListingFetched(page, listing):
                self._refreshes.labels(str(page.kind), listing.parsed_from).inc()
            case FetchFailed(page, error):
                result = "unreadable" if isinstance(error, ParseError) else "failed"
                self._refreshes.labels(str(page.kind), result).inc()

    def render(self, status: Status) -> bytes:
        """Return the counters and the gauges of the status in Prometheus's text format."""
        return generate_latest(self._registry) + generate_latest(_StatusCollector(status))


class _StatusCollector(Collector):
    """Gauges of a `Status`."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield _gauge("info", "Version of feedsrv.", 1, version=status.version)
        newest = next((page.fetched_at for page in status.days if page.fetched_at), None)
        if newest is not None:
            age = (status.at - newest).total_seconds()
            yield _gauge(
                "newest_list_age_seconds", "Seconds since the newest list was fetched.", age
            )
        yield _gauge(
            "upstream_failing_seconds",
            "Seconds from the first to the last of upstream's failures in a row; 0 if it works.",
            _failing_seconds(status),
        )
        yield _gauge("failing_lists", "Lists whose last fetch failed.", len(status.failing_pages()))
        yield _gauge(
            "upstream_allowance_left",
            "Requests to upstream that remain in the current five minutes.",
            status.request_budget.remaining,
        )
        yield _page_counts((*status.days, *status.lists, *status.searches))
        yield _gauge(
            "artefact_papers",
            "Papers that were checked for models, datasets and Spaces that cite them.",
            status.artefacts.papers,
        )
        yield _gauge("store_bytes", "Size of the store in bytes.", status.store.bytes)
        yield _gauge(
            "store_failing", "1 while nothing can be stored, else 0.", bool(status.store.error)
        )


def _gauge(name: str, documentation: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(f"feedsrv_{name}", documentation, labels=list(labels))
    family.add_metric(list(labels.values()), float(value))
    return family


def _page_counts(pages: Iterable[PageStatus]) -> Metric:
    """Return how many lists are in each state."""
    counts = {"fresh": 0, "stale": 0, "unread": 0}
    for page in pages:
        counts[page.state] += 1
    family = GaugeMetricFamily("feedsrv_lists", "Lists by state.", labels=["state"])
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


def _failing_seconds(status: Status) -> float:
    """Return the seconds from the first to the last failure in a row.

    Not to the present: without requests nothing was fetched since, and upstream may work again.
    """
    failure = status.failure
    return (failure.at - failure.since).total_seconds() if failure else 0.0
