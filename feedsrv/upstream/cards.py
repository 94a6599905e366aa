"""Parse the rendered cards of a page: the fallback when the page's embedded data is missing.

Cards have less than the data: the number of authors instead of their names, and often no abstract.
The day of a list is a label above them, without a year, between links to the days before and after.
CSS classes changed with every redesign, so the selectors use only elements and URLs that were
stable from 2023 to 2026: ``article``, ``h3 a[href^="/papers/"]``, and the upvote link to the login
page.
"""

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

from feedsrv.models import Paper
from feedsrv.upstream.normalize import normalize_line, normalize_paragraphs, normalize_url

if TYPE_CHECKING:
    from bs4 import Tag

_PAPER_HREF = re.compile(r"/papers/(\d{4}\.\d{4,5})(?:v\d+)?(?:[#?].*)?", re.ASCII)
_AUTHOR_COUNT = re.compile(r"\b(\d{1,6}) authors?\b")
_DATE = re.compile(
    r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* (\d{1,2})(?:, (\d{4}))?(?!\d)"
)
#: A text node that is a date, and a link to another day, in its new and its old form.
_DAY_LABEL = re.compile(rf">\s*{_DATE.pattern}\s*<")
_DAY_HREF = re.compile(r'href="/papers(?:/date/|\?date=)(\d{4}-\d\d-\d\d)"', re.ASCII)
#: The most days between a list and the one before. The longest gap seen, over New Year, had five.
_MAX_GAP = 31
_NUMBER = re.compile(r"([\d.,]{1,12})(k?)")
#: A link with a longer text than this is an abstract: search cards wrap theirs in a link.
_MIN_ABSTRACT_LENGTH = 80
#: The most articles that are parsed. The longest list seen had 105; search pages have 120.
_MAX_ARTICLES = 300
#: How deep articles may nest. Each unclosed article contains all that follow it.
_MAX_ARTICLE_DEPTH = 2
#: The most characters of a label (a date, a counter, a name), including white space.
_MAX_LABEL_LENGTH = 200
#: The most characters of a text; abstracts have up to 2,000. Normalizing a much longer text can
#: take minutes.
_MAX_TEXT_LENGTH = 20_000


class DayNavigation(NamedTuple):
    """The list day above the cards, and the days that the page links to; empty if unknown."""

    day: str = ""
    previous_day: str = ""
    next_day: str = ""


def parse_day_navigation(markup: str, requested: date) -> DayNavigation:
    """Return which day the page lists, by the label above its cards.

    The label has no year. The link to the day before tells it, else the nearest one is right.
    Upstream may have returned another day than the requested one.
    """
    head = markup.partition("<article")[0]
    links = sorted(filter(None, map(parse_iso_date, _DAY_HREF.findall(head))))
    years = {requested.year + n for n in (-1, 0, 1)}.union(
        link.year + n for link in links for n in (0, 1)
    )
    for label in _DAY_LABEL.finditer(head):
        month, day, shown_year = label.groups()
        shown_years = [shown_year] if shown_year else years
        days = filter(None, (_parse_displayed_date(month, day, year) for year in shown_years))
        near = [each for each in days if not links or _is_near(each, links)]
        if near:
            listed = min(near, key=lambda each: abs((each - requested).days))
            return DayNavigation(
                listed.isoformat(),
                next((str(link) for link in reversed(links) if link < listed), ""),
                next((str(link) for link in links if link > listed), ""),
            )
    return DayNavigation()


def _is_near(day: date, links: list[date]) -> bool:
    return any(0 < abs((day - link).days) <= _MAX_GAP for link in links)


def parse_cards(markup: str, *, day: date | None, year: int) -> tuple[Paper, ...]:
    """Return the papers of the page's cards, each once, in page order.

    The year is that of dates that are shown without one.
    """
    # Imported here because it takes 5 MB of memory, and this fallback is rarely needed.
    from bs4 import BeautifulSoup  # noqa: PLC0415

    # A trending article has two copies of its card, for wide and for narrow screens.
    papers: dict[str, Paper] = {}
    for article in BeautifulSoup(markup, "lxml").find_all("article", limit=_MAX_ARTICLES):
        ancestors = article.find_parents("article", limit=_MAX_ARTICLE_DEPTH + 1)
        paper = _parse_card(article, day, year) if len(ancestors) <= _MAX_ARTICLE_DEPTH else None
        if paper is not None:
            papers.setdefault(paper.id, paper)
    return tuple(papers.values())


def _parse_card(article: "Tag", day: date | None, year: int) -> Paper | None:
    heading = article.select_one('h3 a[href^="/papers/"]')
    match = _PAPER_HREF.fullmatch(str(heading["href"])) if heading else None
    if heading is None or match is None:
        return None
    github = article.select_one('a[href^="https://github.com/"]')
    return Paper(
        id=match[1],
        title=normalize_line(_text(heading)) or match[1],
        abstract=normalize_paragraphs(_abstract(article)),
        author_count=_author_count(article),
        submitted=_submission_date(article, year) or arxiv_month(match[1]),
        listed=day,
        organization=normalize_line(_organization(article)),
        code=normalize_url(str(github["href"])) if github else "",
        upvotes=_upvotes(article),
        comments=_find_number(article.select_one('a[href$="#community"]')),
        stars=_find_number(github) or _find_stars(article),
    )


def _text(tag: "Tag") -> str:
    """Return the tag's text on one line, without spaces around inline tags such as highlights."""
    return " ".join("".join(tag.strings).split())[:_MAX_TEXT_LENGTH]


def _label(tag: "Tag") -> str:
    """Return the text of a short label, or an empty string if the text is too long for one."""
    length = 0
    for string in tag.strings:
        length += len(string)
        if length > _MAX_LABEL_LENGTH:
            return ""
    return _text(tag)


def _abstract(article: "Tag") -> str:
    for tag in article.select('p, a[href^="/papers/"]'):
        text = _text(tag)
        if tag.name == "p" or (len(text) > _MIN_ABSTRACT_LENGTH and tag.find_parent("h3") is None):
            return text
    return ""


def _author_count(article: "Tag") -> int:
    for item in article.select("li"):
        if count := _AUTHOR_COUNT.search(_label(item)):
            return int(count[1])
    return 0


def _organization(article: "Tag") -> str:
    """Return the organization's name: the first link to ``/NAME``."""
    for tag in article.find_all("a", href=re.compile(r"^/[\w.-]+$")):
        if name := _label(tag):
            return name
    return ""


def _submission_date(article: "Tag", year: int) -> date | None:
    """Return the date in a short label, but not in a title, an abstract or a link."""
    for tag in article.select("span, time"):
        text = _label(tag)
        is_short = len(text) <= len("Published on Sep 26, 2025")
        match = _DATE.search(text) if is_short else None
        if match and not tag.find_parent(["h3", "p", "a"]):
            month, day, shown_year = match.groups()
            return _parse_displayed_date(month, day, shown_year or year)
    return None


def _parse_displayed_date(month: str, day: str, year: str | int) -> date | None:
    """Return the date of an abbreviated month, a day and a year; None for one such as Feb 30."""
    try:
        return datetime.strptime(f"{month} {day} {year} +0000", "%b %d %Y %z").date()
    except ValueError:
        return None


def parse_iso_date(text: str) -> date | None:
    """Return the date; None where the text is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _upvotes(article: "Tag") -> int:
    """Return the number in the upvote control; it shows a hyphen for none."""
    for control in article.select('a[href^="/login?next=%2Fpapers%2F"], label'):
        if match := _NUMBER.fullmatch(_label(control).removeprefix("Upvote").strip()):
            return _parse_number(match)
    return 0


def _find_number(tag: "Tag | None") -> int:
    match = _NUMBER.search(_label(tag)) if tag else None
    return _parse_number(match) if match else 0


def _find_stars(article: "Tag") -> int:
    """Return the number in a link to the paper that has an icon and a number only."""
    for link in article.select('a[href^="/papers/"]:has(svg)'):
        match = _NUMBER.fullmatch(_label(link))
        if match and "#" not in str(link["href"]) and link.find_parent("h3") is None:
            return _parse_number(match)
    return 0


def _parse_number(match: re.Match[str]) -> int:
    """Parse ``843``, ``1,024`` and ``1.28k``; return 0 for what is not a number."""
    try:
        return round(float(match[1].replace(",", "")) * (1000 if match[2] else 1))
    except ValueError:
        return 0


def arxiv_month(arxiv_id: str) -> date:
    """Return the first day of the month in the arXiv id (YYMM.number)."""
    month = min(max(int(arxiv_id[2:4]), 1), 12)
    return date(2000 + int(arxiv_id[:2]), month, 1)
