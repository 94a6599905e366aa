"""What people paste in place of a query: addresses, citations, BibTeX, lines of numbered lists."""

import re
from urllib.parse import parse_qs, urlsplit

from feedsrv.upstream.normalize import tex_to_unicode
from feedsrv.web.routing import PERIODS

#: The address of a list or feed, here or at Hugging Face.
_LIST_URL = re.compile(
    r"https?://[\w.:-]+(?:/[\w.~-]+){0,4}/papers(?:[./?#]\S*)?", re.IGNORECASE | re.ASCII
)
_HUGGING_FACE = {"huggingface.co", "www.huggingface.co", "hf.co"}
_LIST_PATH = re.compile(rf"/papers(?:/trending|/(?:{'|'.join(PERIODS)})/[\w-]+)?", re.ASCII)
#: The page of an organization or a person. Hugging Face's own pages have the other names.
_PROFILE_URL = re.compile(
    r"https?://(?:www\.)?(?:huggingface|hf)\.co/(?:organizations/)?(?!(?:papers|models|datasets|spaces"
    r"|docs|blog|posts|tasks|learn|chat|join|login|pricing|enterprise|settings|collections)\b)"
    r"([\w-][\w.-]*)(?:/papers|/activity/\w+)?/?(?:[?#]\S*)?",
    re.IGNORECASE | re.ASCII,
)
_LIST_NUMBER = re.compile(r"(?:\d{1,3}[.)]|\(\d{1,3}\)|\[\d{1,3}\])\s+(?!(?:AND|OR)\b)(?=\w)")
#: "arXiv 2510.12345", and the category in "arXiv:2510.12345 [cs.CL]".
_ARXIV_LABEL = re.compile(r"\barxiv:?\s+(?=\d{4}\.\d{4,5})", re.IGNORECASE)
_ARXIV_CATEGORY = re.compile(r"(\d{4}\.\d{4,5}(?:v\d+)?)\s+\[[a-z-]+(?:\.[A-Za-z-]+)?\]")
_BIBTEX_FIELD = re.compile(
    r"(?:title|eprint|doi|url)\s*=\s*(?:\{(.*)\}|\"(.*)\"),?", re.IGNORECASE | re.DOTALL
)
_BRACES = str.maketrans("", "", "{}")


def query_from_pasted(text: str) -> str:
    """Return the query that a text means, which is nearly always the text itself."""
    if profile := _PROFILE_URL.fullmatch(text):
        return f"org:{profile[1]} OR author:@{profile[1]}"
    if _LIST_URL.fullmatch(text):
        return parse_qs(urlsplit(text).query).get("q", [text])[0]
    if field := _BIBTEX_FIELD.fullmatch(text):
        text = field[1] or field[2] or ""
    text = _ARXIV_CATEGORY.sub(r"\1", _ARXIV_LABEL.sub("", text))
    if match := _LIST_NUMBER.match(text):
        text = text[match.end() :]
    return _without_tex(text) if "\\" in text or "{" in text else text


def _without_tex(text: str) -> str:
    """Return a title as papers have it. In BibTeX, braces only keep the case of letters."""
    converted = tex_to_unicode(text)
    return converted if "$" in converted or "\\" in converted else converted.translate(_BRACES)


def list_path(text: str) -> str:
    """Return the path of a list of Hugging Face whose address a text is; empty for other texts."""
    if not _LIST_URL.fullmatch(text):
        return ""
    url = urlsplit(text)
    parameters, path = parse_qs(url.query), url.path.rstrip("/")
    for period in PERIODS:
        if period in parameters and path == "/papers":
            path = f"/papers/{period}/{parameters[period][0]}"
    is_list = (url.hostname or "") in _HUGGING_FACE and _LIST_PATH.fullmatch(path)
    return path if is_list else ""
