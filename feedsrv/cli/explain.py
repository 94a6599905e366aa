"""``feedsrv explain``: how a query is parsed, and which papers match where."""

from collections.abc import Iterator
from pathlib import Path

import click

from feedsrv.cli.service import open_service
from feedsrv.cli.settings import load_settings
from feedsrv.models import MAX_ENTRIES, Feed
from feedsrv.search.matching import match_locations
from feedsrv.search.parser import parse_query
from feedsrv.search.query import And, Not, Or, Query, iter_positive_terms
from feedsrv.search.search_terms import upstream_search_text
from feedsrv.web.pasted_query import query_from_pasted


# A query may begin with a hyphen, so there are no short options here, not even -h.
@click.command(
    "explain", context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]}
)
@click.argument("query")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ENTRIES),
    default=20,
    show_default=True,
    help="Number of papers to list.",
)
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.pass_obj
def explain_command(config_file: Path | None, query: str, limit: int, demo: bool) -> None:
    """Show how a query is parsed, and which papers match and where."""
    config = load_settings(config_file, demo=demo or None)
    query = query_from_pasted(query)  # as in the address of a feed
    tree = parse_query(query)
    click.echo("\n".join(_draw_query(tree)))
    terms = upstream_search_text(tree)
    click.echo(f"\nHugging Face search: {terms or 'none, the query has no words to search for'}")
    feed = Feed(name="explain", title="explain", query=query, limit=limit)
    with open_service(config) as service:
        result = service.get_feed(feed, is_preview=True)
        index = service.window().index
    for term in iter_positive_terms(tree):
        if term.has_forms:
            forms = (f"{form} ({count})" for form, count in index.matched_forms(term).items())
            click.echo(f"{term} finds: {', '.join(forms) or 'no word of the window'}")
    at_least = "at least " if len(result.matches) == limit else ""
    click.echo(f"{at_least}{len(result.matches)} of {result.papers_searched} papers match\n")
    for match in result.matches:
        paper = match.paper
        click.echo(f"{paper.published:%Y-%m-%d}  {paper.id}  {paper.title}")
        for location in match_locations(result.queries[feed][0], paper):
            click.echo(f"{'':12}{location}")


def _draw_query(query: Query, prefix: str = "", child_prefix: str = "") -> Iterator[str]:
    """Yield the lines of the query drawn as a tree.

    The prefixes precede the first line, which has the branch that leads to it, and all others.
    """
    match query:
        case And(parts) | Or(parts):
            yield f"{prefix}{'all of' if isinstance(query, And) else 'any of'}"
            for number, part in enumerate(parts, 1):
                is_last = number == len(parts)
                branch, indent = ("└── ", "    ") if is_last else ("├── ", "│   ")
                yield from _draw_query(part, f"{child_prefix}{branch}", f"{child_prefix}{indent}")
        case Not(part):
            yield f"{prefix}none of"
            yield from _draw_query(part, f"{child_prefix}└── ", f"{child_prefix}    ")
        case _:
            yield f"{prefix}{query.describe()}"
