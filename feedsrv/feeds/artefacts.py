"""Which papers upstream is asked about for artefacts that cite them: those of configured feeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from feedsrv.feeds.selection import newest_first
from feedsrv.models import Feed, Paper
from feedsrv.storage.repository import Repository

#: With more feeds, upstream is asked about the whole window: selecting the papers of all of them
#: takes long, and they have most papers of the window anyway.
_MAX_FEEDS = 100
_EVERY_PAPER = Feed(name="", title="", sources=("daily",))


class ConfiguredPapers:
    """The papers of the configured feeds. Safe for threads.

    Args:
        feeds: The configured feeds.
        select: Returns the stored papers of a feed, and those that artefacts would bring in.
        repository: Has the listings.

    """

    def __init__(
        self,
        feeds: Iterable[Feed],
        select: Callable[[Feed], Iterable[Paper]],
        repository: Repository,
    ) -> None:
        feeds = tuple(feeds)
        self._feeds = feeds if len(feeds) <= _MAX_FEEDS else (_EVERY_PAPER,)
        self._select = select
        self._repository = repository
        #: The papers, and the version of the store that they were selected from.
        self._cache: tuple[object, tuple[Paper, ...]] = (None, ())

    def get(self) -> tuple[Paper, ...]:
        """Return the papers that artefacts can name, newest first."""
        version = self._repository.version()
        cached_version, papers = self._cache
        if version != cached_version:
            # Artefacts cite papers by their arXiv id.
            found = {
                paper.id: paper
                for feed in self._feeds
                for paper in self._select(feed)
                if paper.is_arxiv
            }
            papers = newest_first(found.values())
            self._cache = version, papers
        return papers
