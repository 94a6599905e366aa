"""Real feed readers, run without a display, and a log of their requests.

Each reader stores its state in its own folder, which it uses again at the next poll.
"""

import mailbox
import os
import shutil
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import closing
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from reader import make_reader
from werkzeug.datastructures import EnvironHeaders, Headers


class LoggedRequest(NamedTuple):
    """A request and its response."""

    path: str
    status: int
    request_headers: Headers
    response_headers: Headers


class RequestLog:
    """WSGI middleware that records requests and responses."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.requests: list[LoggedRequest] = []

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        request_headers = Headers(EnvironHeaders(environ))

        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            self.requests.append(
                LoggedRequest(
                    path, int(status.split(maxsplit=1)[0]), request_headers, Headers(headers)
                )
            )
            return start(status, headers, *error)

        body: Iterable[bytes] = self._app(environ, begin)
        return body

    def statuses(self) -> list[int]:
        """Return the status of each request for a feed, and clear the log."""
        found = [request.status for request in self.requests if "." in request.path]
        self.requests.clear()
        return found


def require_program(program: str, package: str = "") -> None:
    """Skip the test where the program is missing; in CI that is a failure."""
    if shutil.which(program) is None:
        pytest.skip(f"install {program}: apt install {package or program}")


def run_program(*command: str | Path, folder: Path, stdin: bytes = b"") -> str:
    """Run a program with the folder as HOME; return its output."""
    path = os.environ.get("PATH", os.defpath)
    done = subprocess.run(
        command,
        cwd=folder,
        env={"HOME": str(folder), "LC_ALL": "C.UTF-8", "PATH": path},
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return output


class FeedReader(ABC):
    """A feed reader with its subscriptions."""

    #: The program, and its package in Debian and Ubuntu; empty for a library.
    program: ClassVar[str] = ""
    package: ClassVar[str] = ""
    #: Whether it sends validators.
    sends_validators: ClassVar[bool] = True
    #: Whether it distinguishes read and unread entries.
    tracks_read: ClassVar[bool] = True

    def __init__(self, folder: Path, *urls: str) -> None:
        if self.program:
            require_program(self.program, self.package)
        self.folder = folder
        self.urls = urls

    @abstractmethod
    def poll(self) -> None:
        """Request each feed once."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """Return the id and title of each stored entry, with duplicates."""

    def mark_all_read(self) -> None:
        """Mark all entries as read."""
        raise NotImplementedError

    def unread(self) -> set[str]:
        """Return the ids of unread entries."""
        raise NotImplementedError

    def run(self, *command: str | Path) -> str:
        """Run a program in the reader's folder; return its output."""
        return run_program(*command, folder=self.folder)


class Newsboat(FeedReader):
    program = package = "newsboat"

    def __init__(self, folder: Path, *urls: str) -> None:
        super().__init__(folder, *urls)
        # Without quotes, newsboat parses text after a space as tags.
        (folder / "urls").write_text("".join(f'"{url}"\n' for url in urls))
        (folder / "config").write_text("cleanup-on-quit no\n")

    def poll(self) -> None:
        self.run(*["newsboat", "-C", "config", "-u", "urls", "-c", "cache.db", "-x", "reload"])

    def execute(self, statement: str) -> list[Any]:
        """Run a statement in newsboat's database."""
        with closing(sqlite3.connect(self.folder / "cache.db")) as database, database:
            return database.execute(statement).fetchall()

    def rows(self) -> list[tuple[str, str]]:
        # newsboat 2.21 inserts a space before a title that begins with escaped markup.
        found = self.execute("SELECT guid, title FROM rss_item WHERE deleted = 0")
        return [(guid, title.strip()) for guid, title in found]

    def mark_all_read(self) -> None:
        self.execute("UPDATE rss_item SET unread = 0")

    def unread(self) -> set[str]:
        return {guid for (guid,) in self.execute("SELECT guid FROM rss_item WHERE unread = 1")}


class Rss2email(FeedReader):
    """rss2email, which sends one mail per entry, once."""

    program, package = "r2e", "rss2email"

    def __init__(self, folder: Path, *urls: str) -> None:
        super().__init__(folder, *urls)
        for name in ("cur", "new", "tmp"):
            (folder / "mail" / name).mkdir(parents=True)
        self.r2e("new", "somebody@example.org")
        settings = {"email-protocol": "maildir", "maildir-path": f"{folder}/mail"}
        settings |= {"maildir-mailbox": "."}
        lines = (folder / "r2e.cfg").read_text().splitlines()
        config_lines = [line for line in lines if line.partition(" =")[0] not in settings]
        start = config_lines.index("[DEFAULT]") + 1
        config_lines[start:start] = [f"{name} = {value}" for name, value in settings.items()]
        (folder / "r2e.cfg").write_text("\n".join(config_lines) + "\n")
        for number, url in enumerate(urls):
            self.r2e("add", f"feed{number}", url)

    def r2e(self, *arguments: str) -> str:
        return self.run("r2e", "-c", "r2e.cfg", "-d", "r2e.json", *arguments)

    def poll(self) -> None:
        output = self.r2e("run")
        # It logs errors but exits with 0.
        assert "[WARNING]" not in output, output
        assert "[ERROR]" not in output, output

    def rows(self) -> list[tuple[str, str]]:
        box = mailbox.Maildir(self.folder / "mail", create=False)
        found = [(mail["X-RSS-ID"], make_header(decode_header(mail["Subject"]))) for mail in box]
        return [(name, str(subject)) for name, subject in found]

    def mark_all_read(self) -> None:
        for mail in (self.folder / "mail" / "new").iterdir():
            mail.rename(self.folder / "mail" / "cur" / f"{mail.name}:2,S")

    def unread(self) -> set[str]:
        box = mailbox.Maildir(self.folder / "mail", create=False)
        return {mail["X-RSS-ID"] for mail in box if "S" not in mail.get_flags()}


class Sfeed(FeedReader):
    """sfeed, which stores lines of text and sends no validators."""

    program = package = "sfeed"
    sends_validators = tracks_read = False

    def __init__(self, folder: Path, *urls: str) -> None:
        super().__init__(folder, *urls)
        feeds = " ".join(f"feed feed{number} '{url}';" for number, url in enumerate(urls))
        (folder / "sfeedrc").write_text(f"sfeedpath='{folder}/feeds'\nfeeds() {{ {feeds} }}\n")

    def poll(self) -> None:
        self.run("sfeed_update", "sfeedrc")

    def rows(self) -> list[tuple[str, str]]:
        files = (self.folder / "feeds").iterdir()
        lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
        fields = [line.split("\t") for line in lines]
        return [(field[5], field[1]) for field in fields]


_ELFEED = """
(setq user-emacs-directory "{folder}/" elfeed-db-directory "{folder}/db" elfeed-use-curl t)
(require 'elfeed)
(setq elfeed-feeds '({urls}))
(elfeed-db-load)
{action}
(elfeed-db-save)
(with-elfeed-db-visit (entry feed)
  (princ (format "entry\\t%s\\t%s\\t%s\\n" (cdr (elfeed-entry-id entry))
    (elfeed-entry-title entry) (if (memq 'unread (elfeed-entry-tags entry)) "unread" "read"))))
"""
_ELFEED_POLL = """
(elfeed-update)
(with-timeout (30 (error "elfeed never ended"))
  (while (> (elfeed-queue-count-total) 0) (accept-process-output nil 0.02)))
"""
_ELFEED_READ = "(with-elfeed-db-visit (entry feed) (elfeed-untag entry 'unread))"


class Elfeed(FeedReader):
    """elfeed, a reader for Emacs."""

    program, package = "emacs", "emacs-nox elpa-elfeed"

    def __init__(self, folder: Path, *urls: str) -> None:
        super().__init__(folder, *urls)
        require_program("curl")
        found = sorted(Path("/usr/share/emacs/site-lisp/elpa").glob("elfeed-[0-9]*"))
        if not found:
            pytest.skip("install elfeed: apt install elpa-elfeed")
        self.library = found[-1]
        self.entries: list[list[str]] = []

    def emacs(self, action: str) -> None:
        """Run elfeed on its database, and store id, title and state of its entries."""
        urls = " ".join(f'"{url}"' for url in self.urls)
        script = _ELFEED.format(folder=self.folder, urls=urls, action=action)
        (self.folder / "script.el").write_text(script)
        output = self.run("emacs", "--batch", "-Q", "-L", self.library, "-l", "script.el")
        lines = (line.split("\t") for line in output.splitlines())
        self.entries = [line[1:] for line in lines if line[0] == "entry"]

    def poll(self) -> None:
        self.emacs(_ELFEED_POLL)

    def rows(self) -> list[tuple[str, str]]:
        return [(name, title) for name, title, _ in self.entries]

    def mark_all_read(self) -> None:
        self.emacs(_ELFEED_READ)

    def unread(self) -> set[str]:
        return {name for name, _, state in self.entries if state == "unread"}


class ReaderLibrary(FeedReader):
    """The Python library reader."""

    def __init__(self, folder: Path, *urls: str) -> None:
        super().__init__(folder, *urls)
        with make_reader(str(folder / "db")) as client:
            for url in urls:
                client.add_feed(url)

    def poll(self) -> None:
        with make_reader(str(self.folder / "db")) as client:
            for url in self.urls:
                client.update_feed(url)

    def rows(self) -> list[tuple[str, str]]:
        with make_reader(str(self.folder / "db")) as client:
            return [(entry.id, str(entry.title)) for entry in client.get_entries()]

    def mark_all_read(self) -> None:
        with make_reader(str(self.folder / "db")) as client:
            for entry in client.get_entries():
                client.mark_entry_as_read(entry)

    def unread(self) -> set[str]:
        with make_reader(str(self.folder / "db")) as client:
            return {entry.id for entry in client.get_entries(read=False)}


FEED_READERS: list[type[FeedReader]] = [Newsboat, Rss2email, Sfeed, Elfeed, ReaderLibrary]
