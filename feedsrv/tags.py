"""The tags of a page, one by one, as lxml finds them: what stands in one attribute, and no tree.

BeautifulSoup makes its tree of these very calls of the very same parser. So what is found here is
what would be found in the tree, without making one of megabytes, and without reading on behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lxml import etree

#: Tags that are looked at, and how deep they nest: real pages have 5,000 and 30. Without bounds, a
#: page of a few megabytes of nothing but tags would take minutes and gigabytes.
MOST = 30_000
DEEPEST = 200
#: Characters that the parser is given at a time: of what is given it makes a copy before it finds
#: anything, and half of a page stands behind what is looked for.
_PART = 64_000

Wanted = Callable[[str, Mapping[str, str]], str | None]


def first(markup: str, wanted: Wanted) -> str | None:
    """Return the first answer to what is asked of each start tag: its name and its attributes.

    A page with more tags than real ones have, or deeper ones, is read up to there.
    """
    asking = _Asking(wanted)
    asking.run(markup)
    # lxml ties target and parser into a knot; the answer shall not lie in it until that is found.
    answer, asking.answer = asking.answer, None
    return answer


def is_modest(markup: str) -> bool:
    """Tell whether the page is one to make a tree of: of not too many tags, nor too deep ones."""
    return _Asking(lambda _tag, _attributes: None).run(markup)


class _EnoughError(Exception):
    """Stop the parser. No one else sees it."""


class _Asking:
    """What lxml calls at each tag."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._count = self._depth = 0
        self.answer: str | None = None

    def run(self, markup: str) -> bool:
        """Tell whether all of the page was looked at."""
        # As BeautifulSoup does, for https://bugs.launchpad.net/lxml/+bug/1948551.
        markup = markup.removeprefix("\N{BYTE ORDER MARK}")
        target: Any = self  # the stubs ask for methods that lxml does without, which is faster
        parser = etree.HTMLParser(target=target)
        try:
            for start in range(0, len(markup) or 1, _PART):
                parser.feed(markup[start : start + _PART])
            parser.close()
        except _EnoughError:
            return False
        return True

    def start(self, tag: Any, attrib: Any) -> None:
        self._count += 1
        self._depth += 1
        self.answer = self._wanted(tag, attrib)
        if self.answer is not None or self._count > MOST or self._depth > DEEPEST:
            raise _EnoughError

    def end(self, _tag: Any) -> None:
        self._depth -= 1

    def close(self) -> None:
        """Return nothing: the answer has been taken by then."""
