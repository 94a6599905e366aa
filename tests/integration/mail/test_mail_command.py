"""`feedsrv mail`, in-process."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from feedsrv.cli import main
from feedsrv.mail.delivery import hold_run_lock
from tests.support.mail_server import MailServer
from tests.support.servers import serve_wsgi
from tests.support.upstream import FakeUpstream, make_raw_paper

Run = Callable[..., Result]


@pytest.fixture
def site() -> Iterator[FakeUpstream]:
    papers = [make_raw_paper(n, day=n, title="Causal tides") for n in range(3)]
    site = FakeUpstream(papers, lambda: datetime.now(UTC).date())
    with serve_wsgi(site) as site.url:
        yield site


def settings(port: int, tls: str = "none") -> str:
    return f"""
        history_days = 2
        spacing = 0
        [mail]
        host = "127.0.0.1"
        port = {port}
        tls = "{tls}"
        from = "papers@example.org"
        pause = 0
        [feeds.causal]
        query = "causal"
        sources = ["daily"]
        digest = "day"
        mail = ["ada@example.org", "bo@example.org"]
    """


@pytest.fixture
def run(tmp_path: Path, site: FakeUpstream, mail_server: MailServer) -> Run:
    file = tmp_path / "feedsrv.toml"
    file.write_text(settings(mail_server.port))
    environ = {"FEEDSRV_UPSTREAM_URL": site.url, "FEEDSRV_CACHE_DIR": str(tmp_path / "store")}

    def invoke(*arguments: str, **changes: str) -> Result:
        return CliRunner().invoke(
            main, ["--config", str(file), *arguments], env=environ | changes, catch_exceptions=False
        )

    return invoke


def test_what_is_due_is_sent_once(run: Run, mail_server: MailServer) -> None:
    first = run("mail")
    assert (first.exit_code, first.stdout) == (0, "2 sent, 0 rejected, 0 deferred.\n")
    assert mail_server.recipients() == ["ada@example.org", "bo@example.org"]
    second = run("mail")
    assert (second.exit_code, second.stdout) == (0, "0 sent, 0 rejected, 0 deferred.\n")


def test_a_rejected_message_is_reported(run: Run, mail_server: MailServer) -> None:
    mail_server.replies["bo@example.org"] = ["550 no such user"]
    result = run("mail")
    assert result.exit_code == 1
    assert result.stdout == "1 sent, 1 rejected, 0 deferred.\n"
    assert result.stderr.startswith("bo@example.org: causal: 1 paper, ")
    assert result.stderr.endswith(": 550 no such user\n")


def test_a_dry_run_writes_files_and_sends_nothing(
    run: Run, mail_server: MailServer, tmp_path: Path
) -> None:
    for _ in range(2):
        result = run("mail", "--dry-run", str(tmp_path / "out"))
        assert result.stdout == f"{tmp_path / 'out'}: 2 messages written.\n"
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["0001-ada@example.org.eml", "0002-bo@example.org.eml"]
    message = message_from_bytes(files[0].read_bytes(), policy=default)
    assert message["To"] == "ada@example.org"
    assert mail_server.messages == []
    assert run("mail").stdout == "2 sent, 0 rejected, 0 deferred.\n"


def test_a_dry_run_into_a_file_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert run("mail", "--dry-run", str(tmp_path / "file" / "x")).exit_code == 1


def test_an_address_that_was_removed_gets_nothing(run: Run, mail_server: MailServer) -> None:
    result = run("mail", "--remove", "ADA@example.org")
    assert (result.exit_code, result.stdout) == (0, "1 subscription ended.\n")
    assert run("mail").exit_code == 0
    assert mail_server.recipients() == ["bo@example.org"]


def test_a_second_run_at_the_same_time_does_nothing(
    run: Run, mail_server: MailServer, tmp_path: Path
) -> None:
    with hold_run_lock(tmp_path / "store"):
        result = run("mail")
    assert (result.exit_code, result.stdout) == (0, "Another feedsrv mail is running.\n")
    assert mail_server.messages == []


def test_without_a_mail_server_in_the_settings_it_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "feedsrv.toml").write_text("")
    result = run("mail")
    assert result.exit_code == 2
    assert result.stderr == "feedsrv: mail: needs the table [mail] with host and from\n"


def test_a_mail_server_without_tls_gets_nothing_unless_the_settings_say_so(
    run: Run, mail_server: MailServer, tmp_path: Path
) -> None:
    (tmp_path / "feedsrv.toml").write_text(settings(mail_server.port, "starttls"))
    result = run("mail")
    assert result.exit_code == 1
    assert "127.0.0.1: it does not offer STARTTLS" in result.stderr


def test_check_tries_the_mail_server(run: Run, mail_server: MailServer, tmp_path: Path) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert "mail       OK, 127.0.0.1" in result.stdout
    (tmp_path / "feedsrv.toml").write_text(settings(mail_server.port, "starttls"))
    result = run("check")
    assert result.exit_code == 1
    assert "mail       FAILED: " in result.stdout


def test_without_lists_nothing_is_sent_and_it_fails(run: Run, mail_server: MailServer) -> None:
    result = run("mail", FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stdout == "0 sent, 0 rejected, 0 deferred.\n"
