"""A server's answers as files, for a host that hands out files and runs nothing.

Each file holds what a server at ``public_url`` answers at the same path, the feeds byte for byte: a
reader that is led from the one to the other sees no difference. A file is replaced in one step, and
only when its bytes differ, so that whoever hands it out can say "unchanged" (its mtime stays).

::

    feeds/NAME.atom  .rss  .json     feeds/NAME/index.html     index.html     feeds.opml     static/
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import msgspec
from flask import Flask
from werkzeug.test import Client

from feedsrv.config import Config
from feedsrv.errors import ConfigError, ExportError
from feedsrv.feeds.formats import FORMATS

#: Names the files that an export wrote, one on each line: no others are replaced or removed.
MANIFEST_NAME = ".feedsrv-export"
_OK = 200


class ExportResult(NamedTuple):
    """What became of one feed's files, or of those around the feeds."""

    name: str
    #: How many were written, and how many taken away; the others were as they had to be.
    written: int = 0
    removed: int = 0
    #: Why nothing was done about them; empty where all is well.
    error: str = ""


def export_config(config: Config) -> Config:
    """Return the settings with which answers are made that become files.

    Files ask nobody for a key, so none stands in them.

    Raises:
        ConfigError: Where the files will be is not known, or there is nothing to write.

    """
    problems = []
    if not config.public_url:
        problems.append("public_url: an export needs it: feeds name their own address")
    if not config.feeds:  # of a file that was not found, maybe; files of an export stay
        problems.append("feeds: there are none to export")
    if problems:
        raise ConfigError(problems)
    return msgspec.structs.replace(config, static_export=True, access_key="")


def export_site(app: Flask, names: Sequence[str], folder: Path) -> Iterator[ExportResult]:
    """Bring the files up to date, and yield what became of each feed, and of the rest at last.

    A feed that cannot be answered keeps the files that it has. When all could be answered, the
    front page and the list of subscriptions are written, and files of feeds that are gone go too.

    Args:
        app: The routes.
        names: Of the configured feeds.
        folder: Where the files are; made where there is none.

    Raises:
        ExportError: The folder cannot be written, or holds files in the way that are not ours.

    """
    feeds = {name: [*_feed_paths(name)] for name in names}
    around = [*_static_paths(app), "/favicon.ico", "/feeds.opml", "/"]
    wanted = {_file_name(path) for paths in (*feeds.values(), around) for path in paths}
    client = Client(app)
    with _translate_errors(folder):
        ours = _read_manifest(folder)
        _check_no_foreign_files(folder, wanted - ours)
        _write_file(
            folder / MANIFEST_NAME, _format_manifest(wanted | ours)
        )  # first: who is stopped finds them again
        troubled = []
        for name, paths in feeds.items():
            part = _export_paths(client, name, paths, folder)
            troubled += [name] if part.error else []
            yield part
        if troubled:
            yield ExportResult("front page", error=f"it waits for {', '.join(troubled)}")
            return
        last = _export_paths(client, "front page", around, folder)
        removed = sum(_remove_file(folder / file) for file in sorted(ours - wanted))
        _write_file(folder / MANIFEST_NAME, _format_manifest(wanted))
        yield last._replace(removed=removed)


def _feed_paths(name: str) -> Iterator[str]:
    yield f"/feeds/{name}"
    for suffix in FORMATS:
        yield f"/feeds/{name}.{suffix}"


def _static_paths(app: Flask) -> Iterator[str]:
    """Yield the paths of what pages need beside their text."""
    return (f"/static/{file.name}" for file in sorted(Path(app.static_folder or "").iterdir()))


def _file_name(path: str) -> str:
    """Return the file that a host hands out for the path."""
    return path[1:] if "." in path else f"{path}/index.html".lstrip("/")


def _export_paths(client: Client, name: str, paths: Iterable[str], folder: Path) -> ExportResult:
    """Write the files for the paths that belong together: all of them or none."""
    bodies = {}
    for path in paths:
        with client.get(path) as answer:
            if answer.status_code != _OK:
                return ExportResult(name, error=(answer.json or {}).get("detail", answer.status))
            bodies[_file_name(path)] = answer.get_data()
    return ExportResult(
        name, sum(_write_file(folder / file, body) for file, body in bodies.items())
    )


# --- files -----------------------------------------------------------------------------------


@contextmanager
def _translate_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise ExportError(str(folder), f"{where}: {error.strerror or error}") from error


def _write_file(file: Path, body: bytes) -> bool:
    """Have the file hold the bytes, at once, and tell whether it did not before."""
    with suppress(FileNotFoundError):
        if file.read_bytes() == body:
            return False
    file.parent.mkdir(parents=True, exist_ok=True)
    # Not by tempfile: what that makes can be read by nobody else.
    new = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        with new.open("xb") as opened:
            opened.write(body)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return True


def _remove_file(file: Path) -> bool:
    """Take the file away, with its folder if that is empty then; tell whether there was one."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    with suppress(OSError):  # it is not empty
        file.parent.rmdir()
    return True


def _read_manifest(folder: Path) -> set[str]:
    """Return the files that an export wrote; none outside the folder, whoever wrote the list."""
    try:
        lines = (folder / MANIFEST_NAME).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return set()
    root = folder.resolve()
    return {line for line in lines if line and (root / line).resolve().is_relative_to(root)}


def _format_manifest(files: Iterable[str]) -> bytes:
    return "".join(f"{file}\n" for file in sorted(files)).encode()


def _check_no_foreign_files(folder: Path, files: Iterable[str]) -> None:
    """See to it that nothing is overwritten that was there before any export.

    Raises:
        ExportError: Something would be.

    """
    foreign = sorted(file for file in files if (folder / file).exists())
    if foreign:
        reason = f"{foreign[0]} is there and no export wrote it; give it a folder of its own"
        raise ExportError(str(folder), reason)
