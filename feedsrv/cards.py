"""The rendered cards of a page, read with BeautifulSoup: what is left when the data is not there.

Cards know less than the data: no authors but their number, often no abstract. Class names changed
with every redesign, so nothing here leans on one; the anchors are the elements and addresses that
stood from 2023 to 2026: ``article``, ``h3 a[href^="/papers/"]``, the vote that asks to log in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING

from feedsrv.paper import Paper
from feedsrv.text import line, link, paragraphs
from feedsrv.words import prepared

if TYPE_CHECKING:
    from bs4 import Tag

_HREF = re.compile(r"/papers/(\d{4}\.\d{4,5})(?:v\d+)?(?:[#?].*)?", re.ASCII)
_AUTHORS = re.compile(r"\b(\d{1,6}) authors?\b")
_DATE = re.compile(
    r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* (\d{1,2})(?:, (\d{4}))?(?!\d)"
)
_NUMBER = re.compile(r"([\d.,]{1,12})(k?)")
#: A link's text that is longer than this is an abstract: search cards hold theirs in one.
_ABSTRACT = 80
#: Articles that are looked at. The longest list seen had 105; search pages have 120.
_MOST = 300
#: Articles that one may stand in. Unclosed ones nest, and each is read with all that follows it.
_DEEPEST = 2
#: Characters of the small print, with its white space. Longer text is not read to its end.
_SMALL_PRINT = 200
#: Characters of a text. Whole abstracts have 2,000; there are longer texts that take long to fold.
_LONGEST = 20_000


def cards(markup: str, *, day: date | None, year: int) -> tuple[Paper, ...]:
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
    for article in BeautifulSoup(markup, "lxml").find_all("article", limit=_MOST):
        outer = article.find_parents("article", limit=_DEEPEST + 1)
        paper = _paper(article, day, year) if len(outer) <= _DEEPEST else None
        if paper is not None:
            found.setdefault(paper.id, paper)
    return tuple(found.values())


def _paper(article: Tag, day: date | None, year: int) -> Paper | None:
    heading = article.select_one('h3 a[href^="/papers/"]')
    match = _HREF.fullmatch(str(heading["href"])) if heading else None
    if heading is None or match is None:
        return None
    github = article.select_one('a[href^="https://github.com/"]')
    return prepared(
        Paper(
            id=match[1],
            title=line(_joined(heading)) or match[1],
            abstract=paragraphs(_abstract(article)),
            author_count=_author_count(article),
            submitted=_shown(article, year) or _month_of(match[1]),
            listed=day,
            organization=line(_organization(article)),
            code=link(str(github["href"])) if github else "",
            upvotes=_votes(article),
            comments=_number_in(article.select_one('a[href$="#community"]')),
            stars=_number_in(github),
        )
    )


def _joined(tag: Tag) -> str:
    """Return the text, its pieces as they stand: a highlight must not glue or split a word."""
    return " ".join("".join(tag.strings).split())[:_LONGEST]


def _small(tag: Tag) -> str:
    """Return the text as `_joined` does; nothing where it is too long for small print."""
    length = 0
    for piece in tag.strings:
        length += len(piece)
        if length > _SMALL_PRINT:
            return ""
    return _joined(tag)


def _abstract(article: Tag) -> str:
    for tag in article.select('p, a[href^="/papers/"]'):
        text = _joined(tag)
        if tag.name == "p" or (len(text) > _ABSTRACT and tag.find_parent("h3") is None):
            return text
    return ""


def _author_count(article: Tag) -> int:
    for item in article.select("li"):
        if found := _AUTHORS.search(_small(item)):
            return int(found[1])
    return 0


def _organization(article: Tag) -> str:
    """Return the name in the chip in the authors' place: a link to /NAME and no more."""
    for tag in article.find_all("a", href=re.compile(r"^/[\w.-]+$")):
        if name := _small(tag):
            return name
    return ""


def _shown(article: Tag, year: int) -> date | None:
    for text in _own_texts(article):
        if found := _DATE.search(text):
            shown = f"{found[1]} {found[2]} {found[3] or year}"
            try:
                return datetime.strptime(f"{shown} +0000", "%b %d %Y %z").date()
            except ValueError:  # Feb 30
                return None
    return None


def _own_texts(article: Tag) -> Iterator[str]:
    """Yield the texts of the card's small print: no date in a title, abstract or link is one."""
    for tag in article.select("span, time"):
        text = _small(tag)
        if len(text) <= len("Published on Sep 26, 2025") and not tag.find_parent(["h3", "p", "a"]):
            yield text


def _votes(article: Tag) -> int:
    """Return the votes: a number, or a hyphen for none, in the box that asks to log in."""
    for box in article.select('a[href^="/login?next=%2Fpapers%2F"], label'):
        if found := _NUMBER.fullmatch(_small(box).removeprefix("Upvote").strip()):
            return _number(found)
    return 0


def _number_in(tag: Tag | None) -> int:
    found = _NUMBER.search(_small(tag)) if tag else None
    return _number(found) if found else 0


def _number(found: re.Match[str]) -> int:
    """Read ``843``, ``1,024`` and ``1.28k``."""
    try:
        return round(float(found[1].replace(",", "")) * (1000 if found[2] else 1))
    except ValueError:
        return 0


def _month_of(arxiv_id: str) -> date:
    """Return the first day of the month in which arXiv gave out the id (YYMM.number)."""
    month = min(max(int(arxiv_id[2:4]), 1), 12)
    return date(2000 + int(arxiv_id[:2]), month, 1)
