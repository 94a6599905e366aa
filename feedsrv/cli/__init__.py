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
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from feedsrv import __version__
from feedsrv.errors import ERROR_MAP, FeedsrvError, QueryError

_COMMANDS = ("check", "digest", "explain", "export", "get", "mail", "refresh", "serve")


class _CommandGroup(click.Group):
    """A command group that turns our errors into messages and the exit codes of `ERROR_MAP`.

    It imports the module of a command when the command is called: the main process of the server
    needs few of them.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module: Any = import_module(f"feedsrv.cli.{cmd_name}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

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
    cls=_CommandGroup,
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
