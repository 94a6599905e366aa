"""Pages as Hugging Face writes them, with damage."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from html import escape
from random import Random
from typing import Any, NamedTuple

from feedsrv.models import Kind, Page

Json = dict[str, Any]
DAY = "2026-08-07"
FRAMES: dict[Page, Json] = {
    Page(Kind.DAY, DAY): {"dateString": DAY, "periodType": "day", "prevDate": "2026-08-06"},
    Page(Kind.WEEK, "2026-W32"): {"dateString": "2026-W32", "periodType": "week"},
    Page(Kind.MONTH, "2026-08"): {"dateString": "2026-08", "periodType": "month"},
    Page(Kind.TRENDING): {"isTrending": True},
    Page(Kind.SEARCH, "pear tree"): {"dateString": DAY, "query": {"q": "pear tree"}},
}
PAGES = list(FRAMES)

_WORDS = "kites listen to the harbour model's causal world-models, 3D and C++ naïve “tides” — 100 %"
_ODD_TEXTS = [
    "", " ", "\n\n", "\x00", "\x1b[0m", "\x85", "\ufffe", "\uffff", "\ud800", "\udc00x", "\u2028",
    "$x^2$", "$\\frac{1}{2}$", "\\'{e}", "\\(", "$" * 50, "{" * 50, "\\mathcal{AB}", "\\" * 9,
    "&quot;", "&amp;lt;", "&#0;", "&#xD800;", "&nosuch;", '"', "'", "]]>", "<!--", "-->", "<b>",
    "<script>alert(1)</script>", "\u202eabc", "e\u0301", "Z\u0351\u036b", "\ufdfa", "\u0130",
    "\U0001f469\u200d\U0001f52c", "\ufeff", "\u200b", "\xad", "x" * 3000, "a " * 1500, "é" * 400,
]  # fmt: skip
_ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 2**31, 2**63, 2**64, -(2**70), 10**400, 1.5, 1e308, [], {}, [[]],
    "day", "week", "search", DAY, "2026-W32", "2026-W54", "2026-13", "2026-02-30", "٢٠٢٦-٠٨-٠٧",
    "2026-08-07T00:00:00.000Z", "2026-08-07T25:00:00Z", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-12:00", "2026-08-07T00:00:00", "2608.99001", "2608.99001v9", "../x",
    "javascript:alert(1)", "https://[", "https://example.org/\n x", " http://x", "ftp://x", "//x",
    {"name": "x"}, {"paper": {}}, [None], ["https://example.org/a.mp4"], {"q": None},
]  # fmt: skip
_FRAGMENTS = [
    "<article>", "</article>", "<h3>", "</h3>", '<a href="/papers/2608.99003">', "</a>", "<p>",
    '<a href="/papers/2608.99003#community">', "<li>9 authors", "<ul>", "<span>", "</span>",
    "<label>", "Upvote", "Mar 9, 2026", "Feb 30", "99999 authors", "1.2k", "9" * 400, "&#xD800;",
    "<!--", "-->", "<![", "<![CDATA[", "]]>", "<?x", "<script>", "</script>", "<style>",
    "<title>",
    "<textarea>", "<plaintext>", "<template>", "<svg>", "<math>", "<table>", "<select>", "<base>",
    '<time datetime="2026-08-05">', '<div data-target="DailyPapers" data-props="', '">', "'", '"',
    '<div data-target="DailyPapers" data-props>', " data-props='{}'", 'data-target="x" ', "<",
    ">",
    "&", "&quot", "&quot;", "&#34;", "[", "]", "{", "}", "null", ",", ":", "1e999", "-",
    "\\u0000",
    "\0", "\ufeff", "\r\n", "\x0b", '<meta charset="utf-16">', "</html>", "</body>", "<html a=b>",
    "<iframe>", "<noscript>", "<br/>", "</br>", "</p>", "<a b='", "<a/b/c>", "<frameset>", '=""',
]  # fmt: skip
_BYTES = [*(each.encode() for each in _FRAGMENTS), b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x80" * 9]


class Case(NamedTuple):
    """A page or an API response, and the requested page."""

    body: bytes
    requested: Page
    api: bool
    #: Whether to compare it with BeautifulSoup, which takes as long as the rest.
    with_tree: bool


def page(chance: Random) -> Case:
    """Return a page or an API response, with or without damage."""
    requested = chance.choice(PAGES)
    api = chance.random() < 0.2
    text = json.dumps(_data(chance, requested, api=api), ensure_ascii=chance.random() < 0.3)
    if chance.random() < 0.15:
        text = _damage_text(chance, text)
    if not api:
        text = _wrap_in_page(chance, text)
    if chance.random() < 0.1:
        requested = chance.choice(PAGES)
    return Case(_bytes(chance, text), requested, api, with_tree=not api and chance.random() < 0.25)


# --- the data --------------------------------------------------------------------------------


def _data(chance: Random, requested: Page, *, api: bool) -> Any:
    size = chance.choice((1, 1, 1, 2, 3, 4)) if chance.random() < 0.998 else 100
    entries = [_entry(chance, number) for number in range(size)]
    list_key = "searchResults" if requested.kind is Kind.SEARCH else "dailyPapers"
    data: Any = entries if api else {"dailyPapers": [], **FRAMES[requested], list_key: entries}
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 4))):
        _damage(chance, data)
    return data


def _entry(chance: Random, number: int) -> Json:
    paper: Json = {
        "id": f"2608.{chance.choice((number, number, chance.randrange(99999))):05}",
        "authors": [
            {"name": _text(chance), "hidden": chance.random() < 0.2}
            for _ in range(chance.randrange(4))
        ],
        "publishedAt": f"2026-08-0{chance.randint(1, 9)}T00:00:00.000Z",
        "title": _text(chance),
        "summary": _text(chance) + chance.choice(("", "\n\n", "\n")) + _text(chance),
        "upvotes": chance.randrange(300),
    }
    optional = {
        "submittedOnDailyAt": f"2026-08-0{chance.choice((7, 7, 6))}T00:00:00.000Z",
        "githubRepo": chance.choice(("https://github.com/example/kite", " HTTP://x.y/z\n")),
        "githubStars": chance.randrange(10**5),
        "projectPage": chance.choice(("https://example.org/?a=1&b=2", "javascript:alert(1)", "")),
        "ai_summary": _text(chance),
        "ai_keywords": [_text(chance) for _ in range(chance.randrange(3))],
        "mediaUrls": ["https://example.org/kite.mp4", _text(chance)],
        "organization": {"name": "lab", "fullname": _text(chance)},
    }
    paper |= {key: value for key, value in optional.items() if chance.random() < 0.6}
    return {"paper": paper, "title": paper["title"], "numComments": chance.randrange(9)}


def _text(chance: Random) -> str:
    words = _WORDS.split()
    text = " ".join(chance.choice(words) for _ in range(chance.randrange(1, 8)))
    if chance.random() < 0.25:
        position = chance.randrange(len(text))
        text = text[:position] + chance.choice(_ODD_TEXTS) + text[position:]
    if chance.random() < 0.02:
        text += "".join(chr(chance.randrange(0x110000)) for _ in range(9))
    return text


def _damage(chance: Random, data: Any) -> None:
    """Delete, replace, double, rename, swap or nest something, somewhere in the data."""
    locations = list(_locations(data))
    if not locations:
        return
    parent, key = chance.choice(locations)
    match chance.randrange(8):
        case 0:
            del parent[key]
        case 1 | 2:
            parent[key] = deepcopy(chance.choice(_ODD_VALUES))
        case 3 | 4 if isinstance(parent[key], str):
            parent[key] = _text(chance)
        case 5 if isinstance(parent, list):
            parent.append(deepcopy(parent[key]))
        case 6 if isinstance(parent, dict):
            parent[chance.choice([*parent, _text(chance)])] = parent.pop(key)
        case _:
            other_parent, other_key = chance.choice(locations)
            if (
                other_key in other_parent
                if isinstance(other_parent, dict)
                else other_key < len(other_parent)
            ):
                parent[key] = deepcopy(other_parent[other_key])


def _locations(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _locations(inner)


def _damage_text(chance: Random, text: str) -> str:
    """Return the JSON with a fragment removed, inserted or repeated."""
    position = chance.randrange(len(text))
    match chance.randrange(4):
        case 0:
            return text[:position]
        case 1:
            return text[:position] + text[position + chance.randrange(1, 9) :]
        case 2:
            return text[:position] + chance.choice(_FRAGMENTS) + text[position:]
        case _:
            deep = chance.choice(("[", '{"paper":', "9", " ", '"')) * chance.choice((9, 999, 9999))
            return text[:position] + deep + text[position:]


# --- the page around it ----------------------------------------------------------------------


def _wrap_in_page(chance: Random, data: str) -> str:
    quoted = chance.choice(_QUOTINGS)(data)
    attributes = [' data-target="DailyPapers"', f" data-props={quoted}", ' class="contents"']
    if chance.random() < 0.2:
        chance.shuffle(attributes)
    tag = chance.choice(("div", "div", "div", "section", "p", "x-y", "time", "article"))
    cards = "".join(_card(chance) for _ in range(chance.choice((0, 0, 0, 1, 2))))
    label = chance.choice(("", "", f'<time datetime="{DAY}T00:00:00.000Z"></time>'))
    element = f"<{tag}{''.join(attributes)}>{label}{cards}</{tag}>"
    match chance.randrange(40):
        case 0:
            element = f"<!--{element}-->{cards}"
        case 1:
            element = f"<script>{element}</script>"
        case 2:
            element = f"<p title='{element}'>"
        case 3:
            element *= 2
        case 4 | 5 | 6 | 7:
            element = label + cards
    return (
        '<!doctype html>\n<html class=""><head><meta charset="utf-8" /></head><body><!--[--><main>'
        '<div class="contents" data-target="MainHeader" data-props="{}"></div>'
        f"{element}</main><!--]--></body></html>"
    )


_QUOTINGS: tuple[Callable[[str], str], ...] = (
    *(lambda data: f'"{escape(data)}"',) * 8,
    lambda data: f'"{escape(data).replace("&quot;", "&#34;")}"',
    lambda data: f'"{escape(data).replace("&quot;", "&QUOT;")}"',
    lambda data: f"'{escape(data, quote=False).replace(chr(39), '&apos;')}'",
    escape,
    lambda data: f'"{data}"',
)


def _card(chance: Random) -> str:
    name = chance.choice(
        ("2608.99001", "2608.99002", "2608.99003v2", "2608.9", "../x", "٢٦٠٨.٩٩٠٠١")
    )
    title, abstract = escape(_text(chance)), escape(_text(chance))
    votes = chance.choice(("7", "-", "1.2k"))
    parts = [
        f'<a href="/login?next=%2Fpapers%2F{name}"><div>{votes}</div></a>',
        f'<h3><a href="/papers/{name}">{title}</a></h3>',
        f"<p>{abstract}</p>",
        "<ul><li>2 authors</li></ul>",
        "<span>Published on Sep 26, 2025</span>",
        f'<a href="https://github.com/{title}"><span>1.28k</span></a>',
        f'<a href="/papers/{name}#community">3</a><a href="/lab">{title}</a>',
    ]
    if chance.random() < 0.3:
        parts[chance.randrange(len(parts))] = chance.choice(_FRAGMENTS)
    if chance.random() < 0.1:
        chance.shuffle(parts)
    return f"<article>{''.join(parts)}{chance.choice(('</article>',) * 9 + ('',))}"


def _bytes(chance: Random, text: str) -> bytes:
    """Return the page as bytes, mostly intact."""
    body = text.encode("utf-8", "surrogatepass")
    match chance.randrange(60):
        case 0:
            return text.encode("utf-16", "surrogatepass")
        case 1:
            return text.encode("latin-1", "replace")
        case 2:
            return b"\xef\xbb\xbf" + body
        case 3:
            return chance.choice(_BYTES) * chance.choice((1, 30, 300, 3000)) + body
        case 4:
            return b"".join(chance.choice(_BYTES) for _ in range(chance.randrange(60)))
    while chance.random() < 0.3 and body:
        body = _cut(chance, body)
    return body


def _cut(chance: Random, body: bytes) -> bytes:
    """Return the page truncated, or with a part removed, repeated, changed or inserted."""
    start = chance.randrange(len(body))
    end = start + chance.choice((0, 1, 1, 9, 99, 9999))
    match chance.randrange(5):
        case 0:
            return body[:start]
        case 1:
            return body[:start] + body[end:]
        case 2:
            return body[:end] + body[start:]
        case 3:
            return body[:start] + bytes([chance.randrange(256)]) + body[start + 1 :]
        case _:
            times = 1 if chance.random() < 0.97 else 500
            return body[:start] + chance.choice(_BYTES) * times + body[start:]
