"""Processes killed while they write."""

import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from feedsrv.models import Kind, Listing, Page
from feedsrv.storage.repository import SCHEMA_VERSION
from tests.support.processes import killed_process
from tests.support.stores import disk_store

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


FRIDAY = Page(Kind.DAY, "2026-11-20")


UPSTREAM = "https://huggingface.co"


def make_listing(page: Page = FRIDAY) -> Listing:
    return Listing(page=page, papers=(), fetched_at=NOON)


PAGES = [FRIDAY, Page(Kind.TRENDING), Page(Kind.SEARCH, "fog"), Page(Kind.SEARCH, "snow")]


#: The number of words in a listing of 100 kB.
WORDS = 10_000


def write_forever(folder: str) -> None:
    """Save numbered listings endlessly, in a process that will be killed."""
    store = disk_store(Path(folder), UPSTREAM, own=PAGES[2:3])
    for number in itertools.count(os.getpid() * 10_000):
        for page in PAGES:
            store.save_listing(numbered_listing(page, number), page)
            marker_file(folder, os.getpid()).touch()
            store.last_modified(f"http://a.b/{page}", str(number), NOON)


def marker_file(folder: str, process: int) -> Path:
    """Return the file whose existence shows that the process has written."""
    return Path(folder) / f"process-{process}"


def numbered_listing(page: Page, number: int) -> Listing:
    return msgspec.structs.replace(make_listing(page), skipped=(str(number),) * WORDS)


@pytest.mark.serial
def test_after_two_hundred_kills_during_writes_every_listing_is_intact(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Four processes write to one store, and each is killed at a random time."""
    first = disk_store(tmp_path, UPSTREAM, own=PAGES[2:3])
    for page in PAGES:
        first.save_listing(numbered_listing(page, 0), page)
    first.close()

    def kill_repeatedly(seed: int) -> set[tuple[str, ...]]:
        chance, seen = random.Random(seed), set()
        with killed_process(write_forever, str(tmp_path)) as kill_after:
            for _ in range(50):
                kill_after(
                    chance.uniform(0.0, 0.05),
                    lambda process: marker_file(str(tmp_path), process).exists(),
                )
                store = disk_store(tmp_path, UPSTREAM, own=PAGES[2:3])  # with empty memory
                for page in PAGES:
                    found = store.get_listing(page)
                    assert found is not None
                    assert len(found.skipped) == WORDS
                    assert len(set(found.skipped)) == 1
                    seen.add(found.skipped[:1])
                store.close()
        return seen

    with ThreadPoolExecutor(4) as pool:
        seen = set().union(*pool.map(kill_repeatedly, range(4)))
    assert len(seen) > 20, "they did write"
    assert "is damaged" not in caplog.text
    assert [path.name for path in (tmp_path / f"v{SCHEMA_VERSION}").glob("damaged*")] == []
