"""BibTeX, parsed by two libraries of reference managers."""

import warnings
from datetime import date

import pytest
from bibtexparser.entrypoint import parse_string as parse_with_bibtexparser
from hypothesis import given
from pybtex.database import Entry as BibtexEntry
from pybtex.database import parse_string

from feedsrv.feeds.bibtex import render_bibtex
from feedsrv.feeds.entry import build_entries
from feedsrv.models import Feed, Match, Paper
from tests.support.builders import make_paper
from tests.support.documents import METADATA
from tests.support.strategies import papers

FEED = Feed(name="kites", title="Kites")


def render(*several: Paper) -> str:
    matches = [Match(paper, (FEED,)) for paper in several]
    return render_bibtex(METADATA, build_entries(matches)).decode()


def read(*several: Paper) -> dict[str, BibtexEntry]:
    """Return the entries parsed by pybtex, after comparing them with bibtexparser."""
    text = render(*several)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        library = parse_with_bibtexparser(text)
        entries = dict(parse_string(text, "bibtex").entries)
    assert not library.failed_blocks
    assert [entry.key for entry in library.entries] == list(entries)
    for entry in library.entries:
        fields = {field.key.lower() for field in entry.fields} - {"author"}
        assert fields == {name.lower() for name in entries[entry.key].fields}
    return entries


def read_one(**details: object) -> BibtexEntry:
    (entry,) = read(make_paper("2608.99001", **details)).values()
    return entry


def test_an_entry_has_what_a_reference_manager_needs() -> None:
    paper = make_paper(
        "2608.99001",
        title="Kites and wind",
        abstract="They fly.\n\nThey land.",
        authors=("Ada Quill", "Bo Lantern"),
        keywords=("kites", "wind"),
        submitted=date(2026, 8, 5),
    )
    assert render(paper).splitlines()[2:] == [
        "@misc{arXiv-2608.99001,",
        "  author = {Ada Quill and Bo Lantern},",
        "  title = {{Kites and wind}},",
        "  year = {2026},",
        "  month = aug,",
        "  eprint = {2608.99001},",
        "  archivePrefix = {arXiv},",
        "  doi = {10.48550/arXiv.2608.99001},",
        "  url = {https://arxiv.org/abs/2608.99001},",
        "  keywords = {kites, wind},",
        "  abstract = {They fly. They land.},",
        "}",
    ]


def test_the_key_stays_when_title_and_authors_are_corrected() -> None:
    first = make_paper("2608.99001")
    second = make_paper("2608.99001", title="Kyte", authors=("Zoe Last",))
    assert read(first).keys() == read(second).keys() == {"arXiv-2608.99001"}


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("Müller & Söhne: 5 % #1 a_b", r"M{\"u}ller \& S{\"o}hne: 5 \% \#1 a\_b"),
        ("costs $5 to $10", r"costs \$5 to \$10"),
        (r"the $x_i^{2}$ of $\alpha$", r"the $x_i^{2}$ of $\alpha$"),
        ("{", r"\textbraceleft{}"),
        ("a}b", r"a\textbraceright{}b"),
        (r"$a_{b$", r"\$a\_\textbraceleft{}b\$"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("Łódź 中文", r"{\L}{\'o}d{\'z} 中文"),
    ],
)
def test_special_characters_are_tex(text: str, tex: str) -> None:
    assert read_one(title=text).fields["title"] == f"{{{tex}}}"


@pytest.mark.parametrize(
    "names",
    [
        ("Ada Quill", "Bo Lantern"),
        ("Fog and Sons", "Ada Quill"),
        ("Quill, Ada",),
        ("AND",),
        ("{", "}{"),
        ("The Lighthouse Team",),
    ],
)
def test_every_author_is_one_person(names: tuple[str, ...]) -> None:
    assert len(read_one(authors=names).persons["author"]) == len(names)


def test_an_entry_without_authors_and_abstract_has_neither_field() -> None:
    entry = read_one(authors=(), abstract="")
    assert "author" not in entry.persons
    assert "abstract" not in entry.fields


def test_a_sample_paper_has_no_arxiv_fields() -> None:
    (key,), (entry,) = zip(*read(make_paper("sample-01")).items(), strict=True)
    assert key == "sample-01"
    assert not {"eprint", "doi"} & {name.lower() for name in entry.fields}


def test_a_feed_without_entries_is_a_file_without_entries() -> None:
    assert not read()


@given(papers())
def test_any_paper_can_be_read_back(paper: Paper) -> None:
    assert len(read(paper)) == 1


def test_the_same_papers_give_the_same_bytes() -> None:
    assert render(make_paper()) == render(make_paper())
