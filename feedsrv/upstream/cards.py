"""The rendered cards of a page, read with BeautifulSoup: what is left when the data is not there.

Cards know less than the data: no authors but their number, often no abstract. Class names changed
with every redesign, so nothing here leans on one; the anchors are the elements and addresses that
stood from 2023 to 2026: ``article``, ``h3 a[href^="/papers/"]``, the vote that asks to log in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from lxml import etree

from feedsrv.models import Paper
from feedsrv.search.analysis import analyze
from feedsrv.upstream.normalize import normalize_line, normalize_paragraphs, normalize_url

if TYPE_CHECKING:
    from bs4 import Tag

_PAPER_HREF = re.compile(r"/papers/(\d{4}\.\d{4,5})(?:v\d+)?(?:[#?].*)?", re.ASCII)
_AUTHOR_COUNT = re.compile(r"\b(\d{1,6}) authors?\b")
_DATE = re.compile(
    r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* (\d{1,2})(?:, (\d{4}))?(?!\d)"
)
_NUMBER = re.compile(r"([\d.,]{1,12})(k?)")
#: A link's text that is longer than this is an abstract: search cards hold theirs in one.
_MIN_ABSTRACT_LENGTH = 80
#: Articles that are looked at. The longest list seen had 105; search pages have 120.
_MAX_ARTICLES = 300
#: Articles that one may stand in. Unclosed ones nest, and each is read with all that follows it.
_MAX_ARTICLE_DEPTH = 2
#: Characters of the small print, with its white space. Longer text is not read to its end.
_MAX_LABEL_LENGTH = 200
#: Characters of a text. Whole abstracts have 2,000; there are longer texts that take long to fold.
_MAX_TEXT_LENGTH = 20_000


def parse_cards(markup: str, *, day: date | None, year: int) -> tuple[Paper, ...]:
    """Return each paper once, in page order, as far as its card tells.

    Args:
        markup: The page.
        day: The list day, for a day's list.
        year: The listing's year, for dates that are shown without one.

    """
    # 5 MB of memory, for pages that hardly ever come.
    from bs4 import BeautifulSoup  # noqa: PLC0415

    # A trending article holds two copies of its card, for wide and for narrow screens.
    found: dict[str, Paper] = {}
    for article in BeautifulSoup(markup, "lxml").find_all("article", limit=_MAX_ARTICLES):
        outer = article.find_parents("article", limit=_MAX_ARTICLE_DEPTH + 1)
        paper = _parse_card(article, day, year) if len(outer) <= _MAX_ARTICLE_DEPTH else None
        if paper is not None:
            found.setdefault(paper.id, paper)
    return tuple(found.values())


def _parse_card(article: Tag, day: date | None, year: int) -> Paper | None:
    heading = article.select_one('h3 a[href^="/papers/"]')
    match = _PAPER_HREF.fullmatch(str(heading["href"])) if heading else None
    if heading is None or match is None:
        return None
    github = article.select_one('a[href^="https://github.com/"]')
    return analyze(
        Paper(
            id=match[1],
            title=normalize_line(_text(heading)) or match[1],
            abstract=normalize_paragraphs(_abstract(article)),
            author_count=_author_count(article),
            submitted=_shown_date(article, year) or _arxiv_month(match[1]),
            listed=day,
            organization=normalize_line(_organization(article)),
            code=normalize_url(str(github["href"])) if github else "",
            upvotes=_upvotes(article),
            comments=_find_number(article.select_one('a[href$="#community"]')),
            stars=_find_number(github),
        )
    )


def _text(tag: Tag) -> str:
    """Return the text, its pieces as they stand: a highlight must not glue or split a word."""
    return " ".join("".join(tag.strings).split())[:_MAX_TEXT_LENGTH]


def _label(tag: Tag) -> str:
    """Return the text as `_joined` does; nothing where it is too long for small print."""
    length = 0
    for piece in tag.strings:
        length += len(piece)
        if length > _MAX_LABEL_LENGTH:
            return ""
    return _text(tag)


def _abstract(article: Tag) -> str:
    for tag in article.select('p, a[href^="/papers/"]'):
        text = _text(tag)
        if tag.name == "p" or (len(text) > _MIN_ABSTRACT_LENGTH and tag.find_parent("h3") is None):
            return text
    return ""


def _author_count(article: Tag) -> int:
    for item in article.select("li"):
        if found := _AUTHOR_COUNT.search(_label(item)):
            return int(found[1])
    return 0


def _organization(article: Tag) -> str:
    """Return the name in the chip in the authors' place: a link to /NAME and no more."""
    for tag in article.find_all("a", href=re.compile(r"^/[\w.-]+$")):
        if name := _label(tag):
            return name
    return ""


def _shown_date(article: Tag, year: int) -> date | None:
    for text in _label_texts(article):
        if found := _DATE.search(text):
            shown = f"{found[1]} {found[2]} {found[3] or year}"
            try:
                return datetime.strptime(f"{shown} +0000", "%b %d %Y %z").date()
            except ValueError:  # Feb 30
                return None
    return None


def _label_texts(article: Tag) -> Iterator[str]:
    """Yield the texts of the card's small print: no date in a title, abstract or link is one."""
    for tag in article.select("span, time"):
        text = _label(tag)
        if len(text) <= len("Published on Sep 26, 2025") and not tag.find_parent(["h3", "p", "a"]):
            yield text


def _upvotes(article: Tag) -> int:
    """Return the votes: a number, or a hyphen for none, in the box that asks to log in."""
    for box in article.select('a[href^="/login?next=%2Fpapers%2F"], label'):
        if found := _NUMBER.fullmatch(_label(box).removeprefix("Upvote").strip()):
            return _parse_number(found)
    return 0


def _find_number(tag: Tag | None) -> int:
    found = _NUMBER.search(_label(tag)) if tag else None
    return _parse_number(found) if found else 0


def _parse_number(found: re.Match[str]) -> int:
    """Read ``843``, ``1,024`` and ``1.28k``."""
    try:
        return round(float(found[1].replace(",", "")) * (1000 if found[2] else 1))
    except ValueError:
        return 0


def _arxiv_month(arxiv_id: str) -> date:
    """Return the first day of the month in which arXiv gave out the id (YYMM.number)."""
    month = min(max(int(arxiv_id[2:4]), 1), 12)
    return date(2000 + int(arxiv_id[:2]), month, 1)


#: Tags that are looked at, and how deep they nest: real pages have 5,000 and 30. Without bounds, a
#: page of a few megabytes of nothing but tags would take minutes and gigabytes.
MAX_TAGS = 30_000
MAX_DEPTH = 200
#: Characters that the parser is given at a time: of what is given it makes a copy before it finds
#: anything, and half of a page stands behind what is looked for.
_CHUNK_SIZE = 64_000

Extractor = Callable[[str, Mapping[str, str]], str | None]


def extract_first(markup: str, wanted: Extractor) -> str | None:
    """Return the first answer to what is asked of each start tag: its name and its attributes.

    A page with more tags than real ones have, or deeper ones, is read up to there.
    """
    asking = _TagScanner(wanted)
    asking.run(markup)
    # lxml ties target and parser into a knot; the answer shall not lie in it until that is found.
    answer, asking.answer = asking.answer, None
    return answer


def is_within_limits(markup: str) -> bool:
    """Tell whether the page is one to make a tree of: of not too many tags, nor too deep ones."""
    return _TagScanner(lambda _tag, _attributes: None).run(markup)


class _StopParsing(Exception):
    """Stop the parser. No one else sees it."""


class _TagScanner:
    """What lxml calls at each tag."""

    def __init__(self, wanted: Extractor) -> None:
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
            for start in range(0, len(markup) or 1, _CHUNK_SIZE):
                parser.feed(markup[start : start + _CHUNK_SIZE])
            parser.close()
        except _StopParsing:
            return False
        return True

    def start(self, tag: Any, attrib: Any) -> None:
        self._count += 1
        self._depth += 1
        self.answer = self._wanted(tag, attrib)
        if self.answer is not None or self._count > MAX_TAGS or self._depth > MAX_DEPTH:
            raise _StopParsing

    def end(self, _tag: Any) -> None:
        self._depth -= 1

    def close(self) -> None:
        """Return nothing: the answer has been taken by then."""
