"""Where listings are kept, with what went wrong, whose turn it is, and since when an answer stands.

Kept is JSON (`feedsrv.value`), in parts of a place (`feedsrv.vault`): what the server would have
without any feed, what its configured feeds search for, and what anybody's keywords make grow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from threading import RLock
from typing import NamedTuple

import msgspec

from feedsrv.models import Failure, Incidents, Kind, Listing, Page, RequestLog
from feedsrv.storage.backend import Backend
from feedsrv.storage.codec import (
    IncidentLog,
    LastModified,
    Lease,
    PageAlias,
    StorageKey,
    ValueT,
    decode,
    encode,
    merge_request_logs,
)
from feedsrv.storage.disk import UnparsedPages
from feedsrv.storage.fallback import FallbackStore

log = logging.getLogger(__name__)

#: Listings held decoded; a window of thirty days and what is searched for most.
_MAX_DECODED = 48
#: Seconds between two notes that somebody's search is asked for. It is stored anew once a day, but
#: a flood of others can fill its part within an hour; a note is one small write.
_TOUCH_INTERVAL = 600.0
_MAX_TOUCHED = 1000
#: Dates given out that each process remembers, should the place lose them.
_MAX_LAST_MODIFIED = 10_000


class StorageFailure(msgspec.Struct, frozen=True):
    """Why nothing can be kept, and since when."""

    reason: str
    since: datetime


class _CacheEntry(NamedTuple):
    """A listing held decoded, which takes a millisecond; to see that it still stands, much less."""

    #: In which it was last seen to stand.
    version: object
    #: Of its bytes in the place, where they were seen.
    digest: int | None
    listing: Listing


class Repository:
    """Listings and failures, by page. Safe for threads and processes; never raises but in `probe`.

    Args:
        place: Where to keep them.
        upstream_url: What they were read from: listings of two upstreams do not mix.
        reports: Keeps answers that could not be read: no values of ours, so not in the place.
        own: The searches of the configured feeds; any other is an ad-hoc one.
        clock: Gives seconds that never go backwards.

    """

    def __init__(
        self,
        place: Backend,
        upstream_url: str,
        reports: UnparsedPages,
        *,
        own: Collection[Page],
        clock: Callable[[], float],
    ) -> None:
        self._vault = FallbackStore(place, clock)
        self.unparsed_pages = reports
        #: On what it is kept, or in what, for everybody to know.
        self.location = place.location
        self._upstream = upstream_url
        self._outages = StorageKey("lists", f"{upstream_url} outages", IncidentLog)
        self._own = frozenset(own)
        self._clock = clock
        self._decoded: dict[Page, _CacheEntry] = {}
        self._noted: dict[Page, float] = {}
        self._stamps: dict[str, LastModified] = {}
        self._turns = RequestLog()
        self._told = False
        self._lock = RLock()

    def open(self) -> None:
        """Have each part of the place ready, so that no reader waits for that."""
        for part in self._vault.backend.parts:
            self._vault.get(StorageKey(part, "none", PageAlias))

    def close(self) -> None:
        """Let go of the place."""
        self._vault.close()

    def get_listing(self, page: Page) -> Listing | None:
        """Return the last good listing of the page, or of the page given in its place.

        It is the same object until another one is kept.
        """
        generation = self._vault.version()
        held = self._decoded.get(page)
        if held is not None and held.version == generation:
            found: Listing | None = held.listing
        else:
            data, found = self._read(page, held)
            if found is None and held is not None:
                # The place lost it: it is kept anew.
                found = held.listing
                self._write(found, page)
            if found is not None:
                self._remember_listing(
                    page, _CacheEntry(generation, hash(data) if data else None, found)
                )
        if found is not None:
            self._touch(page)
        return found

    def _remember_listing(self, page: Page, held: _CacheEntry) -> None:
        with self._lock:
            self._decoded.pop(page, None)  # so that the one read last stands last
            self._decoded[page] = held
            while len(self._decoded) > _MAX_DECODED:
                del self._decoded[next(iter(self._decoded))]

    def _read(self, page: Page, held: _CacheEntry | None) -> tuple[bytes | None, Listing | None]:
        """Return what is kept, as it is and decoded; which it need not be if it is held already."""
        key = self._key("listing", page, Listing)
        data = self._vault.get(key)
        # A search is always given as it is asked for.
        may_be_moved = data is None and page.kind is not Kind.SEARCH
        if may_be_moved and (moved := self._value(self._key("moved", page, PageAlias), PageAlias)):
            key = self._key("listing", moved.page, Listing)
            data = self._vault.get(key)
        if data and held is not None and hash(data) == held.digest:
            return data, held.listing
        found = self._decode(data, Listing, key)
        if held is not None and found is not None and held.listing.fetched_at > found.fetched_at:
            # The place lost it, and another process kept anew what it had, which was older.
            self._write(held.listing, page)
            self._vault.bump_version()
            return None, held.listing
        return data, found

    def _touch(self, page: Page) -> None:
        """Have an ad-hoc search that is asked for outlive those that nobody asks for."""
        if self._part(page) != "searches":
            return
        now = self._clock()
        with self._lock:
            if now - self._noted.get(page, -_TOUCH_INTERVAL) < _TOUCH_INTERVAL:
                return
            self._noted.pop(page, None)
            self._noted[page] = now
            while len(self._noted) > _MAX_TOUCHED:
                del self._noted[next(iter(self._noted))]
        self._vault.touch(self._key("listing", page, Listing))

    def save_listing(self, listing: Listing, asked: Page) -> None:
        """Keep a listing under its own page, and remember which page had been asked for."""
        self._write(listing, asked)
        with self._lock:  # also where no generation can tell of it
            for each, held in list(self._decoded.items()):
                if each == asked or held.listing.page == listing.page:
                    del self._decoded[each]
        for page in {asked, listing.page}:
            # Held for the case that the place loses it; of no generation, so it is read at first.
            self._remember_listing(page, _CacheEntry(object(), None, listing))
        for failed in (asked, None):
            if self.get_failure(failed) is not None:
                self._vault.delete(self._key("failure", failed, Failure))
        self._vault.bump_version()

    def _write(self, listing: Listing, asked: Page) -> None:
        self._vault.set(self._key("listing", listing.page, Listing), encode(listing))
        if asked != listing.page:
            self._vault.set(self._key("moved", asked, PageAlias), encode(PageAlias(listing.page)))

    def version(self) -> object:
        """Return what is another one as soon as anything was kept, by whichever process.

        What another process kept shows within five milliseconds.
        """
        return self._vault.version()

    def get_failure(self, page: Page | None) -> Failure | None:
        """Return how reading the page, or upstream as a whole, failed; None if read since."""
        return self._value(self._key("failure", page, Failure), Failure)

    def save_failure(self, page: Page | None, failure: Failure) -> None:
        """Remember how reading the page, or upstream as a whole, failed. What was kept stays."""
        self._vault.set(self._key("failure", page, Failure), encode(failure))

    def acquire_lease(self, owner: str, now: datetime, length: timedelta) -> bool:
        """Take the right to ask upstream, for so long at most; tell whether that went well."""

        def take(held: Lease | None) -> Lease | None:
            # A lease of twice its length was taken by a clock that was wrong. (Not of a little more
            # than once: another process may have taken it while this one waited for the place.)
            is_held = held is not None and now < held.until <= now + 2 * length
            is_free = held is None or held.owner in {"", owner} or not is_held
            return Lease(owner, now + length) if is_free else None

        if self._change(self._lease_key(), Lease, take) is None:
            return False
        self._vault.poll_version()  # what its last holder kept counts at once
        return True

    def release_lease(self, owner: str) -> None:
        """Give the right to ask upstream back, if it is still held."""

        def end(held: Lease | None) -> Lease | None:
            # Ended, and not deleted: this is what stands against a lease that waits in a memory.
            return Lease("", held.until) if held is not None and held.owner == owner else None

        self._change(self._lease_key(), Lease, end)

    def update_request_log(self, change: Callable[[RequestLog], RequestLog | None]) -> None:
        """Replace the request log atomically, across all processes.

        Args:
            change: Gets the log and returns the new one, or None to leave it. May be called again
                where another process changed the log meanwhile.

        """

        def changed(stored: RequestLog | None) -> RequestLog | None:
            # Requests that this process knows of count even where the backend lost them.
            return change(merge_request_logs(stored or RequestLog(), self._turns))

        self._turns = self._change(self._turns_key(), RequestLog, changed) or self._turns

    def get_request_log(self) -> RequestLog:
        """Return the requests that were made of late, by all processes."""
        return merge_request_logs(
            self._value(self._turns_key(), RequestLog) or RequestLog(), self._turns
        )

    def last_modified(self, address: str, etag: str, now: datetime) -> datetime:
        """Return since when the address has answered with this etag, in whole seconds.

        A change is later than the one before by a second at least, even where the clock says
        otherwise. Without a place, each process remembers for itself.
        """
        # One that is dropped, by the many that others ask for, begins anew with a later date: but
        # not where this process gave it out.
        key = StorageKey("stamps", address, LastModified)
        kept = self._value(key, LastModified)
        if kept is not None and kept.etag == etag:
            return self._remember_last_modified(address, kept).changed_at
        ours = self._stamps.get(address)

        def change(kept: LastModified | None) -> LastModified:
            before = max(filter(None, (kept, ours)), key=lambda each: each.changed_at, default=None)
            if before is not None and before.etag == etag:
                return before
            later = before.changed_at + timedelta(seconds=1) if before is not None else now
            return LastModified(etag, max(now, later).replace(microsecond=0))

        stamp = self._change(key, LastModified, change)
        if stamp is None:
            return now.replace(microsecond=0)
        return self._remember_last_modified(address, stamp).changed_at

    def _remember_last_modified(self, address: str, stamp: LastModified) -> LastModified:
        """Remember what is given out, those of late."""
        if self._stamps.get(address) != stamp:
            with self._lock:
                self._stamps.pop(address, None)  # so that it stands last
                self._stamps[address] = stamp
                while len(self._stamps) > _MAX_LAST_MODIFIED:
                    del self._stamps[next(iter(self._stamps))]
        return stamp

    def get_incidents(self) -> Incidents:
        """Return what failed for long, the latest first."""
        return (self._value(self._outages, IncidentLog) or IncidentLog(())).incidents

    def update_incidents(self, change: Callable[[Incidents], Incidents]) -> None:
        """Replace what is known of outages by what is made of it, as one step for all processes."""

        def changed(kept: IncidentLog | None) -> IncidentLog | None:
            before = kept.incidents if kept is not None else ()
            after = change(before)
            return None if after is before else IncidentLog(after)

        self._change(self._outages, IncidentLog, changed)

    def size(self) -> int:
        """Return the bytes that all this takes."""
        return self._vault.size()

    def failure_state(self, now: datetime) -> StorageFailure | None:
        """Return why nothing can be kept, and since when; None while it can be."""
        found = self._vault.failure()
        return StorageFailure(found[0], now - timedelta(seconds=found[1])) if found else None

    def check(self) -> str:
        """Return the place's name after writing a value to it and reading it back.

        Raises:
            StoreError: That did not work.

        """
        self._vault.check()
        return self._vault.backend.name

    def _part(self, page: Page | None) -> str:
        """Return which part of the place holds what is kept of the page."""
        if page is None or page.kind is not Kind.SEARCH:
            return "lists"
        return "feeds" if page in self._own else "searches"

    def _key(self, what: str, page: Page | None, kind: type[msgspec.Struct]) -> StorageKey:
        return StorageKey(self._part(page), f"{self._upstream} {what} {page or 'all'}", kind)

    def _lease_key(self) -> StorageKey:
        return StorageKey("lists", f"{self._upstream} lease", Lease)

    def _turns_key(self) -> StorageKey:
        return StorageKey("lists", f"{self._upstream} turns", RequestLog)

    def _value(self, key: StorageKey, kind: type[ValueT]) -> ValueT | None:
        return self._decode(self._vault.get(key), kind, key)

    def was_served(self, address: str) -> bool:
        """Tell whether the address was ever answered, as far as that is remembered."""
        if address in self._stamps:
            return True
        return self._vault.get(StorageKey("stamps", address, LastModified)) is not None

    def _change(
        self, key: StorageKey, kind: type[ValueT], change: Callable[[ValueT | None], ValueT | None]
    ) -> ValueT | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it."""

        def changed(data: bytes | None) -> bytes | None:
            value = change(self._decode(data, kind, key))
            return None if value is None else encode(value)

        return self._decode(self._vault.change(key, changed), kind, key)

    def _decode(self, data: bytes | None, kind: type[ValueT], key: StorageKey) -> ValueT | None:
        """Return the value; None where there is none that can be read."""
        try:
            return None if data is None else decode(data, kind)
        except msgspec.DecodeError as error:
            if not self._told:  # where one cannot be read, there are often many
                self._told = True
                log.warning("reading anew what is kept but cannot be used, %s: %s", key.name, error)
        return None
