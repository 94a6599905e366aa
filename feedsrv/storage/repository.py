"""Repository for listings, failures, the upstream lease, the request log and Last-Modified values.

They are records in memory, written through to a backend (`feedsrv.storage.record_store`).
"""

import operator
import time
import zlib
from collections.abc import Callable, Collection
from datetime import date, datetime, timedelta
from functools import partial

import msgspec

from feedsrv.config import Config
from feedsrv.errors import ConfigError, StoreError
from feedsrv.models import (
    FIRST_LIST_DAY,
    ArtefactRecord,
    Failure,
    FeedCutoff,
    IncidentLog,
    Incidents,
    Kind,
    Listing,
    Page,
    RequestLog,
    last_list_day,
)
from feedsrv.search.artefact_table import ArtefactTable
from feedsrv.storage import lease
from feedsrv.storage.artefact_buckets import BUCKETS, ArtefactBucket, bucket_number
from feedsrv.storage.backend import Area, Backend, StorageKey
from feedsrv.storage.clock_skew import (
    correct_incidents,
    correct_listing,
    correct_request_log,
    is_future,
)
from feedsrv.storage.codec import RecordT
from feedsrv.storage.disk import DiskBackend
from feedsrv.storage.last_modified import LastModifiedBucket, hash_url
from feedsrv.storage.lease import Lease
from feedsrv.storage.permanent_values import PermanentValues
from feedsrv.storage.record_store import RecordStore
from feedsrv.storage.unparsed_pages import UnparsedPages

#: Of the stored records: bump it when a stored listing can no longer be read, or when
#: `feedsrv.search.analysis` analyzes words in another way. Each version has records of its own.
SCHEMA_VERSION = 3
#: Attempts to change a bucket of Last-Modified values that others change too.
_MAX_UPDATE_ATTEMPTS = 100


class PageRedirect(msgspec.Struct, frozen=True):
    """The page that upstream returned for another one: Friday's list on a Saturday."""

    page: Page


#: The types of cached records by the first word of their names. Not cached are the lease and the
#: request log: processes change them too often.
_TYPES: dict[str, type[msgspec.Struct]] = {
    "listing": Listing,
    "alias": PageRedirect,
    "failure": Failure,
    "incidents": IncidentLog,
    "last-modified": LastModifiedBucket,
    "artefacts": ArtefactBucket,
    "cutoff": FeedCutoff,
}
#: Those that change what feeds hold.
_VERSIONED = frozenset({"listing", "alias"})
#: Buckets of Last-Modified values.
_BUCKETS = 2048

#: Calendar days that list days take at most: there are none at weekends and in holidays.
_DAYS_PER_LIST_DAY = 2
_HOLIDAYS = 14
#: Age in days at which the lists of a week and of a month are no longer those of `/papers/week` and
#: `/papers/month`.
_PERIOD_DAYS = {Kind.WEEK: 8, Kind.MONTH: 32}


class StorageFailure(msgspec.Struct, frozen=True):
    """Why nothing can be stored, and since when."""

    reason: str
    since: datetime


class Repository:
    """Listings and failures by page, and what processes share. Safe for threads and processes.

    Only `check` raises. While the backend fails, each process goes on from memory.

    Args:
        backend: Stores the records.
        config: The settings. Listings of two upstreams do not mix.
        configured_searches: The searches of the configured feeds; any other is an ad-hoc one.
        now: The clock (UTC).
        clock: Returns seconds that never go backwards.
    """

    def __init__(
        self,
        backend: Backend,
        config: Config,
        configured_searches: Collection[Page],
        *,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        #: Files of pages that could not be parsed.
        self.unparsed_pages = UnparsedPages(config.cache_dir / "unreadable")
        #: Where records are, as `/status` shows it: "on disk", "in Redis".
        self.location = backend.location
        self._prefix = f"{config.upstream_url} "
        self._configured_searches = frozenset(configured_searches)
        self._history = timedelta(days=config.history_days * _DAYS_PER_LIST_DAY + _HOLIDAYS)
        self._now = now
        self._records = RecordStore(
            backend,
            self._prefix,
            _TYPES,
            versioned=_VERSIONED,
            memory_bytes=config.memory_bytes,
            now=now,
            clock=clock,
        )
        self._lease = self._key(Area.DURABLE, "lease")
        self._request_log = self._key(Area.DURABLE, "requests")
        self._incidents = self._key(Area.DURABLE, "incidents")
        # Not evictable, or anybody's keywords would cause requests for what was evicted. Not
        # permanent, because it can be fetched again.
        self._artefacts = [
            self._key(Area.DURABLE, f"artefacts {number:02d}") for number in range(BUCKETS)
        ]
        self._artefact_cache: tuple[list[ArtefactBucket | None], ArtefactTable] | None = None

    def open(self) -> None:
        """Open the backend, and wait until what it has is in memory, for half a second at most."""
        self._records.open()
        self._records.connect()

    def close(self) -> None:
        """Write what is not written yet, where that is possible, and close the backend."""
        self._records.close()

    def is_adhoc(self, page: Page) -> bool:
        """Return whether only requests for this very page or keyword need it.

        Those are searches and papers of no configured feed, and lists that are older than the
        window. Anybody can ask for them, so they share a part of the requests to upstream and of
        the storage.
        """
        match page.kind:
            case Kind.SEARCH | Kind.PAPER:
                return page not in self._configured_searches
            case Kind.TRENDING:
                return False
        days = _PERIOD_DAYS.get(page.kind)
        age = self._history if days is None else timedelta(days=days)
        return page.key < Page.of_date(page.kind, self._now().date() - age).key

    def get_listing(self, page: Page) -> Listing | None:
        """Return the last listing of the page, else that of the page returned in its place.

        It is the same object until another one is stored.
        """
        listing = self._listing(page)
        # A search is always returned as requested.
        if listing is None and page.kind is not Kind.SEARCH:
            redirect = self._records.get(self._page_key("alias", page), PageRedirect)
            listing = self._listing(redirect.page) if redirect is not None else None
        return listing

    def _listing(self, page: Page) -> Listing | None:
        key = self._page_key("listing", page)
        listing = self._records.get(key, Listing)
        if listing is None and key.area is Area.EVICTABLE and page.kind is not Kind.SEARCH:
            # It was stored when the window still had it.
            listing = self._records.get(key._replace(area=Area.DURABLE), Listing)
        if listing is None or listing.page != page:  # else it is damaged
            return None
        now = self._now()
        if page.kind is Kind.DAY and not _is_list_day(page.key, now.date()):
            return None
        corrected = correct_listing(listing, now)
        if corrected is not listing:
            self._records.set(key, corrected)
        return corrected

    def save_listing(self, listing: Listing, requested: Page) -> None:
        """Store a listing under its own page, and which page had been requested.

        The listing of the requested page stays, if there is one, until that page itself is read
        again: a stale redirect does not hide it. It counts as fetched now.
        """
        for page in {requested, listing.page, None}:
            if self.get_failure(page) is not None:
                self.clear_failure(page, listing.fetched_at)
        self._records.set(self._page_key("listing", listing.page), listing)
        if requested == listing.page:
            return
        own = self._listing(requested)
        if own is None:
            self._records.set(self._page_key("alias", requested), PageRedirect(listing.page))
        else:
            own = msgspec.structs.replace(own, fetched_at=listing.fetched_at)
            self._records.set(self._page_key("listing", requested), own)

    def get_failure(self, page: Page | None) -> Failure | None:
        """Return how fetching the page, or upstream as a whole, failed; None if fetched since."""
        failure = self._records.get(self._page_key("failure", page), Failure)
        if failure is None or not failure.count:
            return None
        # A failure dated in the future is of a wrong clock; it would block requests until then.
        return None if is_future(failure.at, self._now()) else failure

    def save_failure(self, page: Page | None, failure: Failure) -> None:
        """Store how fetching the page, or upstream as a whole, failed. Its listing stays."""
        self._records.set(self._page_key("failure", page), failure)

    def clear_failure(self, page: Page | None, now: datetime) -> None:
        """Store that the page, or upstream as a whole, no longer fails."""
        # Not deleted: it is later than a failure that another process may still write.
        self.save_failure(page, Failure(reason="", count=0, at=now, retry_at=now, since=now))

    def version(self) -> int:
        """Return a number that changes when any process stores a listing, within 0.1 seconds."""
        return self._records.version()

    def acquire_lease(
        self, owner: str, now: datetime, length: timedelta, *, is_awaited: bool = False
    ) -> bool:
        """Take or extend the right to send requests to upstream; return whether that worked.

        See `feedsrv.storage.lease.acquire_lease`.
        """
        held = self._records.update(
            self._lease,
            Lease,
            lambda held: lease.acquire_lease(held, owner, now, length, is_awaited=is_awaited),
        )
        if held is None or held.owner != owner:
            return False
        self._records.poll()  # what its last owner stored counts at once
        return True

    def release_lease(self, owner: str) -> None:
        """End the lease, if this process still has it."""
        self._records.update(self._lease, Lease, lambda held: lease.release_lease(held, owner))

    def update_request_log(self, change: Callable[[RequestLog], RequestLog | None]) -> None:
        """Replace the request log atomically, for all processes.

        The change returns None to leave it. It may be called again with another log.
        """
        self._records.update(
            self._request_log,
            RequestLog,
            lambda stored: change(self._correct_log(stored)) or stored,
        )

    def get_request_log(self) -> RequestLog:
        """Return the recent requests of all processes."""
        return self._correct_log(self._records.get(self._request_log, RequestLog))

    def _correct_log(self, stored: RequestLog | None) -> RequestLog:
        return correct_request_log(stored or RequestLog(), self._now())

    def last_modified(
        self, url: str, etag: str, now: datetime, *, version: int | None = None
    ) -> datetime | None:
        """Return since when the URL has this ETag, in whole seconds; the same in all processes.

        A change is later than the one before by a second at least, even where the clock says
        otherwise: newsboat drops a body whose Last-Modified did not rise. None while that lies in
        the future: the clock is wrong, or was.

        None too if the response was made from version ``version`` of the store and another process
        has sent a later one meanwhile: to change the ETag back and forth would give the later
        response two times.
        """
        url = hash_url(url)
        key = self._bucket_key(url)
        bucket = self._records.get(key, LastModifiedBucket) or LastModifiedBucket({})
        for _ in range(_MAX_UPDATE_ATTEMPTS):
            if bucket.is_up_to_date(url, etag):
                return bucket.get(url, now)
            if version is not None and bucket.has_other_etag(url, etag):
                self._records.poll()
                if self.version() != version:
                    return None
            change = partial(_with_etag, known=bucket, url=url, etag=etag, now=now)
            changed = self._records.update(key, LastModifiedBucket, change)
            bucket = changed or LastModifiedBucket({})
        return None

    def get_cutoff(self, feed: str) -> FeedCutoff | None:
        """Return where the feed of that name was cut off, as far as that is remembered."""
        return self._records.get(self._cutoff_key(feed), FeedCutoff)

    def raise_cutoff(self, feed: str, published: datetime) -> FeedCutoff:
        """Remember that a paper of that date was pushed out of the feed; return the newest one."""
        cutoff = self.get_cutoff(feed)
        if cutoff is None or cutoff.published < published:
            cutoff = FeedCutoff(published)
            self._records.set(self._cutoff_key(feed), cutoff)
        return cutoff

    def _cutoff_key(self, feed: str) -> StorageKey:
        # Evictable like the searches of ad-hoc feeds: anybody can ask for another feed.
        return StorageKey(Area.EVICTABLE, f"{self._prefix}cutoff {feed}")

    def was_response_changed_since(self, moment: datetime) -> bool:
        """Return whether any URL may have been answered with another ETag since."""
        prefix = self._bucket_key("").name.rpartition(" ")[0]
        try:
            buckets = list(self._records.scan(Area.DURABLE, prefix, LastModifiedBucket))
        except StoreError:
            return True
        start = moment.replace(microsecond=0)
        return any(
            value.changed_at >= start for _, bucket in buckets for value in bucket.urls.values()
        )

    def get_artefacts(self) -> ArtefactTable:
        """Return what is known of artefacts that cite papers; the same object until it changes."""
        buckets = [self._records.get(key, ArtefactBucket) for key in self._artefacts]
        cached = self._artefact_cache
        if cached is None or any(map(operator.is_not, buckets, cached[0])):
            records = {
                paper_id: record
                for bucket in buckets
                if bucket is not None
                for paper_id, record in bucket.papers.items()
            }
            cached = self._artefact_cache = buckets, ArtefactTable(records)
        return cached[1]

    def save_artefacts(self, paper_id: str, record: ArtefactRecord) -> None:
        """Store which artefacts cite a paper."""
        self._records.update(
            self._artefacts[bucket_number(paper_id)],
            ArtefactBucket,
            lambda stored: (stored or ArtefactBucket({})).with_paper(paper_id, record),
        )

    def get_incidents(self) -> Incidents:
        """Return the incident log, the latest incident first."""
        return self._correct_incidents(self._records.get(self._incidents, IncidentLog))

    def update_incidents(self, change: Callable[[Incidents], Incidents]) -> None:
        """Replace the incident log atomically, for all processes."""
        self._records.update(
            self._incidents,
            IncidentLog,
            lambda log: IncidentLog(change(self._correct_incidents(log))),
        )

    def _correct_incidents(self, log: IncidentLog | None) -> Incidents:
        return correct_incidents(log.incidents, self._now()) if log is not None else ()

    def permanent_values(self, namespace: str, type_: type[RecordT]) -> PermanentValues[RecordT]:
        """Return the values of a namespace, such as "digests", that nobody can fetch again."""
        return PermanentValues(self._records, f"{self._prefix}{namespace} v1 ", type_)

    def size(self) -> int:
        """Return the bytes that the backend takes; 0 where that is unknown."""
        return self._records.size()

    def failure_state(self, now: datetime) -> StorageFailure | None:
        """Return why nothing can be stored, and since when; None while it can be."""
        failure = self._records.failure()
        if failure is None:
            return None
        reason, seconds = failure
        return StorageFailure(reason, now - timedelta(seconds=seconds))

    def check(self) -> str:
        """Return the backend's name after `RecordStore.check`, which may raise StoreError."""
        self._records.check()
        return self._records.backend.name

    def permanent_size(self) -> tuple[int, int]:
        """Return how many permanent values are stored, of all upstreams, and their bytes.

        Raises:
            StoreError: The backend fails.
        """
        sizes = [len(data) for _, data in self._records.backend.scan(Area.PERMANENT, "")]
        return len(sizes), sum(sizes)

    def _page_key(self, word: str, page: Page | None) -> StorageKey:
        is_adhoc = page is not None and self.is_adhoc(page)
        area = Area.EVICTABLE if is_adhoc else Area.DURABLE
        return self._key(area, f"{word} {page or 'all'}")

    def _bucket_key(self, url: str) -> StorageKey:
        return self._key(Area.DURABLE, f"last-modified {zlib.crc32(url.encode()) % _BUCKETS:03x}")

    def _key(self, area: Area, name: str) -> StorageKey:
        return StorageKey(area, f"{self._prefix}{name}")


def _is_list_day(key: str, today: date) -> bool:
    return FIRST_LIST_DAY.isoformat() <= key <= last_list_day(today).isoformat()


def open_repository(
    config: Config,
    configured_searches: Collection[Page],
    *,
    now: Callable[[], datetime],
    clock: Callable[[], float] = time.monotonic,  # noqa: TID251  # the default clock
) -> Repository:
    """Return the repository in the backend that the settings ask for.

    Raises:
        ConfigError: A library that it takes is not installed.
    """
    return Repository(_open_backend(config), config, configured_searches, now=now, clock=clock)


def _open_backend(config: Config) -> Backend:
    if not config.store.url or config.demo:
        return DiskBackend(config.cache_dir, SCHEMA_VERSION)
    try:
        # Its library is there only for those who ask for it.
        from feedsrv.storage.redis import RedisBackend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        problem = "store: url: needs a library more: pip install 'feedsrv[redis]'"
        raise ConfigError([problem]) from error
    return RedisBackend(config.store.url, SCHEMA_VERSION)


def _with_etag(
    stored: LastModifiedBucket | None, known: LastModifiedBucket, url: str, etag: str, now: datetime
) -> LastModifiedBucket | None:
    """Return the bucket with the ETag of the URL, unless others have changed it meanwhile."""
    bucket = stored or LastModifiedBucket({})
    return bucket.with_etag(url, etag, now) if bucket == known else stored
