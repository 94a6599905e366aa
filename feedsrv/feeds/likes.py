"""Which papers are similar to others (``like:``), decided once for each paper and stored for good.

::

    window ── similarities ── cut-off, set when the feed is first served
                                  │
    a paper that is new ── at least the cut-off? ── member of the feed, or not, from then on

Entries of a feed must not come and go, whatever else is listed and whichever process is asked.
"""

from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from threading import Lock

import msgspec
from cachetools import LRUCache, cachedmethod

from feedsrv.errors import StoreError
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.models import Kind, Page, Paper, PaperTokens
from feedsrv.search.analysis import analyze
from feedsrv.search.index import Index
from feedsrv.search.query import Like
from feedsrv.search.similar import WEIGHTS_VERSION, SeedVector, build_seed_vector, similarity_cutoff
from feedsrv.storage.repository import Repository

#: With fewer papers, the cut-off is set anew until the window is complete.
_ENOUGH_PAPERS = 500
#: Papers that are no members are remembered while the window has them, and this many more.
_MAX_OLD_OTHERS = 1000
_MAX_CACHED_SEEDS = 1024
_MAX_CACHED_SEED_VECTORS = 256


class SimilarityDecisions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which papers are similar enough to some."""

    #: The papers that they are compared with.
    ids: tuple[str, ...]
    cutoff: float
    #: Whether the cut-off stays: it was set with a complete window.
    is_final: bool = False
    similar_ids: frozenset[str] = frozenset()
    #: Papers that are not similar enough.
    dissimilar_ids: frozenset[str] = frozenset()
    #: The weights (`feedsrv.search.similar.WEIGHTS_VERSION`) that the cut-off was set with.
    weights_version: int = 1


def _seed_vector_key(_: object, seeds: Iterable[Paper], unlike: Iterable[Paper]) -> Hashable:
    return tuple(seed.id for seed in seeds), tuple(seed.id for seed in unlike)


class Likes:
    """Decides which papers are similar to others. Safe for threads and processes."""

    def __init__(self, repository: Repository, list_days: StoredListDays) -> None:
        self._repository = repository
        self._list_days = list_days
        self._decisions = repository.permanent_values("likes", SimilarityDecisions)
        self._stored_seeds = repository.permanent_values("seeds", Paper)
        self._seeds: LRUCache[str, Paper] = LRUCache(_MAX_CACHED_SEEDS)
        self._seed_vectors: LRUCache[Hashable, SeedVector] = LRUCache(_MAX_CACHED_SEED_VECTORS)
        self._lock = Lock()

    def get_seed(self, paper_id: str) -> Paper | None:
        """Return a paper to compare others with, and store it for good; None if it is unknown.

        A paper that is not in the window has to be fetched.
        """
        with self._lock:
            if seed := self._seeds.get(paper_id):
                return seed
        stored = None
        with suppress(StoreError):
            stored = self._stored_seeds.get(paper_id)
        window = self._list_days.search_index()
        seed = stored or window.get(paper_id) or self._fetched_paper(paper_id)
        if seed is None or not seed.abstract:  # from a card
            return None
        if stored is None:
            bare = msgspec.structs.replace(seed, tokens=PaperTokens())
            with suppress(StoreError):
                self._stored_seeds.set(paper_id, bare)
        seed = analyze(seed)
        with self._lock:
            self._seeds[paper_id] = seed
        return seed

    def _fetched_paper(self, paper_id: str) -> Paper | None:
        listing = self._repository.get_listing(Page(Kind.PAPER, paper_id))
        return listing.papers[0] if listing is not None else None

    def is_stored(self, like: Like) -> bool:
        """Return whether a feed with this part was ever served."""
        return self._get(like.name) is not None

    def decide(self, like: Like, papers: Iterable[Paper], *, is_stored: bool) -> Like:
        """Return the part of a query with its members: the papers that are similar enough.

        The cut-off is set by the papers of the window, once that is complete. ``is_stored`` says
        whether to store what is decided, as for a feed that somebody subscribes to.
        """
        seeds = self._known_seeds(like.ids)
        unlike = self._known_seeds(like.unlike_ids)
        if not seeds:
            return like
        ids = tuple(seed.id for seed in (*seeds, *unlike))
        seed_vector = self._seed_vector(seeds, unlike)
        candidates = tuple(paper for paper in papers if paper.abstract)
        window = self._list_days.search_index()
        is_final = len(window.papers) >= _ENOUGH_PAPERS or self._list_days.is_complete()

        def decide(stored: SimilarityDecisions | None) -> SimilarityDecisions:
            return _decide(stored, ids, seed_vector, candidates, window, is_final=is_final)

        stored = self._get(like.name)
        decisions = decide(stored)
        if is_stored and decisions != stored:
            with suppress(StoreError):
                # Another process may have decided meanwhile.
                decisions = self._decisions.update(like.name, decide) or decisions
        return msgspec.structs.replace(like, members=decisions.similar_ids, seed_vector=seed_vector)

    def _known_seeds(self, ids: Iterable[str]) -> list[Paper]:
        # Sorted, because the order in a query does not matter.
        seeds = (self.get_seed(each) for each in sorted(ids))
        return [seed for seed in seeds if seed is not None]

    def _get(self, name: str) -> SimilarityDecisions | None:
        # Without a store, feeds go on with what is similar now.
        with suppress(StoreError):
            return self._decisions.get(name)
        return None

    @cachedmethod(lambda self: self._seed_vectors, _seed_vector_key, lock=lambda self: self._lock)
    def _seed_vector(self, seeds: Sequence[Paper], unlike: Sequence[Paper]) -> SeedVector:
        return build_seed_vector(seeds, unlike)


def _decide(
    stored: SimilarityDecisions | None,
    ids: tuple[str, ...],
    seed_vector: SeedVector,
    candidates: Sequence[Paper],
    window: Index,
    *,
    is_final: bool,
) -> SimilarityDecisions:
    """Return the decisions about all candidates; those that were stored stay.

    A final cut-off stays too, unless the weights have changed since. Then it is set again, until it
    is set with a complete window, for the papers that follow.
    """
    final = stored if stored is not None and stored.is_final and stored.ids == ids else None
    members = set(stored.similar_ids if stored is not None else ())
    others = set(final.dissimilar_ids if final is not None else ())
    similarities: dict[str, float] = {}
    version = WEIGHTS_VERSION
    if final is not None and final.weights_version == WEIGHTS_VERSION:
        cutoff = final.cutoff
    else:
        pairs = zip(window.papers, window.similarities(seed_vector), strict=True)
        similarities = {paper.id: similarity for paper, similarity in pairs}
        # The papers compared with are no sign of how similar others are.
        cutoff = similarity_cutoff(similarities[each] for each in similarities if each not in ids)
        if final is not None and not is_final:
            version = final.weights_version
    is_final = is_final or final is not None
    for paper in candidates:
        if paper.id not in members and paper.id not in others:
            similarity = similarities.get(paper.id) or seed_vector.similarity(paper)
            (members if similarity >= cutoff else others).add(paper.id)
    if len(others) > len(candidates) + len(window.ids) + _MAX_OLD_OTHERS:
        others &= {*window.ids, *(paper.id for paper in candidates)}
    return SimilarityDecisions(
        ids,
        cutoff,
        is_final,
        frozenset(members),
        frozenset(others if is_final else ()),
        version,
    )
