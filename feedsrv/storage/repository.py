"""Repository for listings, failures, the upstream lease, the request log and Last-Modified values.

They are records in memory, written through to a backend (`feedsrv.storage.record_store`).
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Collection
from datetime import date, datetime, timedelta
from typing import TypeVar

import msgspec
from cachetools import TTLCache

from feedsrv.config import Config
from feedsrv.errors import ConfigError
from feedsrv.models import (
    FIRST_LIST_DAY,
    Failure,
    Incidents,
    Kind,
    Listing,
    Page,
    RequestLog,
    last_list_day,
)
from feedsrv.storage.backend import Area, Backend, StorageKey
from feedsrv.storage.clock_skew import (
    correct_incidents,
    correct_listing,
    correct_request_log,
    is_future,
)
from feedsrv.storage.codec import (
    IncidentLog,
    LastModified,
    LastModifiedBucket,
    Lease,
    PageAlias,
    RecordT,
    merge_last_modified,
    merge_request_logs,
)
from feedsrv.storage.disk import DiskBackend
from feedsrv.storage.permanent import PermanentValues
from feedsrv.storage.record_store import RecordKey, RecordStore
from feedsrv.storage.unparsed_pages import UnparsedPages

#: Of the stored records: bump it when a stored listing can no longer be read, or when
#: `feedsrv.search.analysis` analyzes words in another way. Each version has records of its own.
SCHEMA_VERSION = 3
#: The types of records by the first word of their names.
_TYPES: dict[str, type[msgspec.Struct]] = {
    "listing": Listing,
    "alias": PageAlias,
    "failure": Failure,
    "incidents": IncidentLog,
    "last-modified": LastModifiedBucket,
}
#: Those that change what feeds hold.
_VERSIONED = frozenset({"listing", "alias"})
#: Last-Modified values are stored in this many buckets of this many URLs. That bounds their size to
#: a few megabytes, however many URLs clients request.
_BUCKETS = 2048
_BUCKET_SIZE = 16
#: Seconds between two touches of a search that somebody polls. It is stored again once a day, but
#: the searches of others can fill its area within an hour; a touch is a small write.
_TOUCH_INTERVAL = 600.0
_MAX_TOUCHED = 1000
#: For how long a process that has to wait for the lease has precedence over others.
_PRECEDENCE = timedelta(seconds=1)

DurableT = TypeVar("DurableT", bound=msgspec.Struct)


class StorageFailure(msgspec.Struct, frozen=True):
    """Why nothing can be stored, and since when."""

    reason: str
    since: datetime


class Repository:
    """Listings and failures by page, and what processes share. Safe for threads and processes.

    Only `check` raises. While the backend fails, each process goes on from memory.

    Args:
        backend: Stores the records.
        upstream_url: Where listings come from: those of two upstreams do not mix.
        unparsed_pages: Files of pages that could not be parsed.
        configured_searches: The searches of the configured feeds; any other is an ad-hoc one.
        memory_bytes: Bytes of records in memory.
        now: The clock (UTC).
        clock: Returns seconds that never go backwards.

    """

    def __init__(
        self,
        backend: Backend,
        upstream_url: str,
        unparsed_pages: UnparsedPages,
        *,
        configured_searches: Collection[Page],
        memory_bytes: int,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self.unparsed_pages = unparsed_pages
        #: Where records are, as `/status` shows it: "on disk", "in Redis".
        self.location = backend.location
        self._prefix = f"{upstream_url} "
        self._configured_searches = frozenset(configured_searches)
        self._now = now
        self._records = RecordStore(
            backend,
            self._prefix,
            _TYPES,
            versioned=_VERSIONED,
            memory_bytes=memory_bytes,
            now=now,
            clock=clock,
        )
        self._touched: TTLCache[Page, None] = TTLCache(_MAX_TOUCHED, _TOUCH_INTERVAL, clock)
        self._lease = self._shared_key("lease", Lease)
        self._request_log = self._shared_key("requests", RequestLog)
        self._incidents = RecordKey(self._address("incidents"), IncidentLog)

    def open(self) -> None:
        """Wait until what is stored is in memory, for half a second at most."""
        self._records.open()

    def close(self) -> None:
        """Write what is not written yet, where that is possible, and close the backend."""
        self._records.close()

    # --- listings and failures ---------------------------------------------------------------

    def get_listing(self, page: Page) -> Listing | None:
        """Return the last listing of the page, else that of the page returned in its place.

        It is the same object until another one is stored.
        """
        listing = self._listing(page)
        # A search is always returned as requested.
        if listing is None and page.kind is not Kind.SEARCH:
            alias = self._records.get(self._page_key("alias", page, PageAlias))
            listing = self._listing(alias.page) if alias is not None else None
        return listing

    def _listing(self, page: Page) -> Listing | None:
        key = self._page_key("listing", page, Listing)
        listing = self._records.get(key)
        if listing is None or listing.page != page:  # a damaged name
            return None
        now = self._now()
        if page.kind is Kind.DAY and not _is_list_day(page.key, now.date()):
            return None
        corrected = correct_listing(listing, now)
        if corrected is not listing:
            self._records.set(key, corrected)
            listing = corrected
        if key.address.area is Area.EVICTABLE and page not in self._touched:
            self._touched[page] = None
            self._records.touch(key.address)
        return listing

    def day_listings(self) -> list[Listing]:
        """Return the listings of days that memory holds, the latest day first."""
        days = [
            each for each in self._records.records_in_memory(Listing) if each.page.kind is Kind.DAY
        ]
        return sorted(days, key=lambda listing: listing.page.key, reverse=True)

    def save_listing(self, listing: Listing, requested: Page) -> None:
        """Store a listing under its own page, and which page had been requested.

        The listing of the requested page stays, if there is one, until that page itself is read
        again: a stale redirect does not hide it. It counts as fetched now.
        """
        self._records.set(self._page_key("listing", listing.page, Listing), listing)
        if requested != listing.page:
            own = self._listing(requested)
            if own is None:
                alias = PageAlias(listing.page)
                self._records.set(self._page_key("alias", requested, PageAlias), alias)
            else:
                own = msgspec.structs.replace(own, fetched_at=listing.fetched_at)
                self._records.set(self._page_key("listing", requested, Listing), own)
        for page in {requested, listing.page, None}:
            if self.get_failure(page) is not None:
                self._clear_failure(page, listing.fetched_at)
        self._records.bump_version()

    def get_failure(self, page: Page | None) -> Failure | None:
        """Return how fetching the page, or upstream as a whole, failed; None if fetched since."""
        failure = self._records.get(self._page_key("failure", page, Failure))
        if failure is None or not failure.count:
            return None
        # A failure dated in the future is of a wrong clock; it would block requests until then.
        return None if is_future(failure.at, self._now()) else failure

    def save_failure(self, page: Page | None, failure: Failure) -> None:
        """Store how fetching the page, or upstream as a whole, failed. Its listing stays."""
        self._records.set(self._page_key("failure", page, Failure), failure)

    def _clear_failure(self, page: Page | None, now: datetime) -> None:
        # Not deleted: it is later than a failure that another process may still write.
        self.save_failure(page, Failure(reason="", count=0, at=now, retry_at=now, since=now))

    def version(self) -> int:
        """Return a number that changes when any process stores a listing, within 0.1 seconds."""
        return self._records.version()

    # --- requests to upstream ----------------------------------------------------------------

    def acquire_lease(
        self, owner: str, now: datetime, length: timedelta, *, is_awaited: bool = False
    ) -> bool:
        """Take or extend the right to send requests to upstream; return whether that worked.

        Args:
            owner: The process.
            now: The current time (UTC).
            length: For how long; it may be released before.
            is_awaited: Whether a reader waits. Such a process is next: who has the lease cannot
                take it again before, however soon it asks.

        """

        def take(held: Lease | None) -> Lease | None:
            if held is None:
                return Lease(owner, now + length)
            # A lease of twice its length was taken by a clock that was wrong. (Not of a little more
            # than once: another process may have taken it while this one waited for the store.)
            is_held = bool(held.owner) and now < held.until <= now + 2 * length
            is_ours = is_held and held.owner == owner
            next_until = held.next_until or now
            has_next = now < next_until <= now + 2 * _PRECEDENCE
            is_next = has_next and held.next_owner == owner
            if is_ours:  # extended
                return msgspec.structs.replace(held, until=now + length)
            if not is_held and (is_next or not has_next):
                return Lease(owner, now + length)
            is_due = is_next and next_until < now + _PRECEDENCE / 2
            if is_awaited and (is_due or not has_next):
                return msgspec.structs.replace(held, next_owner=owner, next_until=now + _PRECEDENCE)
            return None

        lease = self._records.update(self._lease, take)
        if lease is None or lease.owner != owner:
            return False
        self._records.poll()  # what its last owner stored counts at once
        return True

    def release_lease(self, owner: str) -> None:
        """End the lease, if this process still has it."""

        def end(held: Lease | None) -> Lease | None:
            is_ours = held is not None and held.owner == owner
            return msgspec.structs.replace(held, owner="") if held and is_ours else None

        self._records.update(self._lease, end)

    def update_request_log(self, change: Callable[[RequestLog], RequestLog | None]) -> None:
        """Replace the request log atomically, for all processes.

        Args:
            change: Gets the log and returns the new one, or None to leave it. May be called again
                where another process changed the log meanwhile.

        """
        self._records.update(self._request_log, lambda stored: change(self._merged_log(stored)))

    def get_request_log(self) -> RequestLog:
        """Return the recent requests of all processes."""
        return self._merged_log(self._records.get(self._request_log))

    def _merged_log(self, stored: RequestLog | None) -> RequestLog:
        """Return the log with the requests of this process, should the backend have lost them."""
        ours = self._records.get_from_memory(self._request_log)
        merged = merge_request_logs(stored or RequestLog(), ours or RequestLog())
        return correct_request_log(merged, self._now())

    # --- Last-Modified -----------------------------------------------------------------------

    def last_modified(self, url: str, etag: str, now: datetime) -> datetime:
        """Return since when the URL has this ETag, in whole seconds; the same in all processes.

        A change is later than the one before by a second at least, even where the clock says
        otherwise. A time that lies in the future, from a clock that was wrong, becomes now.
        """
        key = self._bucket_key(url)
        known = self._records.get(key)
        value = known.urls.get(url) if known is not None else None
        if known and value and _is_current(value, etag, now) and not _is_next_dropped(known, url):
            return value.changed_at

        def change(stored: LastModifiedBucket | None) -> LastModifiedBucket:
            ours = self._records.get_from_memory(key) or LastModifiedBucket({})
            bucket = merge_last_modified(ours, stored, now) if stored is not None else ours
            return _with_etag(bucket, url, etag, now)

        bucket = self._records.update(key, change)
        return bucket.urls[url].changed_at if bucket else now.replace(microsecond=0)

    def was_served(self, url: str) -> bool:
        """Return whether the URL was ever answered, as far as that is remembered."""
        bucket = self._records.get(self._bucket_key(url))
        return bucket is not None and url in bucket.urls

    # --- incidents and durable values --------------------------------------------------------

    def get_incidents(self) -> Incidents:
        """Return the incident log, the latest incident first."""
        stored = self._records.get(self._incidents)
        return correct_incidents(stored.incidents, self._now()) if stored is not None else ()

    def update_incidents(self, change: Callable[[Incidents], Incidents]) -> None:
        """Replace the incident log atomically, for all processes."""

        def changed(stored: IncidentLog | None) -> IncidentLog | None:
            before = correct_incidents(stored.incidents, self._now()) if stored is not None else ()
            after = change(before)
            return None if after is before else IncidentLog(after)

        self._records.update(self._incidents, changed)

    def permanent_values(
        self, namespace: str, type_: type[DurableT], *, schema: int = 1
    ) -> PermanentValues[DurableT]:
        """Return the values of a namespace that nobody can fetch again; they are never evicted.

        Args:
            namespace: What they are, in one word: "digests".
            type_: Their type, a msgspec.Struct.
            schema: The version of their type. Values of other versions are left alone.

        """
        return PermanentValues(self._records, self._prefix, namespace, schema, type_)

    # --- the backend -------------------------------------------------------------------------

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
        """Return the backend's name after writing a value to it and reading it back.

        Raises:
            StoreError: That failed.

        """
        self._records.check()
        return self._records.backend.name

    # --- keys --------------------------------------------------------------------------------

    def _page_key(self, word: str, page: Page | None, type_: type[RecordT]) -> RecordKey[RecordT]:
        is_adhoc = (
            page is not None and page.kind is Kind.SEARCH and page not in self._configured_searches
        )
        area = Area.EVICTABLE if is_adhoc else Area.DURABLE
        return RecordKey(StorageKey(area, f"{self._prefix}{word} {page or 'all'}"), type_)

    def _bucket_key(self, url: str) -> RecordKey[LastModifiedBucket]:
        number = zlib.crc32(url.encode()) % _BUCKETS
        return RecordKey(self._address(f"last-modified {number:03x}"), LastModifiedBucket)

    def _shared_key(self, word: str, type_: type[RecordT]) -> RecordKey[RecordT]:
        return RecordKey(self._address(word), type_, is_announced=False)

    def _address(self, name: str) -> StorageKey:
        return StorageKey(Area.DURABLE, f"{self._prefix}{name}")


def _is_list_day(key: str, today: date) -> bool:
    return FIRST_LIST_DAY.isoformat() <= key <= last_list_day(today).isoformat()


def _is_current(value: LastModified, etag: str, now: datetime) -> bool:
    return value.etag == etag and not is_future(value.changed_at, now)


def _is_next_dropped(bucket: LastModifiedBucket, url: str) -> bool:
    """Return whether other URLs will soon drop this one from the bucket."""
    return url in list(bucket.urls)[: -_BUCKET_SIZE // 2]


def _with_etag(
    bucket: LastModifiedBucket, url: str, etag: str, now: datetime
) -> LastModifiedBucket:
    """Return the bucket with the URL's value last, and without those used longest ago."""
    urls = dict(bucket.urls)
    value = urls.pop(url, None)
    if value is not None and is_future(value.changed_at, now):
        value = LastModified(etag, now.replace(microsecond=0))
    elif value is None or value.etag != etag:
        earliest = now if value is None else value.changed_at + timedelta(seconds=1)
        value = LastModified(etag, max(now, earliest).replace(microsecond=0))
    recent = list(urls.items())[-(_BUCKET_SIZE - 1) :]
    return LastModifiedBucket(dict([*recent, (url, value)]))


def open_repository(
    config: Config,
    configured_searches: Collection[Page],
    *,
    now: Callable[[], datetime],
    clock: Callable[[], float] = time.monotonic,  # noqa: TID251  # the default clock
) -> Repository:
    """Return the repository in the backend that the settings ask for.

    Args:
        config: The settings.
        configured_searches: The searches of the configured feeds.
        now: The clock (UTC).
        clock: Returns seconds that never go backwards.

    Raises:
        ConfigError: A library that it takes is not installed.

    """
    return Repository(
        _open_backend(config),
        config.upstream_url,
        UnparsedPages(config.cache_dir / "unreadable"),
        configured_searches=configured_searches,
        memory_bytes=config.memory_bytes,
        now=now,
        clock=clock,
    )


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
