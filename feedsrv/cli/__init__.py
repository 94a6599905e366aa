"""The ``feedsrv`` command.

Exit codes: 0 success; 1 an external failure (upstream, disk, port); 2 invalid settings or command
line; 128 + N when signal N ended a command.
"""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from feedsrv import __version__
from feedsrv.cli.check import check_command
from feedsrv.cli.digest import digest_command
from feedsrv.cli.explain import explain_command
from feedsrv.cli.export import export_command
from feedsrv.cli.get import get_command
from feedsrv.cli.mail import mail_command
from feedsrv.cli.refresh import refresh_command
from feedsrv.cli.serve import serve_command
from feedsrv.errors import ERROR_MAP, FeedsrvError, QueryError


class _ErrorHandlingGroup(click.Group):
    """A command group that turns our errors into messages and the exit codes of `ERROR_MAP`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FeedsrvError as error:
            lines = str(error).splitlines()
            caret = error.with_caret().splitlines() if isinstance(error, QueryError) else []
            _print_error(
                *(f"feedsrv: {each}" if each[0] != " " else each for each in lines), *caret
            )
            ctx.exit(ERROR_MAP[type(error)].exit_code)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends the command quietly
            _discard_output()  # it may be what failed, and Python would fail again at the end
            _print_error(f"feedsrv: {error}")
            ctx.exit(1)


def _print_error(*lines: str) -> None:
    """Print the lines on standard error; where it is full, the exit code has to do."""
    with suppress(OSError):
        click.echo("\n".join(lines), err=True)


def _discard_output() -> None:
    """Have nothing more written to standard output."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=_ErrorHandlingGroup,
    commands=[
        check_command,
        digest_command,
        explain_command,
        export_command,
        get_command,
        mail_command,
        refresh_command,
        serve_command,
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="feedsrv %(version)s")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings file. Default: $FEEDSRV_CONFIG, else config/feedsrv.toml.",
)
@click.pass_context
def main(ctx: click.Context, config_file: Path | None) -> None:
    """Hugging Face Daily Papers as one feed per keyword."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where the file descriptor is closed
            stream.reconfigure(errors="backslashreplace")  # paths, and locales without UTF-8
    ctx.with_resource(_exit_on_signals())
    ctx.obj = config_file


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT raise SystemExit, so that the upstream lease is released."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sets signal handlers in the main thread only
        return
    signals = (signal.SIGTERM, signal.SIGINT)

    def handle(number: int, _: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_DFL)  # a second signal ends the process at once
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
