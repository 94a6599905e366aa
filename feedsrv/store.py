"""Where listings are kept, with what went wrong, whose turn it is, and since when an answer stands.

Kept is JSON, in one of three parts of the disk (`feedsrv.disk`): what the server would have without
any feed, what its configured feeds search for, and what anybody's keywords make grow.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import NamedTuple, TypeVar

import msgspec

from feedsrv.disk import Disk, Key
from feedsrv.freshness import Failure, Turns, next_turn, taken
from feedsrv.outage import Outages
from feedsrv.paper import Kind, Listing, Page
from feedsrv.reports import Reports

log = logging.getLogger(__name__)

#: A part of the folder's name: bump it when a kept listing can no longer be read, or when
#: `feedsrv.words` prepares words in another way.
VERSION = 2
#: Bytes on disk: of lists, of the configured feeds' searches, and of all that anybody's keywords
#: can make grow (since when an address answers as it does, and searches), so that these push none
#: of the others out, nor searches the stamps. A day's list takes about 0.1 MB, a search 0.2 MB.
LARGEST = {
    "lists": 100_000_000,
    "feeds": 100_000_000,
    "stamps": 50_000_000,
    "searches": 300_000_000,
}
#: Each configured search may take so much, however many there are.
_LARGEST_SEARCH = 400_000
#: Bytes of a listing unpacked; one of a thousand papers has eight million.
_LARGEST_LISTING = 30_000_000
#: Listings held decoded; a window of thirty days and what is searched for most.
_MOST_DECODED = 48
#: Seconds between two notes that somebody's search is asked for. It is stored anew once a day, but
#: a flood of others can fill its part within an hour; a note is one small write.
_NOTED_FOR = 600.0
_MOST_NOTED = 1000

_Kept = TypeVar("_Kept", bound=msgspec.Struct)


class Trouble(msgspec.Struct, frozen=True):
    """Why nothing can be kept on disk, and since when."""

    reason: str
    since: datetime


class _Moved(msgspec.Struct, frozen=True):
    """The page that was given where another was asked for: Friday's list on a Saturday."""

    page: Page


class _Lease(msgspec.Struct, frozen=True):
    """Who has the right to ask upstream, and until when."""

    owner: str
    until: datetime


class _Stamp(msgspec.Struct, frozen=True):
    """What was last answered at an address, and since when."""

    etag: str
    modified: datetime


class _Outages(msgspec.Struct, frozen=True):
    """What failed for long."""

    known: Outages


class _Held(NamedTuple):
    """A listing held decoded, which takes a millisecond; to see that it still stands, much less."""

    #: In which it was last seen to stand.
    generation: object
    #: Of its bytes on disk, where they were seen.
    digest: int | None
    listing: Listing


class Store:
    """Listings and failures, by page. Safe for threads and processes; never raises but in `probe`.

    Args:
        folder: Where to keep them; made when first needed.
        upstream_url: What they were read from: listings of two upstreams do not mix.
        own: The searches of the configured feeds; any other is an ad-hoc one.
        clock: Gives seconds that never go backwards.

    """

    def __init__(
        self,
        folder: Path,
        upstream_url: str,
        *,
        own: Collection[Page] = (),
        clock: Callable[[], float] = time.monotonic,  # noqa: TID251  # the default clock
    ) -> None:
        mine = folder / f"v{VERSION}"
        largest = LARGEST | {"feeds": max(LARGEST["feeds"], len(own) * _LARGEST_SEARCH)}
        self._disk = Disk(mine, largest, clock)
        #: Beside the versions: what is in it is no value of ours.
        self.reports = Reports(folder / "unreadable")
        self._upstream = upstream_url
        self._outages = Key("lists", f"{upstream_url} outages")
        self._own = frozenset(own)
        self._clock = clock
        self._decoded: dict[Page, _Held] = {}
        self._noted: dict[Page, float] = {}
        self._told = False
        self._lock = RLock()
        if others := sorted(str(other) for other in folder.glob("v*") if other != mine):
            log.info("kept by other versions, to delete when these no longer run: %s", *others)

    def close(self) -> None:
        """Let go of the files."""
        self._disk.close()

    def listing(self, page: Page) -> Listing | None:
        """Return the last good listing of the page, or of the page given in its place.

        It is the same object until another one is kept.
        """
        generation = self._disk.generation()
        held = self._decoded.get(page)
        if held is not None and held.generation == generation:
            found: Listing | None = held.listing
        else:
            data, found = self._read(page, held)
            if found is None and held is not None:
                # The files were deleted or damaged, or it was dropped: it is kept anew.
                found = held.listing
                self._write(found, page)
            if found is not None:
                self._hold(page, _Held(generation, hash(data) if data else None, found))
        if found is not None:
            self._note(page)
        return found

    def _hold(self, page: Page, held: _Held) -> None:
        with self._lock:
            self._decoded.pop(page, None)  # so that the one read last stands last
            self._decoded[page] = held
            while len(self._decoded) > _MOST_DECODED:
                del self._decoded[next(iter(self._decoded))]

    def _read(self, page: Page, held: _Held | None) -> tuple[bytes | None, Listing | None]:
        """Return what is kept, as it is and decoded; which it need not be if it is held already."""
        key = self._key("listing", page)
        data = self._disk.get(key)
        if data is None and (moved := self._value(self._key("moved", page), _Moved)):
            key = self._key("listing", moved.page)
            data = self._disk.get(key)
        if data and held is not None and hash(data) == held.digest:
            return data, held.listing
        return data, self._decode(_unpacked(data), Listing, key)

    def _note(self, page: Page) -> None:
        """Have an ad-hoc search that is asked for outlive those that nobody asks for."""
        if self._part(page) != "searches":
            return
        now = self._clock()
        with self._lock:
            if now - self._noted.get(page, -_NOTED_FOR) < _NOTED_FOR:
                return
            self._noted.pop(page, None)
            self._noted[page] = now
            while len(self._noted) > _MOST_NOTED:
                del self._noted[next(iter(self._noted))]
        self._disk.touch(self._key("listing", page))

    def keep(self, listing: Listing, asked: Page) -> None:
        """Keep a listing under its own page, and remember which page had been asked for."""
        self._write(listing, asked)
        with self._lock:  # also where no generation can tell of it
            for each, held in list(self._decoded.items()):
                if each == asked or held.listing.page == listing.page:
                    del self._decoded[each]
        for page in {asked, listing.page}:
            # Held for the case that the disk loses it; of no generation, so it is read at first.
            self._hold(page, _Held(object(), None, listing))
        for failed in (asked, None):
            if self.failure(failed) is not None:
                self._disk.delete(self._key("failure", failed))
        self._disk.changed()

    def _write(self, listing: Listing, asked: Page) -> None:
        data = msgspec.json.encode(listing)
        # The quickest level: a third of the size already, for listings hold each text three times.
        self._disk.set(self._key("listing", listing.page), zlib.compress(data, 1))
        if asked != listing.page:
            self._set(self._key("moved", asked), _Moved(listing.page))

    def generation(self) -> object:
        """Return what is another one as soon as anything was kept, by whichever process.

        What another process kept shows within five milliseconds.
        """
        return self._disk.glance()

    def failure(self, page: Page | None) -> Failure | None:
        """Return how reading the page, or upstream as a whole, failed; None if read since."""
        return self._value(self._key("failure", page), Failure)

    def fail(self, page: Page | None, failure: Failure) -> None:
        """Remember how reading the page, or upstream as a whole, failed. What was kept stays."""
        self._set(self._key("failure", page), failure)

    def lease(self, owner: str, now: datetime, length: timedelta) -> bool:
        """Take the right to ask upstream, for so long at most; tell whether that went well."""

        def take(held: _Lease | None) -> _Lease | None:
            # A lease of twice its length was taken by a clock that was wrong. (Not of a little more
            # than once: another process may have taken it while this one waited for the disk.)
            is_held = held is not None and now < held.until <= now + 2 * length
            is_free = held is None or held.owner == owner or not is_held
            return _Lease(owner, now + length) if is_free else None

        return self._change(Key("lists", f"{self._upstream} lease"), _Lease, take) is not None

    def release(self, owner: str) -> None:
        """Give the right to ask upstream back, if it is still held."""
        key = Key("lists", f"{self._upstream} lease")
        held = self._value(key, _Lease)
        if held is not None and held.owner == owner:
            self._disk.delete(key)

    def turn(self, now: datetime, *, adhoc: bool, spacing: timedelta) -> datetime | None:
        """Take the next request's turn and return None, or return when there will be one."""
        later: list[datetime] = []

        def take(turns: Turns | None) -> Turns | None:
            later.clear()  # a disk that fails at the end has it taken again, in memory
            moment = next_turn(turns or Turns(), now, adhoc=adhoc, spacing=spacing)
            if moment > now:
                later.append(moment)
                return None
            return taken(turns or Turns(), now, adhoc=adhoc)

        self._change(Key("lists", f"{self._upstream} turns"), Turns, take)
        return later[-1] if later else None

    def turns(self) -> Turns:
        """Return the requests that were made of late, by all processes."""
        return self._value(Key("lists", f"{self._upstream} turns"), Turns) or Turns()

    def stamp(self, address: str, etag: str, now: datetime) -> datetime:
        """Return since when the address has answered with this etag, in whole seconds.

        A change is later than the one before by a second at least, even where the clock says
        otherwise. Without a disk, each process remembers for itself.
        """
        # One that is dropped, by the many that others ask for, begins anew with a later date.
        key = Key("stamps", address)
        kept = self._value(key, _Stamp)
        if kept is not None and kept.etag == etag:
            return kept.modified

        def change(kept: _Stamp | None) -> _Stamp:
            if kept is not None and kept.etag == etag:
                return kept
            later = kept.modified + timedelta(seconds=1) if kept is not None else now
            return _Stamp(etag, max(now, later).replace(microsecond=0))

        stamp = self._change(key, _Stamp, change)
        return stamp.modified if stamp is not None else now.replace(microsecond=0)

    def outages(self) -> Outages:
        """Return what failed for long, the latest first."""
        return (self._value(self._outages, _Outages) or _Outages(())).known

    def change_outages(self, change: Callable[[Outages], Outages]) -> None:
        """Replace what is known of outages by what is made of it, as one step for all processes."""

        def changed(kept: _Outages | None) -> _Outages | None:
            before = kept.known if kept is not None else ()
            after = change(before)
            return None if after is before else _Outages(after)

        self._change(self._outages, _Outages, changed)

    def size(self) -> int:
        """Return the bytes that all this takes on disk."""
        return self._disk.size()

    def trouble(self, now: datetime) -> Trouble | None:
        """Return why nothing can be kept on disk, and since when; None while it can be."""
        found = self._disk.trouble()
        return Trouble(found[0], now - timedelta(seconds=found[1])) if found else None

    def probe(self) -> Path:
        """Return the folder after writing a value to it and reading it back.

        Raises:
            StoreError: That did not work.

        """
        self._disk.probe()
        return self._disk.folder

    def _part(self, page: Page | None) -> str:
        """Return which part of the disk holds what is kept of the page."""
        if page is None or page.kind is not Kind.SEARCH:
            return "lists"
        return "feeds" if page in self._own else "searches"

    def _key(self, what: str, page: Page | None) -> Key:
        return Key(self._part(page), f"{self._upstream} {what} {page or 'all'}")

    def _value(self, key: Key, kind: type[_Kept]) -> _Kept | None:
        return self._decode(self._disk.get(key), kind, key)

    def is_known(self, address: str) -> bool:
        """Tell whether the address was ever answered, as far as that is remembered."""
        return self._disk.get(Key("stamps", address)) is not None

    def _set(self, key: Key, value: msgspec.Struct) -> None:
        self._disk.set(key, msgspec.json.encode(value))

    def _change(
        self, key: Key, kind: type[_Kept], change: Callable[[_Kept | None], _Kept | None]
    ) -> _Kept | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it."""

        def changed(data: bytes | None) -> bytes | None:
            value = change(self._decode(data, kind, key))
            return None if value is None else msgspec.json.encode(value)

        return self._decode(self._disk.change(key, changed), kind, key)

    def _decode(self, data: bytes | None, kind: type[_Kept], key: Key) -> _Kept | None:
        """Return the value; None where there is none that can be read."""
        try:
            return None if data is None else msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            if not self._told:  # where one cannot be read, there are often many
                self._told = True
                log.warning("reading anew what is kept but cannot be used, %s: %s", key.name, error)
        return None


def _unpacked(data: bytes | None) -> bytes | None:
    """Return the listing as JSON; nothing, which is no JSON, where somebody else wrote it."""
    if data is None:
        return None
    try:
        return zlib.decompressobj().decompress(data, _LARGEST_LISTING)
    except zlib.error:
        return b""
