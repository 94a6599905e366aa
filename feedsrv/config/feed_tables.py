"""Feeds from the ``[feeds]`` tables of a file."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import indent

import msgspec

from feedsrv.config.bibtex_library import read_arxiv_ids
from feedsrv.config.conversion import table_problems
from feedsrv.config.validation import address_problems, quote_key, quote_value
from feedsrv.errors import QueryError
from feedsrv.mail_address import parse_mail_address
from feedsrv.models import INTERNAL_FEED_FIELDS, XML_FORBIDDEN, Feed
from feedsrv.search.search_terms import search_terms

_FEED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def build_feeds(tables: object, file: str, problems: list[str]) -> Iterator[tuple[str, Feed]]:
    """Yield the feeds of the ``[feeds]`` tables by name, and append the problems of the others."""
    if not isinstance(tables, Mapping):
        problems.append(f"{file}: feeds: expected tables such as [feeds.causal]")
        return
    directory = Path(file).parent
    for name, table in tables.items():
        found = list(_feed_problems(name, table))
        problems += [f"{file}: feeds.{quote_key(name)}{problem}" for problem in found]
        if not found:
            title = table.get("title") or name
            mail = [parse_mail_address(address) for address in table.get("mail", ())]
            feed = msgspec.convert({**table, "title": title, "name": name, "mail": mail}, Feed)
            try:
                if feed.like_file:
                    library = read_arxiv_ids(feed.like_file, directory)
                    feed = msgspec.structs.replace(feed, library=library)
                yield name, feed
            except ValueError as error:
                problems.append(f"{file}: feeds.{name}.like_file: {error}")


def _feed_problems(name: str, table: object) -> Iterator[str]:
    """Yield what is wrong with a feed's table, each as the key's path below it and a message."""
    if not _FEED_NAME.fullmatch(name):
        yield ": a feed name has at most 64 letters, digits, - and _"
    found = list(table_problems(Feed, table, hidden=INTERNAL_FEED_FIELDS))
    yield from found
    if not isinstance(table, Mapping):
        return
    if not any(problem.startswith(".mail:") for problem in found):
        yield from address_problems(".mail", table.get("mail", ()))
    title, query = table.get("title", ""), table.get("query", "")
    if isinstance(title, str) and XML_FORBIDDEN.search(title):
        shown = quote_value(title)
        yield f".title: expected text without the characters that XML forbids, not {shown}"
    if isinstance(query, str):
        yield from _query_problems(query, table.get("sources"))


def _query_problems(query: str, sources: object) -> Iterator[str]:
    try:
        terms = search_terms(query)
    except QueryError as error:
        yield f".query: {error}\n{indent(error.with_caret(), '  ')}"
        return
    if isinstance(sources, list) and sources and not terms and all(s == "search" for s in sources):
        yield '.query: has no words to search for; add "daily" to sources'
