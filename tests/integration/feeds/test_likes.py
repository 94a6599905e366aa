"""Feeds of similar papers: their entries, and the stability of the entries."""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from bs4 import BeautifulSoup
from werkzeug.wrappers import Response

from feedsrv.config import StoreConfig, load_config
from feedsrv.errors import ConfigError, NoDataYetError, QueryError, QuotaExceededError
from feedsrv.feeds.likes import SimilarityDecisions
from feedsrv.feeds.metadata import feed_metadata
from feedsrv.feeds.results import FeedResult
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, StoredDays
from feedsrv.search.query import iter_likes
from feedsrv.search.similar import WEIGHTS_VERSION
from tests.support.clock import Clock
from tests.support.html import text_of
from tests.support.types import MakeClient, MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper
from tests.support.waiting import wait_until

ROBOT_WORDS = "soft robot hands grasp fragile objects with tactile sensors and careful fingers"
SPEECH_WORDS = "whispered speech recognition transcribes hoarse speakers from noisy microphones"
FILLER_WORDS = (
    *("orchard", "ledger", "glacier", "violin", "harbour", "lantern"),
    *("pendulum", "saffron", "meadow", "quarry", "trellis", "compass"),
)

SEED = "2601.00001"


def robot_paper(number: int, day: int = 0, **fields: object) -> Json:
    summary = f"Here {ROBOT_WORDS}."
    return make_raw_paper(number, day=day, title="Robot grasps", summary=summary, **fields)


def filler_paper(number: int, day: int = 0) -> Json:
    first, second = FILLER_WORDS[number % 12], FILLER_WORDS[number // 12 % 12]
    summary = f"A {first} needs another {second} than most gardeners believe."
    return make_raw_paper(number, day=day, title=f"On the {first}", summary=summary)


CLOSEST = {"title": "Hands", "summary": f"We build {ROBOT_WORDS}."}
SEED_PAPER = make_raw_paper(0) | CLOSEST | {"id": SEED}


def papers_of_day(index: int, day: int) -> list[Json]:
    """Return the fifteen papers of a list day, one of them on robots."""
    start = 100 + 20 * index
    fillers = (filler_paper(start + number, day) for number in range(14))
    # Later days have more similar papers: a new cutoff would exclude the earlier ones.
    closest = (
        make_raw_paper(start + number, day=day) | CLOSEST for number in range(16, 20) if index > 12
    )
    return [robot_paper(start + 15, day), *fillers, *closest]


@pytest.fixture
def upstream_papers() -> list[Json]:
    return [paper for day in range(5) for paper in papers_of_day(5 - day, day)]


@pytest.fixture
def seeds(upstream: FakeUpstream) -> dict[str, Json]:
    """Return the papers that are in no list, but in upstream's API."""
    known = {SEED: SEED_PAPER}

    def respond(path: str) -> Response | None:
        prefix, _, paper_id = path.rpartition("/")
        if prefix not in {"/api/papers", "/papers"} or paper_id[:1] not in {"0", "2"}:
            return None
        if prefix == "/papers" or paper_id not in known:
            return Response("no such page", 404)
        details = dict(known[paper_id])
        details["authors"] = [{"name": name} for name in details["authors"]]
        details["publishedAt"] = "2026-01-05T00:00:00.000Z"
        return Response(response_json(details), mimetype="application/json")

    upstream.intercept = respond
    return known


def response_json(details: Json) -> bytes:
    return json.dumps(details).encode()


@pytest.fixture
def like_service(make_service: MakeService, seeds: object) -> Service:
    return open_complete(make_service)


def open_complete(make_service: MakeService, **changes: object) -> Service:
    """Return a service with a complete window."""
    service = make_service(history_days=5, **changes)
    assert not [result for _, result, _ in service.refresh_stale() if isinstance(result, Exception)]
    return service


def like_feed(query: str = f"like:{SEED}", **fields: object) -> Feed:
    return Feed(name="x", title="x", query=query, **fields)  # type: ignore[arg-type]


def ids_of(result: FeedResult) -> list[str]:
    return [match.paper.id for match in result.matches]


def robot_ids(*indexes: int) -> list[str]:
    return [f"2611.{100 + 20 * index + 15:05d}" for index in indexes]


def test_the_feed_has_the_most_similar_papers_of_the_window(like_service: Service) -> None:
    result = like_service.get_feed(like_feed())
    assert ids_of(result) == robot_ids(5, 4, 3, 2, 1), "newest first"


def test_papers_similar_to_excluded_ones_are_left_out(
    like_service: Service, seeds: dict[str, Json]
) -> None:
    seeds["2601.00002"] = SEED_PAPER | {"id": "2601.00002", "summary": SPEECH_WORDS}
    plain = like_service.get_feed(like_feed(f"like:{SEED},2601.00002"))
    pushed = like_service.get_feed(like_feed(f"like:2601.00002 -like:{SEED}"))
    assert set(ids_of(plain)) & set(robot_ids(1, 2, 3, 4, 5))
    assert not set(ids_of(pushed)) & set(robot_ids(1, 2, 3, 4, 5))


def test_exclusion_alone_leaves_out_the_most_similar_papers(like_service: Service) -> None:
    alike = ids_of(like_service.get_feed(like_feed(limit=200)))
    others = ids_of(like_service.get_feed(like_feed(f"-like:{SEED}", limit=200)))
    assert len(others) == 75 - len(alike)
    assert not set(others) & set(alike)


def test_like_combines_with_words(like_service: Service) -> None:
    robots = robot_ids(5, 4, 3, 2, 1)
    assert ids_of(like_service.get_feed(like_feed(f"like:{SEED} grasps"))) == robots
    assert not ids_of(like_service.get_feed(like_feed(f"like:{SEED} -grasps")))
    either = like_service.get_feed(like_feed(f"title:orchard OR like:{SEED}"))
    assert set(robots) < set(ids_of(either))


# --- the papers to compare with ------------------------------------------------------------------


def test_a_paper_that_is_in_no_list_is_fetched_once_and_stored(
    like_service: Service, make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    first = ids_of(like_service.get_feed(like_feed()))
    assert upstream.requests.count(f"/api/papers/{SEED}") == 1
    clock.forward(days=90)
    upstream.papers = [
        paper | {"day": paper["day"], "id": f"9{paper['id'][1:]}"} for paper in upstream.papers
    ]
    later = open_complete(make_service)
    assert ids_of(later.get_feed(like_feed())) != first, "the window has moved on"
    assert upstream.requests.count(f"/api/papers/{SEED}") == 1


def test_a_paper_of_a_list_is_not_fetched(like_service: Service, upstream: FakeUpstream) -> None:
    seed = robot_ids(3)[0]
    result = like_service.get_feed(like_feed(f"like:{seed}"))
    assert seed in ids_of(result), "a paper is like itself"
    assert not [path for path in upstream.requests if path.startswith("/api/papers/2")]


def test_the_page_of_a_paper_is_used_if_the_api_fails(
    like_service: Service, upstream: FakeUpstream
) -> None:
    data = response_json(
        {"paper": SEED_PAPER | {"authors": [], "publishedAt": "2026-01-05T00:00:00.000Z"}}
    )
    page = b'<div data-props="{}"></div><main data-props="%b"></main>'
    escaped = data.replace(b'"', b"&quot;")
    upstream.intercept = lambda path: (
        Response("down", 500)
        if path == f"/api/papers/{SEED}"
        else Response(page % escaped, mimetype="text/html")
        if path == f"/papers/{SEED}"
        else None
    )
    assert ids_of(like_service.get_feed(like_feed())) == robot_ids(5, 4, 3, 2, 1)


def test_an_invalid_id_is_an_error_with_its_position(
    like_service: Service, upstream: FakeUpstream
) -> None:
    for _ in range(2):
        with pytest.raises(QueryError, match=r"has no paper 2601\.99999") as caught:
            like_service.get_feed(like_feed(f"like:{SEED},2601.99999"))
        assert caught.value.position == len(f"like:{SEED},")
    assert upstream.requests.count("/api/papers/2601.99999") == 1
    assert like_service.repository.get_failure(None) is None, "upstream as a whole works"


def test_a_paper_that_cannot_be_fetched_now_is_a_temporary_failure(
    like_service: Service, upstream: FakeUpstream
) -> None:
    upstream.intercept = lambda path: Response("down", 500) if SEED in path else None
    with pytest.raises(NoDataYetError):
        like_service.get_feed(like_feed())


def test_a_feed_with_only_a_like_and_no_list_is_a_temporary_failure_without_the_paper(
    make_client: MakeClient, upstream: FakeUpstream
) -> None:
    upstream.fail()
    only_search = Feed(name="alike", title="Alike", query=f"like:{SEED}", sources=("search",))
    client = make_client(feeds={"alike": only_search})
    for path in ("/feeds/alike.atom", "/feeds/alike", "/feeds/alike.json?digest=week"):
        response = client.get(path)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0


def test_unknown_papers_count_against_the_quota_of_a_client(
    make_service: MakeService, seeds: dict[str, Json]
) -> None:
    service = open_complete(make_service, new_keywords=8)
    service.get_feed(like_feed(), client="192.0.2.1")
    with pytest.raises(QuotaExceededError):
        service.get_feed(like_feed("like:2601.00007"), client="192.0.2.1")
    service.get_feed(like_feed(), client="192.0.2.1")


# --- stability -----------------------------------------------------------------------------------


def list_days(clock: Clock, upstream: FakeUpstream, count: int) -> Iterator[int]:
    """Move the clock from list day to list day, each with more papers; yield their numbers."""
    for index in range(count):
        upstream.papers = [
            paper for day in range(8) for paper in papers_of_day(index + 8 - day, day)
        ]
        yield index
        clock.forward(days=1)
        while clock.today().isoweekday() > 5:
            clock.forward(days=1)


def _has_days(service: Service, days: StoredDays) -> bool:
    return service.list_days.get() == days


def test_new_weights_set_the_cutoff_again_and_leave_the_entries(
    like_service: Service, make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    first = ids_of(like_service.get_feed(like_feed()))
    stored = like_service.repository.permanent_values("likes", SimilarityDecisions)

    def with_old_weights(decisions: SimilarityDecisions | None) -> SimilarityDecisions:
        assert decisions is not None
        weights_version = WEIGHTS_VERSION - 1
        # So that nothing would be similar enough.
        return msgspec.structs.replace(decisions, cutoff=1.5, weights_version=weights_version)

    before = stored.get(f"like:{SEED}")
    stored.update(f"like:{SEED}", with_old_weights)
    upstream.papers = [paper | {"day": paper["day"] + 1} for paper in upstream.papers]
    upstream.papers += papers_of_day(6, 0)
    clock.forward(days=1)
    service = open_complete(make_service)
    assert ids_of(service.get_feed(like_feed())) == robot_ids(6) + first[:-1], "the last has left"
    after = service.repository.permanent_values("likes", SimilarityDecisions).get(f"like:{SEED}")
    assert before is not None
    assert after is not None
    assert after.cutoff < 1
    assert after.weights_version == WEIGHTS_VERSION
    assert after.similar_ids > before.similar_ids, "no new ones of the days before"
    assert after.dissimilar_ids > before.dissimilar_ids


@pytest.mark.parametrize("store", ["disk", "redis"])
def test_entries_are_stable_over_ten_days_of_restarts_and_on_two_servers(
    make_service: MakeService,
    upstream: FakeUpstream,
    clock: Clock,
    seeds: object,
    store: str,
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue("redis").url if store == "redis" else ""
    settings = {"history_days": 8, "store": StoreConfig(url=url)}
    other = make_service(**settings)
    dates: dict[str, object] = {}
    entries: list[str] = []
    for _ in list_days(clock, upstream, 10):
        service = make_service(**settings)
        list(service.refresh_stale())
        days = service.list_days.get()
        wait_until(partial(_has_days, other, days))
        results = [server.get_feed(like_feed()) for server in (service, other, service)]
        assert ids_of(results[0]) == ids_of(results[1]) == ids_of(results[2])
        oldest = service.list_days.get()[-1][1]
        assert oldest is not None
        for match in results[0].matches:
            known = dates.setdefault(match.paper.id, match.paper.published)
            assert known == match.paper.published
        in_window = {paper.id for _, day in service.list_days.get() if day for paper in day.papers}
        assert [each for each in entries if each in in_window] == [
            each for each in ids_of(results[0]) if each in entries
        ]
        entries = ids_of(results[0])
        service.close()
    assert len(dates) > 5, "new papers came in"


def test_a_revised_abstract_changes_no_decision(
    like_service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    before = ids_of(like_service.get_feed(like_feed()))
    for paper in upstream.papers:
        if paper["id"] in before:
            paper["summary"] = "Nothing about that any more."
        elif paper["id"] not in robot_ids(1, 2, 3, 4, 5):
            paper["summary"] = f"Now {ROBOT_WORDS}."
    clock.forward(days=8)
    clock.now -= timedelta(days=8)
    for page, _ in like_service.list_days.get():
        like_service.refresh_page(page)
    result = like_service.get_feed(like_feed())
    assert ids_of(result) == before
    assert result.matches[0].paper.abstract == "Nothing about that any more."


def test_entries_of_an_incomplete_window_stay(make_service: MakeService, seeds: object) -> None:
    service = make_service(history_days=5)
    first = ids_of(service.get_feed(like_feed(sources=("daily",))))
    assert len(first) == 1, "one of the fifteen papers of the only day that was fetched"
    list(service.refresh_stale())
    assert set(first) <= set(ids_of(service.get_feed(like_feed(sources=("daily",)))))


def test_a_preview_stores_no_decision(like_service: Service) -> None:
    like_service.get_feed(like_feed(), is_preview=True)
    (query,) = like_service.get_feed(like_feed(), is_preview=True).queries[like_feed()]
    (like,) = iter_likes(query)
    assert like.members
    assert not like_service.seeds.likes.is_stored(like)
    like_service.get_feed(like_feed())
    assert like_service.seeds.likes.is_stored(like)


# --- a library -----------------------------------------------------------------------------------


LIBRARY = """
@misc{quill2026hands, title={Hands}, eprint={2601.00001}, archivePrefix={arXiv}}
@article{b, journal = "arXiv preprint arXiv:2601.00003v2", url = {https://arxiv.org/abs/2601.00003}}
@article{c, doi = {10.48550/arXiv.2601.00004}, pages = {2601.00005}}
"""


def config_with_library(folder: Path, text: str, table: str = "") -> Feed:
    (folder / "library.bib").write_text(text, "utf-8")
    file = folder / "feedsrv.toml"
    file.write_text(f'[feeds.own]\nlike_file = "library.bib"\n{table}', "utf-8")
    return load_config(file, {}).feeds["own"]


def test_a_library_has_the_arxiv_ids_of_its_entries(tmp_path: Path) -> None:
    feed = config_with_library(tmp_path, LIBRARY)
    assert feed.library == ("2601.00004", "2601.00003", "2601.00001")


@pytest.mark.parametrize("text", ["", "@misc{a, title={No id}}"])
def test_a_library_without_ids_is_a_setting_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r'own\.like_file: "library\.bib" has no arXiv id'):
        config_with_library(tmp_path, text)


@pytest.mark.parametrize("library", ["none.bib", "/dev/zero"])
def test_a_library_that_cannot_be_read_is_a_setting_error(tmp_path: Path, library: str) -> None:
    file = tmp_path / "feedsrv.toml"
    file.write_text(f'[feeds.own]\nlike_file = "{library}"\n', "utf-8")
    with pytest.raises(ConfigError, match=f'like_file: "{library}" cannot be read'):
        load_config(file, {})


def test_the_feed_of_a_library_has_similar_papers_and_skips_unknown_ids(
    tmp_path: Path, make_service: MakeService, seeds: object
) -> None:
    feed = config_with_library(tmp_path, LIBRARY)
    service = open_complete(make_service, feeds={"own": feed})
    assert ids_of(service.get_feed(feed)) == robot_ids(5, 4, 3, 2, 1)


def test_a_growing_library_has_the_same_feed_id_and_loses_no_entries(
    tmp_path: Path, make_service: MakeService, seeds: dict[str, Json]
) -> None:
    seeds["2601.00002"] = SEED_PAPER | {"id": "2601.00002", "summary": SPEECH_WORDS}
    feed = config_with_library(tmp_path, LIBRARY)
    grown = config_with_library(tmp_path, f"{LIBRARY} @misc{{d, eprint = {{2601.00002}}}}")
    urls = {"self_url": "u", "page_url": "u", "icon_url": "u"}
    assert (
        feed_metadata([feed], demo=False, **urls).id
        == feed_metadata([grown], demo=False, **urls).id
    )
    before = ids_of(open_complete(make_service, feeds={"own": feed}).get_feed(feed))
    after = ids_of(open_complete(make_service, feeds={"own": grown}).get_feed(grown))
    assert set(before) <= set(after)


def test_a_query_narrows_the_feed_of_a_library(
    tmp_path: Path, make_service: MakeService, seeds: object
) -> None:
    feed = config_with_library(tmp_path, LIBRARY, "query = 'zeppelin'")
    service = open_complete(make_service, feeds={"own": feed})
    assert ids_of(service.get_feed(feed)) == []


# --- pages ---------------------------------------------------------------------------------------


def test_pages_show_how_similar_a_paper_is_and_offer_more_like_it(
    make_client: MakeClient, seeds: object
) -> None:
    client = make_client(history_days=1)
    page = BeautifulSoup(client.get(f"/papers?q=like:{SEED}").data, "html.parser")
    facts = text_of(page.select(".facts")[0])
    assert "similarity 0." in facts
    assert "tactile" in facts
    link = next(each for each in page.select(".links a") if text_of(each) == "More like this")
    assert client.get(str(link["href"])).status_code == 200
    assert "similarity 1.00" in client.get(str(link["href"])).text


def test_the_preview_of_an_invalid_id_shows_an_error(
    make_client: MakeClient, seeds: object
) -> None:
    client = make_client(history_days=1)
    client.get("/papers.atom")
    assert "Hugging Face has no paper 2601.99999" in client.get("/preview?q=like:2601.99999").text
    assert "1</strong> of 15" in client.get(f"/preview?q=like:{SEED}").text


def test_a_url_with_an_invalid_id_is_a_bad_request(make_client: MakeClient, seeds: object) -> None:
    response = make_client(history_days=1).get("/papers.atom?q=like:2601.99999")
    assert response.status_code == 400
    assert response.json is not None
    assert response.json["position"] == 5
