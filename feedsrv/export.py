"""Export a server's responses as static files.

Each file holds the response that a server at ``public_url`` gives for the same path; feeds are
identical byte for byte, so readers can move between the two. A file is replaced atomically, and
only if its bytes differ: its mtime, and with it the web server's validators, stays otherwise.

::

    feeds/NAME.atom  .rss  .json     feeds/NAME/index.html     index.html     feeds.opml     static/
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import msgspec
from flask import Flask
from werkzeug.test import Client

from feedsrv.config import Config
from feedsrv.errors import ConfigError, ExportError
from feedsrv.feeds.formats import ALL_FORMATS

#: Lists the files written by exports, one per line; no other files are replaced or removed.
MANIFEST_NAME = ".feedsrv-export"


class ExportResult(NamedTuple):
    """The outcome for the files of one feed, or for the files that all feeds share."""

    name: str
    #: Files written and files removed; all others were up to date.
    written: int = 0
    removed: int = 0
    #: Why the files were not updated; empty on success.
    error: str = ""


def export_config(config: Config) -> Config:
    """Return the settings for an export: those of the server, without the access key.

    Static files are public, so no key may appear in them.

    Raises:
        ConfigError: There is no public URL, or there are no feeds.
    """
    problems = []
    if not config.public_url:
        problems.append("public_url: required for export, because feeds contain their own address")
    if not config.feeds:  # maybe the settings file was not found: do not remove existing files
        problems.append("feeds: none configured, so there is nothing to export")
    if problems:
        raise ConfigError(problems)
    return msgspec.structs.replace(config, static_export=True, access_key="")


def export_site(app: Flask, names: Sequence[str], directory: Path) -> Iterator[ExportResult]:
    """Update the files, and yield the result for each feed and then for the front page.

    A feed that fails keeps its previous files. The front page and OPML are written, and files of
    feeds that are no longer configured are removed, only if every feed succeeded.

    Raises:
        ExportError: The directory cannot be written, or a file that is not ours is in the way.
    """
    feed_paths = {name: [*_feed_paths(name)] for name in names}
    shared_paths = [*_static_paths(app), "/favicon.ico", "/feeds.opml", "/"]
    current = {_file_name(path) for paths in (*feed_paths.values(), shared_paths) for path in paths}
    client = Client(app)
    try:
        previous = _read_manifest(directory)
        _check_no_foreign_files(directory, current - previous)
        # Before any file, so that an export that was interrupted recognises its files.
        _write_file(directory / MANIFEST_NAME, _format_manifest(current | previous))
        failed = []
        for name, paths in feed_paths.items():
            result = _export_paths(client, name, paths, directory)
            if result.error:
                failed.append(name)
            yield result
        if failed:
            yield ExportResult("front page", error=f"feeds failed: {', '.join(failed)}")
            return
        result = _export_paths(client, "front page", shared_paths, directory)
        removed = sum(_remove_file(directory / file) for file in sorted(previous - current))
        _write_file(directory / MANIFEST_NAME, _format_manifest(current))
        yield result._replace(removed=removed)
    except OSError as error:
        reason = f"{error.filename or directory}: {error.strerror or error}"
        raise ExportError(str(directory), reason) from error


def _feed_paths(name: str) -> Iterator[str]:
    yield f"/feeds/{name}"
    for suffix in ALL_FORMATS:
        yield f"/feeds/{name}.{suffix}"


def _static_paths(app: Flask) -> Iterator[str]:
    return (f"/static/{file.name}" for file in sorted(Path(app.static_folder or "").iterdir()))


def _file_name(path: str) -> str:
    """Return the file that a web server serves for a URL path."""
    return path[1:] if "." in path else f"{path}/index.html".lstrip("/")


def _export_paths(client: Client, name: str, paths: Iterable[str], directory: Path) -> ExportResult:
    """Write the files for paths that belong together: all of them or none."""
    bodies = {}
    for path in paths:
        with client.get(path) as response:
            if response.status_code != HTTPStatus.OK:
                error = (response.json or {}).get("detail", response.status)
                return ExportResult(name, error=error)
            bodies[_file_name(path)] = response.get_data()
    written = sum(_write_file(directory / file, body) for file, body in bodies.items())
    return ExportResult(name, written)


def _write_file(file: Path, body: bytes) -> bool:
    """Write the file atomically if its content differs, and return whether it was written."""
    with suppress(FileNotFoundError):
        if file.read_bytes() == body:
            return False
    file.parent.mkdir(parents=True, exist_ok=True)
    # Not a tempfile: those are created with mode 0600, which a web server cannot read.
    temporary = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return True


def _remove_file(file: Path) -> bool:
    """Remove the file, and its directory if that is empty then; return whether it existed."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    with suppress(OSError):  # the directory is not empty
        file.parent.rmdir()
    return True


def _read_manifest(directory: Path) -> set[str]:
    """Return the files listed in the manifest, except any outside the directory."""
    try:
        lines = (directory / MANIFEST_NAME).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return set()
    root = directory.resolve()
    return {line for line in lines if line and (root / line).resolve().is_relative_to(root)}


def _format_manifest(files: Iterable[str]) -> bytes:
    return "".join(f"{file}\n" for file in sorted(files)).encode()


def _check_no_foreign_files(directory: Path, files: Iterable[str]) -> None:
    """Raise ExportError if a file that an export did not write would be overwritten."""
    foreign = sorted(file for file in files if (directory / file).exists())
    if foreign:
        reason = f"{foreign[0]} was not written by an export; use an empty directory"
        raise ExportError(str(directory), reason)
