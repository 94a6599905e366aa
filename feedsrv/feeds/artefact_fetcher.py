"""Fetch which models, datasets and Spaces cite the papers of configured feeds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from feedsrv.config import Config
from feedsrv.feeds.deduplication import newest_first
from feedsrv.models import Feed, Paper
from feedsrv.search.artefact_table import NO_ARTEFACTS, ArtefactTable
from feedsrv.search.query import Query, has_artefact_condition
from feedsrv.storage.repository import Repository
from feedsrv.upstream.artefact_refresh import ArtefactRefresher
from feedsrv.upstream.scheduler import Scheduler

#: With more feeds, the whole window is checked: selecting the papers of all of them
#: takes long, and they have most papers of the window anyway.
_MAX_FEEDS = 100
_EVERY_PAPER = Feed(name="", title="", sources=("daily",))
#: For how long pages, which show artefacts, and feeds of queries that look for them can be cached.
_LIFETIME = timedelta(seconds=10)
#: Papers that one batch checks at most, and the longest wait for the next one, in seconds.
_BATCH_SIZE = 20
_MAX_BATCH_PAUSE = 2.0


@dataclass(kw_only=True, eq=False)
class ArtefactFetcher:
    """Checks which artefacts cite the papers of configured feeds. Safe for threads."""

    config: Config
    repository: Repository
    refresher: ArtefactRefresher
    scheduler: Scheduler
    #: Returns the stored papers of a feed, and those that artefacts would bring in.
    select: Callable[[Feed], Iterable[Paper]]
    #: Waits for a number of seconds.
    sleep: Callable[[float], object]

    def __post_init__(self) -> None:
        self._is_enabled = self.config.linked_artefacts
        feeds = tuple(self.config.feeds.values())
        self._feeds = feeds if len(feeds) <= _MAX_FEEDS else (_EVERY_PAPER,)
        #: The papers to check, and the version of the store that they were selected from.
        self._cached_papers: tuple[object, tuple[Paper, ...]] = (None, ())
        self._was_complete = False

    def table(self) -> ArtefactTable:
        """Return what is known; the same object until it changes."""
        return self.repository.get_artefacts() if self._is_enabled else NO_ARTEFACTS

    def all_checked(self, queries: Iterable[Query]) -> bool:
        """Return whether a paper that begins to match the queries does so because of new artefacts.

        Before every paper was checked once, it may have had them all the time.
        """
        if not self._was_complete and any(map(has_artefact_condition, queries)):
            records = self.table().records
            self._was_complete = all(paper.id in records for paper in self.citable_papers())
            return self._was_complete
        return True

    def cache_lifetime(self, queries: Iterable[Query], *, is_page: bool) -> timedelta:
        """Return for how long a feed of the queries can be cached, or its page."""
        depends = self._is_enabled and (is_page or any(map(has_artefact_condition, queries)))
        return _LIFETIME if depends else timedelta.max

    def refresh_when_idle(self) -> None:
        """Check one paper after another whenever nothing else is to be fetched."""
        if self._is_enabled:
            self.scheduler.run_when_idle(self.refresher.refresh_next)

    def refresh_batch(self) -> None:
        """Check the next papers, as long as no other request has to wait."""
        for _ in range(_BATCH_SIZE if self._is_enabled else 0):
            pause = self.scheduler.run_and_wait(self.refresher.refresh_next)
            if pause is None or pause > max(self.config.spacing, _MAX_BATCH_PAUSE):
                return
            self.sleep(pause)

    def citable_papers(self) -> tuple[Paper, ...]:
        """Return the papers that artefacts can cite, newest first."""
        version = self.repository.version()
        cached_version, papers = self._cached_papers
        if version != cached_version:
            # Artefacts cite papers by their arXiv id.
            found = {
                paper.id: paper
                for feed in self._feeds
                for paper in self.select(feed)
                if paper.is_arxiv
            }
            papers = newest_first(found.values())
            self._cached_papers = version, papers
        return papers
