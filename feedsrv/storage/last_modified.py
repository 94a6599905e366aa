"""Last-Modified: since when each URL has its ETag.

It never falls, whatever the clock does: curl, and so newsboat, drops a body whose Last-Modified is
not later than the last one that it saw. Nor is one sent that lies in the future (RFC 9110 8.8.2.1),
by more than the clocks of several machines may differ. So after the clock was set back there is
none, until the clock is past the last one that was sent.
"""

import hashlib
from datetime import datetime, timedelta

import msgspec

from feedsrv.storage.clock_skew import is_future

#: URLs in a bucket. With a fixed number of buckets, that bounds their size to a few megabytes,
#: however many URLs clients request.
_BUCKET_SIZE = 16


class LastModified(msgspec.Struct, frozen=True, array_like=True):
    """The ETag that a URL last had, and since when, in whole seconds."""

    etag: str
    changed_at: datetime


class LastModifiedBucket(msgspec.Struct, frozen=True):
    """Last-Modified values by URL, the one used longest ago first."""

    urls: dict[str, LastModified]

    def get(self, url: str, now: datetime) -> datetime | None:
        """Return the value to send for the URL; None while it lies in the future."""
        changed_at = self.urls[url].changed_at
        return None if is_future(changed_at, now) else changed_at

    def is_up_to_date(self, url: str, etag: str) -> bool:
        """Return whether the URL has this ETag, and will not soon be dropped for other URLs."""
        value = self.urls.get(url)
        is_recent = url in list(self.urls)[-_BUCKET_SIZE // 2 :]
        return value is not None and value.etag == etag and is_recent

    def with_etag(self, url: str, etag: str, now: datetime) -> "LastModifiedBucket":
        """Return the bucket with the URL's value last, and without those used longest ago."""
        urls = dict(self.urls)
        value = urls.pop(url, None)
        if value is None or value.etag != etag:
            earliest = now if value is None else value.changed_at + timedelta(seconds=1)
            value = LastModified(etag, max(now, earliest).replace(microsecond=0))
        recent = list(urls.items())[-(_BUCKET_SIZE - 1) :]
        return LastModifiedBucket(dict([*recent, (url, value)]))

    def merge(self, other: "LastModifiedBucket") -> "LastModifiedBucket":
        """Return the values of both, the later one of each URL."""
        urls = dict(other.urls)
        for url, value in self.urls.items():
            if url not in urls or urls[url].changed_at <= value.changed_at:
                urls[url] = value
        return LastModifiedBucket(urls)


def hash_url(url: str) -> str:
    """Return a name for the URL that does not reveal the key of a private server."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]
