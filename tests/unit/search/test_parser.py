"""The query language's parser."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from feedsrv.errors import QueryError
from feedsrv.search.parser import CONFIG_LIMITS, URL_LIMITS, parse_query
from feedsrv.search.query import (
    And,
    CountCondition,
    HasArtefact,
    HasLink,
    Not,
    Or,
    Query,
    Term,
    canonical_text,
    iter_positive_terms,
)
from tests.support.strategies import queries, query_texts

LIKE_THREE = "like:2611.00001,2611.00002,2611.00003 kite"
NEST8 = "(" * 8 + "moon" + ")" * 8


REFUSED = [
    # query, position, a part of the reason
    ("", 0, "expected a word"),
    ("   ", 0, "expected a word"),
    ("\t\r\n", 0, "expected a word"),
    ("\xa0", 0, "expected a word"),
    ("-", 1, "expected a word"),
    ("*", 1, "expected a word"),
    ("& – ;", 5, "expected a word"),
    ('"moon" \xa0 "tides', 9, "unclosed quotation mark"),
    ('"moon', 0, "unclosed quotation mark"),
    ('moon"', 4, "unclosed quotation mark"),
    ('title:"moon', 6, "unclosed quotation mark"),
    ('="moon', 1, "unclosed quotation mark"),
    ("\u201cmoon", 0, "unclosed quotation mark"),
    ("\uff02moon", 0, "unclosed quotation mark"),
    ('""', 0, "not a word"),
    ('=""', 0, "not a word"),
    ('moon "-"', 5, "not a word"),
    ("OR OR", 0, "not 'OR'; quote it to search for it"),
    ("OR moon", 0, "not 'OR'"),
    ("moon OR", 7, "expected a word"),
    ("moon OR  ", 7, "expected a word"),
    ("moon OR OR tides", 8, "not 'OR'"),
    ("|", 0, "not '|'"),
    ("AND moon", 0, "not 'AND'"),
    ("moon AND", 8, "expected a word"),
    ("NOT", 3, "expected a word"),
    ("NOT NOT moon", 4, "not 'NOT'"),
    ("NOT -moon", 4, "not '-'"),
    ("!moon", 0, "write -word"),
    ("title:!moon", 6, "write -word"),
    ("title:-moon", 6, "not '-'"),
    ("()", 1, "before this parenthesis"),
    ("moon (&)", 7, "before this parenthesis"),
    ("-()", 2, "before this parenthesis"),
    ("(moon OR)", 8, "before this parenthesis"),
    ("(", 1, "expected a word"),
    ("(moon", 5, "unclosed parenthesis"),
    ("\uff08moon", 5, "unclosed parenthesis"),
    ("((moon) tides", 13, "unclosed parenthesis"),
    (")", 0, "parenthesis"),
    ("moon)", 4, "unmatched closing parenthesis"),
    ("(moon))", 6, "unmatched closing parenthesis"),
    ("title:", 6, "expected a word"),
    ("title:&", 6, "not a word"),
    ("title: OR", 7, "not 'OR'"),
    ("title:(moon tides)", 6, "not parentheses"),
    ("author:title:moon", 7, "not 'title:'"),
    ("has:foo", 4, "code, project, media, model, dataset or space"),
    ("moon has:models", 9, "code, project, media, model, dataset or space"),
    ("has: ", 4, "expected a word"),
    ("upvotes:20", 8, ">= > <= < ="),
    ("upvotes:many", 8, ">= > <= < ="),
    ("stars:>=many", 6, "as in stars:>=20"),
    ("moon comments:=-1", 14, "as in comments:>=20"),
    ("upvotes:>=9999999999", 8, ">= > <= < ="),
    ("\x00", 0, "not allowed"),
    ("moon \x00", 5, "not allowed"),
    ("\ud800", 0, "not allowed"),
    ("moon " * 32 + "tides", 160, "at most 32 terms"),
    ("m" * 251, 250, "at most 250 characters"),
    (f"({NEST8})", 8, "at most 8 deep"),
    (f"tides {NEST8} ({NEST8})", 35, "at most 8 deep"),
]


@pytest.mark.parametrize(
    ("query", "position", "reason"), REFUSED, ids=[ascii(query)[:40] for query, _, _ in REFUSED]
)
def test_a_query_that_cannot_be_parsed_is_rejected_with_position_and_reason(
    query: str, position: int, reason: str
) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(query, URL_LIMITS)
    assert caught.value.query == query
    assert caught.value.position == position
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "query",
    [" ".join(["moon"] * 32), "m" * 250, f"tides {'moon ' * 30}   ", NEST8, f"{NEST8} {NEST8}"],
    ids=["32 terms", "250 characters", "31 terms and blanks", "nesting 8", "nesting 8 twice"],
)
def test_a_query_at_a_limit_is_accepted(query: str) -> None:
    parse_query(query, URL_LIMITS)


def test_the_settings_file_may_have_longer_queries_than_a_url() -> None:
    keywords = " OR ".join(f'"world model {number}"' for number in range(100))
    assert URL_LIMITS.length < len(keywords) <= CONFIG_LIMITS.length
    assert isinstance(parse_query(keywords), Or)
    with pytest.raises(QueryError, match="at most 4000 characters"):
        parse_query("moon " * 800 + "m")
    with pytest.raises(QueryError, match="at most 400 terms"):
        parse_query("m " * 401)


def test_an_error_message_has_a_one_based_position_and_a_caret() -> None:
    with pytest.raises(QueryError) as caught:
        parse_query("moon\tOR\nhas:foo")
    assert str(caught.value).endswith("(at character 13)")
    assert caught.value.with_caret() == "moon OR has:foo\n            ^"


def test_an_error_message_has_no_character_that_a_terminal_would_obey() -> None:
    with pytest.raises(QueryError) as caught:
        parse_query("moon \x1b[2J \0 \ud800")
    assert caught.value.with_caret() == "moon \ufffd[2J \ufffd \ufffd\n     ^"


def word(text: str, before: str = "", after: str = "") -> Term:
    return Term("", text, "forms", before, after)


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("a b c", And((word("a", after="b"), word("b", "a", "c"), word("c", "b")))),
        ("a AND (b c)", And((word("a", after="b"), word("b", "a", "c"), word("c", "b")))),
        ("a OR (b OR c)", Or((word("a"), word("b"), word("c")))),
        ("a | b", Or((word("a"), word("b")))),
        ("a || b | | c", Or((word("a"), word("b"), word("c")))),
        ("(a)", word("a")),
        ("NOT --a", Not(word("--a"))),
        ("-(a)", Not(word("a"))),
        ("NOT a", Not(word("a"))),
        ("a-b", word("a-b")),
        ('"a b"', Term("", "a b", "phrase")),
        ('="A b"', Term("", "A b", "verbatim")),
        ("A-B*", Term("", "A-B", "prefix")),
        ("author:A", Term("author", "A", "exact")),
        ("author:A*", Term("author", "A", "prefix")),
        ('author:"Ada  Quill"', Term("author", "Ada Quill", "exact")),
        ('author:"Quill, Ada"', Term("author", "Ada Quill", "exact")),
        ('author:"Quill, Jr."', Term("author", "Quill, Jr.", "exact")),
        ("author:@ada", Term("author", "@ada", "exact")),
        ("by:@ada", Term("by", "@ada", "exact")),
        ("stars:\u2264100", CountCondition("stars", "<=", 100)),
        ('keyword:"A b"', Term("keyword", "A b", "phrase")),
        ("id:2601.00001v4", Term("id", "2601.00001", "exact")),
        ("HAS:Media", HasLink("media")),
        ("has:model", HasArtefact("model")),
        ("-HAS:Space has: dataset", And((Not(HasArtefact("space")), HasArtefact("dataset")))),
        ("stars:<=007", CountCondition("stars", "<=", 7)),
        ("a b OR c", Or((And((word("a", after="b"), word("b", "a"))), word("c")))),
        ("a (b OR c)", And((word("a"), Or((word("b"), word("c")))))),
        ("a -b c", And((word("a"), Not(word("b")), word("c")))),
        ("a(b)-c", And((word("a", after="b"), word("b", "a", "c"), word("c", "b")))),
        ('"a"-b', And((Term("", "a", "phrase"), word("b")))),
        ("(-a)", Not(word("a"))),
        ("a|-b", Or((word("a"), Not(word("b"))))),
        ("a-b c", And((word("a-b", after="c"), word("c", "b")))),
    ],
)
def test_a_query_is_parsed_to_a_flat_tree(query: str, tree: Query) -> None:
    assert parse_query(query) == tree


@pytest.mark.parametrize(
    ("query", "plain"),
    [
        ("\uff08robot OR drone\uff09", "(robot OR drone)"),
        ("title\uff1aagent", "title:agent"),
        ("\uff02world model\uff02", '"world model"'),
        ("\u201cworld model\u201d \u2013survey", '"world model" -survey'),
        ("\u00abworld model\u00bb", '"world model"'),
        ("robot\u3000\uff5c\u3000drone", "robot | drone"),
        ("\u300eworld model\u300f", '"world model"'),
        ("upvotes:\u226520", "upvotes:>=20"),
        ("upvotes\uff1a\uff1e\uff1d\uff12\uff10", "upvotes:>=20"),
        ("diffus\uff0a", "diffus*"),
        ("``world model''", '"world model"'),
        ("\"world model'' survey", '"world model" survey'),
        ("\uff32\uff21\uff27", "RAG"),
    ],
)
def test_full_width_and_typographic_marks_are_parsed_as_ascii(query: str, plain: str) -> None:
    assert parse_query(query) == parse_query(plain)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("FACET: Preserving Faces", "facet preserving faces"),
        ("Faces & Voices", "faces voices"),
        ("Faces \u2014 a Survey", "faces a survey"),
        ("Faces\u2014 a Survey of 3,000", "faces a survey of 3 000"),
        ("Why Not? On / Off !", "why not on off"),
        ("A*-Search, Again", "a search again"),
        ("Thinking... Fast and Slow; [v2]", "thinking fast and slow v2"),
        ("https://example.org/a", "https example org a"),
        ("foo:moon", "foo moon"),
        ("titles: moon", "titles moon"),
        ("mo*on", "mo on"),
        ("moon**", "moon"),
        ("--moon", "moon"),
        ("Moon -> Tide", "moon tide"),
        ("Stars: a Survey", "stars a survey"),
        ("Comments: a Survey", "comments a survey"),
        ("Has: It Ended?", "has it ended"),
    ],
)
def test_text_without_query_syntax_is_parsed_as_words(query: str, words: str) -> None:
    found = [word for term in iter_positive_terms(parse_query(query)) for word in term.words]
    assert found == words.split()


@pytest.mark.parametrize(
    "query",
    [
        *("2510.12345", "2510.12345v2", "arXiv:2510.12345", "id:2510.12345"),
        *("arxiv.org/abs/2510.12345", "https://arxiv.org/abs/2510.12345v3"),
        *("http://arxiv.org/pdf/2510.12345.pdf", "https://www.arxiv.org/pdf/2510.12345v1"),
        *("https://huggingface.co/papers/2510.12345",),
        *("https://huggingface.co/papers/2510.12345#community",),
        *("https://hf.co/papers/2510.12345?x=1", "https://arxiv.org/html/2510.12345v2"),
        *("https://export.arxiv.org/abs/2510.12345/", "https://browse.arxiv.org/pdf/2510.12345v1"),
        *("https://example.org/abs/2510.12345v1.pdf",),
        *("https://huggingface.co/api/papers/2510.12345", "doi:10.48550/arXiv.2510.12345"),
        *("https://doi.org/10.48550/arXiv.2510.12345", "<https://arxiv.org/abs/2510.12345>"),
        *("2510.12345.", "2510.12345,", "[2510.12345]", "https://arxiv.org/abs/2510.12345."),
        *('"https://arxiv.org/abs/2510.12345"', 'id:"arXiv:2510.12345"', "eprint={2510.12345},"),
    ],
)
def test_an_arxiv_id_or_url_is_parsed_as_a_paper_id(query: str) -> None:
    assert parse_query(query) == Term("id", "2510.12345", "exact")


@pytest.mark.parametrize(
    "query", ["2513.12345", "25101.2345", "v2510.12345", "2510.123456", "1.2510.12345", "2510.123"]
)
def test_a_number_that_is_no_arxiv_id_is_a_word(query: str) -> None:
    assert parse_query(query) == word(query)


@pytest.mark.parametrize(
    "same",
    [
        ("a b", "b a", "a AND b", " b\ta ", "(b) (a)", "A B"),
        ("a OR b", "b|a", "(b OR a)"),
        ("a -(b OR c)", "NOT (c | b) a"),
        ('"a b"', '"A-B"', "\u201ca b\u201d"),
        ("(a b) OR (c d)", "d c OR b a"),
        ("id:2601.00001", "id:2601.00001v2"),
    ],
    ids=lambda same: same[0],
)
def test_queries_that_differ_only_in_spelling_have_one_canonical_text(
    same: tuple[str, ...],
) -> None:
    assert len({canonical_text(parse_query(query)) for query in same}) == 1


def test_queries_that_mean_different_things_have_different_canonical_texts() -> None:
    different = [
        *("a", "b", "a b", "a OR b", "a-b", "b-a", '"a"', '"a b"', "a*", "a-b*", "-a", "-(a b)"),
        *("-a b", "a -b", "-a -b", "-(a OR b)", "a (b OR c)", "(a b) OR c", "a b c", "a OR b OR c"),
        *("title:a", "abstract:a", 'title:"a"', "title:a*", "author:a", "keyword:a", "org:a"),
        *("has:code", "has:media", "stars:>1", "stars:>=1", "stars:>2", "upvotes:>1", "-(-a)"),
        *("id:2601", "id:2601*", "id:2601.00001"),
    ]
    assert len({canonical_text(parse_query(query)) for query in different}) == len(different)


def parse_or_error(text: str) -> Query | QueryError:
    try:
        return parse_query(text)
    except QueryError as error:
        return error


@given(query_texts())
def test_any_text_is_parsed_or_rejected_with_a_position(text: str) -> None:
    result = parse_or_error(text)
    if isinstance(result, QueryError):
        assert result.query == text
        assert 0 <= result.position <= len(text)
        assert result.reason
        assert result.with_caret().endswith("^")


@given(query_texts())
def test_a_parsed_query_is_formatted_so_that_it_parses_to_the_same(text: str) -> None:
    tree = parse_or_error(text)
    assume(not isinstance(tree, QueryError) and len(str(tree)) <= CONFIG_LIMITS.length)
    assert parse_or_error(str(tree)) == tree


@given(queries())
def test_any_tree_is_formatted_so_that_it_parses_to_the_same(tree: Query) -> None:
    assert without_neighbours(parse_query(str(tree))) == without_neighbours(tree)


def without_neighbours(query: Query) -> Query:
    match query:
        case And(parts) | Or(parts):
            return type(query)(tuple(map(without_neighbours, parts)))
        case Not(part):
            return Not(without_neighbours(part))
        case Term(field, text, mode):
            return Term(field, text, mode)
        case _:
            return query


@given(queries(), st.data())
def test_the_canonical_text_does_not_depend_on_the_order_of_parts(
    tree: Query, data: st.DataObject
) -> None:
    def shuffled(query: Query) -> Query:
        match query:
            case And(parts) | Or(parts):
                return type(query)(tuple(map(shuffled, data.draw(st.permutations(parts)))))
            case Not(part):
                return Not(shuffled(part))
            case _:
                return query

    assert canonical_text(shuffled(tree)) == canonical_text(tree)


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("like:2611.00001", "like:2611.00001"),
        ("LIKE:2611.00001v3", "like:2611.00001"),
        ("like:https://arxiv.org/abs/2611.00001v2", "like:2611.00001"),
        ("like:2611.00001,huggingface.co/papers/2611.00002", "like:2611.00001,2611.00002"),
        ('like:"2611.00001, 2611.00002"', "like:2611.00001,2611.00002"),
        ("like:2611.00001,2611.00001", "like:2611.00001"),
        ("like: 2611.00001", "like:2611.00001"),
        ("like:2611.00001,", "like:2611.00001"),
        ("like:2611.00001, 2611.00002", "like:2611.00001,2611.00002"),
        ("like:2611.00001 , arXiv:2611.00002 ;2611.00003v2 kite", LIKE_THREE),
        ("like:2611.00001, kites", "like:2611.00001 kites"),
        ("-like: https://arxiv.org/abs/2611.00001", "-like:2611.00001"),
        ("-like:2611.00001", "-like:2611.00001"),
        ("like:2611.00001 kite -like:2611.00002", "like:2611.00001 -like:2611.00002 kite"),
        ("-like:2611.00002 like:2611.00001", "like:2611.00001 -like:2611.00002"),
        ("NOT (like:2611.00001 -like:2611.00002)", "-(like:2611.00001 -like:2611.00002)"),
        ("Like: a study of kites", "Like: a study of kites"),
        ("looks like: this", "looks like: this"),
    ],
)
def test_ids_of_like_are_parsed_and_formatted(text: str, formatted: str) -> None:
    assert str(parse_query(text)) == formatted
    assert str(parse_query(formatted)) == formatted


@pytest.mark.parametrize(
    "text",
    [
        *("like:many", "like:2611.0000", "like:2611.", "like:2611.00001,many"),
        *("like:,", 'like:""', "kite like:"),
    ],
)
def test_an_invalid_id_after_like_is_an_error(text: str) -> None:
    with pytest.raises(QueryError):
        parse_query(text)


def test_the_canonical_text_does_not_depend_on_the_order_of_ids() -> None:
    first, second = "like:2611.00001,2611.00002", "like:2611.00002,2611.00001"
    assert canonical_text(parse_query(first)) == canonical_text(parse_query(second))
