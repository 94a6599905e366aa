"""`feedsrv explain`."""

from collections.abc import Callable

from click.testing import Result

from tests.support.upstream import FakeUpstream

Run = Callable[..., Result]


def test_explain_draws_the_query_and_lists_the_matches_with_their_locations(
    run: Run, upstream: FakeUpstream
) -> None:
    result = run(
        "explain",
        "causal (upvotes:>=20 OR has:code OR title:light*) -ferries",
        FEEDSRV_UPSTREAM_URL=upstream.url,
    )
    assert result.exit_code == 0
    tree, _, matches = result.stdout.partition("\n\n")
    assert tree.splitlines() == [
        "all of",
        "├── “causal” in any form, in title, abstract or keywords",
        "├── any of",
        "│   ├── upvotes >= 20",
        "│   ├── links code",
        "│   └── words starting with “light”, in title",
        "└── none of",
        "    └── “ferries” in any form, in title, abstract or keywords",
    ]
    assert "Hugging Face search: causal light\n" in matches
    assert "2611.00001  Causal lighthouses\n" in matches
    for location in (
        "title: causal",
        "title: light*",
        "upvotes: 30",
        "code: https://github.com/e/x",
    ):
        assert f"            {location}\n" in matches
    assert "2611.00003" not in matches


def test_explain_parses_what_is_pasted_as_the_address_of_a_feed_does(run: Run) -> None:
    pasted = run("explain", "--demo", "https://huggingface.co/papers?q=causal+planners")
    assert pasted.stdout == run("explain", "--demo", "causal planners").stdout


def test_explain_reports_a_query_without_search_terms(run: Run) -> None:
    result = run("explain", "--demo", "-hallucination", "--limit", "2")
    assert "Hugging Face search: none" in result.stdout


def test_explain_marks_the_position_of_a_syntax_error(run: Run) -> None:
    result = run("explain", "--demo", "causal (a")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-2:] == ["causal (a", "         ^"]
