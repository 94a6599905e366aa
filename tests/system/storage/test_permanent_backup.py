"""A backup of the permanent area, restored as docs/self-hosting.md says."""

import os
import re
import shutil
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from feedsrv.cli import main
from feedsrv.models import Kind, Listing, Page
from feedsrv.storage.repository import Repository
from tests.support.redis_server import PASSWORD, RedisServer, run_redis
from tests.support.stores import disk_store, redis_store

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FRIDAY = Page(Kind.DAY, "2026-11-20")
UPSTREAM = "https://huggingface.co"
NAMES = [f'{number} "a name" of \u00e9' for number in range(20)]


class Digest(msgspec.Struct, frozen=True):
    text: str


def fill(store: Repository) -> None:
    digests = store.permanent_values("digests", Digest)
    for name in NAMES:
        digests.set(name, Digest(f"about {name}"))
    store.save_listing(Listing(page=FRIDAY, papers=(), fetched_at=NOON), FRIDAY)


def is_restored(store: Repository) -> bool:
    found = dict(store.permanent_values("digests", Digest).scan())
    return found == {name: Digest(f"about {name}") for name in NAMES}


def test_a_copy_of_the_folder_restores_all_permanent_values(tmp_path: Path) -> None:
    with closing(disk_store(tmp_path / "store", UPSTREAM)) as store:
        fill(store)
    shutil.copytree(tmp_path / "store" / "permanent", tmp_path / "restored" / "permanent")
    with closing(disk_store(tmp_path / "restored", UPSTREAM)) as restored:
        assert is_restored(restored)
        assert restored.get_listing(FRIDAY) is None, "it can be fetched again"


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="install redis-cli")
def test_a_dump_of_redis_restores_all_permanent_values(redis: RedisServer, tmp_path: Path) -> None:
    with closing(redis_store(redis.url, tmp_path, UPSTREAM)) as store:
        fill(store)
    (tmp_path / "restored").mkdir()
    subprocess.run(
        ["redis-cli", "-p", str(redis.port), "--rdb", tmp_path / "restored" / "dump.rdb"],
        env=os.environ | {"REDISCLI_AUTH": PASSWORD},
        check=True,
        capture_output=True,
    )
    redis.stop()
    with (
        run_redis(tmp_path / "restored") as restored_redis,
        closing(redis_store(restored_redis.url, tmp_path, UPSTREAM)) as restored,
    ):
        names = [
            name for name in restored_redis.all_keys() if name.startswith("feedsrv:permanent:")
        ]
        assert len(names) == len(NAMES)
        assert is_restored(restored)


def test_check_reports_the_size_of_the_permanent_area(tmp_path: Path) -> None:
    environ = {"FEEDSRV_CACHE_DIR": str(tmp_path), "FEEDSRV_UPSTREAM_URL": "http://127.0.0.1:9"}
    with closing(disk_store(tmp_path, UPSTREAM)) as store:
        digests = store.permanent_values("digests", Digest)
        digests.set("1", Digest("x" * 1000))
        digests.set("2", Digest("y" * 1000))
    shown = CliRunner().invoke(main, ["check"], env=environ).stdout
    assert re.search(r"^permanent  2 values, \d\d bytes$", shown, re.MULTILINE)
