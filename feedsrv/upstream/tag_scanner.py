"""Scan the start tags of an HTML page without building a tree, and stop early.

The page's data is one attribute of one tag, and half of the page follows it. lxml's parser calls
back for each tag, so the scan stops at the tag, and limits on the number and depth of tags bound
the time and memory that a hostile page can take.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

#: The most tags that are scanned, and how deep they may nest. Real pages have 5,000 and 30. Without
#: limits, a few megabytes of nothing but tags would take minutes and gigabytes.
MAX_START_TAGS = 30_000
MAX_DEPTH = 200
#: Characters that are passed to the parser at a time. It copies each chunk before it reports tags.
_CHUNK_SIZE = 64_000

#: Called with the name and the attributes of a start tag. Returns the wanted text, or None to
#: continue with the next tag.
Extractor = Callable[[str, Mapping[str, str]], str | None]


def extract_first(markup: str, extract: Extractor) -> str | None:
    """Return the first result of the extractor that is not None, in the order of the start tags.

    Only the part of the page within the limits is scanned.
    """
    scanner = _TagScanner(extract)
    scanner.scan(markup)
    # lxml leaves a reference cycle between parser and target. The result is often megabytes long,
    # and would live on in it until the garbage collector finds the cycle.
    result, scanner.result = scanner.result, None
    return result


def is_within_limits(markup: str) -> bool:
    """Return whether the number of tags and their depth allow building a tree of the page."""
    return _TagScanner(lambda _tag, _attributes: None).scan(markup)


class _StopScan(Exception):  # noqa: N818  # control flow, never leaves this module
    """Raised in a callback to stop lxml's parser."""


class _TagScanner:
    """A parser target: lxml calls `start`, `end` and `close`."""

    def __init__(self, extract: Extractor) -> None:
        self._extract = extract
        self._count = self._depth = 0
        self.result: str | None = None

    def scan(self, markup: str) -> bool:
        """Return whether the whole page was scanned, without a result and within the limits."""
        # BeautifulSoup does this too, because of https://bugs.launchpad.net/lxml/+bug/1948551.
        markup = markup.removeprefix("\N{BYTE ORDER MARK}")
        # The stubs require methods that lxml does not: it is faster without them.
        target: Any = self
        parser = etree.HTMLParser(target=target)
        try:
            for start in range(0, len(markup) or 1, _CHUNK_SIZE):
                parser.feed(markup[start : start + _CHUNK_SIZE])
            parser.close()
        except _StopScan:
            return False
        return True

    def start(self, tag: Any, attrib: Any) -> None:
        self._count += 1
        self._depth += 1
        self.result = self._extract(tag, attrib)
        if self.result is not None or self._count > MAX_START_TAGS or self._depth > MAX_DEPTH:
            raise _StopScan

    def end(self, _tag: Any) -> None:
        self._depth -= 1

    def close(self) -> None:
        """Return nothing; lxml requires the method."""
