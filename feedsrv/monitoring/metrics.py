"""What this process did, counted, and how the server is: for Prometheus.

The only module that knows prometheus-client. Counters stand in a registry of their own, for each
service one, so that nothing is shared behind anybody's back; each process counts for itself. How
the server is, is looked up when somebody asks.
"""

from __future__ import annotations

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

#: What comes of reading a list: where it was read from, or why it was not.
_REFRESH_RESULTS = ("data", "cards", "api", "failed", "unreadable")
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# The library can say it for all its counters only: a second line for each, with when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counts. Safe for threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = self._counter(
            "requests",
            "Answers, by the route, their status, and whether they lay ready.",
            *("route", "status", "ready"),
        )
        self._refreshes = self._counter(
            "refreshes",
            "Readings of upstream's lists, by kind and by what they were read from; or failed,"
            " where there was no answer, or unreadable, where it had no list.",
            *("kind", "result"),
        )
        self._upstream_requests = self._counter(
            "upstream_requests", "Requests to upstream, each of several redirects counted."
        )

        for kind, result in product(Kind, _REFRESH_RESULTS):
            # Prometheus sees no increase from nothing to one.
            self._refreshes.labels(str(kind), result)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, namespace="feedsrv", registry=self._registry)

    def count_response(self, route: str, status: str) -> None:
        """Count an answer that the routes made.

        Args:
            route: The rule that was asked for, and never the path: anybody can make up paths.
            status: Its status line, or the number at its beginning.

        """
        self._requests.labels(route, status[:3], "no").inc()

    def cached_response_counters(
        self, route: str, statuses: Iterable[str]
    ) -> Mapping[str, Callable[[], None]]:
        """Return what counts an answer that lay ready, by its status line.

        It is looked up once, because counting would otherwise take as long as answering.
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
        """Return all this, and how the server is, in Prometheus's own format."""
        return generate_latest(self._registry) + generate_latest(_StatusCollector(status))


class _StatusCollector(Collector):
    """How the server is at one moment."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield _gauge("info", "The program's version.", 1, version=status.version)
        newest = next((row.read_at for row in status.days if row.read_at), None)
        if newest is not None:
            age = (status.at - newest).total_seconds()
            yield _gauge("newest_list_age_seconds", "Since the newest list was read.", age)
        yield _gauge(
            "upstream_failing_seconds",
            "From the first to the last failure of upstream in a row; 0 while it does not fail.",
            _failing_seconds(status),
        )
        yield _gauge(
            "failing_lists",
            "Lists that could not be read when they were last asked for.",
            len(status.failing()),
        )
        yield _gauge(
            "upstream_allowance_left",
            "Requests to upstream that are left of those of five minutes.",
            status.allowance.left,
        )
        yield _page_counts((*status.days, *status.lists, *status.searches))
        yield _gauge("store_bytes", "Bytes that the store takes.", status.store.bytes)
        yield _gauge("store_failing", "1 while nothing can be kept.", bool(status.store.trouble))


def _gauge(name: str, what: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(f"feedsrv_{name}", what, labels=list(labels))
    family.add_metric(list(labels.values()), float(value))
    return family


def _page_counts(rows: Iterable[PageStatus]) -> Metric:
    """Return how many lists are kept in which state."""
    counts = {"fresh": 0, "stale": 0, "unread": 0}
    for row in rows:
        counts[row.state] += 1
    family = GaugeMetricFamily("feedsrv_lists", "Lists, by how they are kept.", labels=["state"])
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


def _failing_seconds(status: Status) -> float:
    """Return the seconds from its first to its last failure: nobody may have asked since."""
    failure = status.failure
    return (failure.at - failure.since).total_seconds() if failure else 0.0
