"""What to search for on upstream's search page, from a query."""

import re
from functools import lru_cache

from feedsrv.search.parser import CONFIG_LIMITS, parse_query
from feedsrv.search.query import Query, iter_positive_terms

#: Characters of what upstream's search takes.
MAX_UPSTREAM_LENGTH = 250

_WORD = r"(?!(?:AND|OR|NOT)\b)[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*"
_HAS = r"has:(?:code|project|media|model|dataset|space)"
_CONDITION = rf"{_HAS}|(?:upvotes|comments|stars):(?:[<>]=?|=)\d{{1,9}}"
_TERM = rf'-?(?:(?:title|abstract|keyword):)?(?:{_WORD}\*?|"{_WORD}(?:[ ]{_WORD})*")|{_CONDITION}'
#: Terms without parentheses, one of them or all of them: most queries of a settings file.
_PLAIN_QUERY = re.compile(rf"(?:{_TERM})(?:(?: OR)? (?:{_TERM}))*")
#: What a plain query has beside the words that upstream is sent.
_NO_SEARCH_TERM = re.compile(rf'(?<!\S)(?:OR(?!\S)|-[a-z:]*(?:"[^"]*"|\S+)|{_CONDITION})')
_MARKS = re.compile(r'"|\*(?!\S)|(?<!\S)(?:title|abstract|keyword):')


@lru_cache(maxsize=32_768)
def search_terms(query: str) -> str:
    """Return the query's words that upstream's search is sent; empty where there are none.

    A plain query is not parsed: a server with twenty thousand feeds would take long to start.

    Raises:
        QueryError: The query is invalid.
    """
    if not query:
        return ""
    # A term and the space before it take two characters at least.
    if len(query) > 2 * CONFIG_LIMITS.terms or not _PLAIN_QUERY.fullmatch(query):
        return upstream_search_text(parse_query(query))
    words = _MARKS.sub("", _NO_SEARCH_TERM.sub("", query)).split()
    return " ".join(dict.fromkeys(words))[:MAX_UPSTREAM_LENGTH].strip()


def upstream_search_text(query: Query) -> str:
    """Return the text to send to upstream's search: the words that are not excluded, as typed.

    Empty for a query of exclusions, links and counters alone: there is nothing to search for.
    Upstream takes no more than 250 characters.
    """
    words = (word for term in iter_positive_terms(query) for word in term.text.split())
    return " ".join(dict.fromkeys(words))[:MAX_UPSTREAM_LENGTH].strip()
