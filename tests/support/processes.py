"""Functions of test modules, called in separate processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tests.support.paths import ROOT
from tests.support.waiting import wait_until

_CALL = """
import importlib, sys
module, name, *arguments = sys.argv[1:]
getattr(importlib.import_module(module), name)(*arguments)
"""
_FORK_AND_CALL = """
import importlib, os, sys
module, name, *arguments = sys.argv[1:]
function = getattr(importlib.import_module(module), name)
for _ in sys.stdin:
    child = os.fork()
    if not child:
        try:
            function(*arguments)
        finally:
            os._exit(1)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def start_function(
    function: Callable[..., None], *arguments: str, code: str = _CALL
) -> subprocess.Popen[str]:
    """Start a module's function in a separate process, with pipes as its streams."""
    return subprocess.Popen(
        [sys.executable, "-c", code, function.__module__, function.__name__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def call_in_process(function: Callable[..., None], *arguments: str) -> None:
    """Call a module's function in a separate process, and wait until it ends."""
    with start_function(function, *arguments) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


@contextmanager
def killed_process(function: Callable[..., None], *arguments: str) -> Iterator[Callable[..., None]]:
    """Yield a function that runs an endless function in a process and kills it after a delay.

    The delay starts when the condition, called with the process id, is true. One process imports
    the modules and forks the others, so that each starts at once.
    """
    process = start_function(function, *arguments, code=_FORK_AND_CALL)
    assert process.stdin is not None
    assert process.stdout is not None
    commands, output = process.stdin, process.stdout

    def kill_after(seconds: float, condition: Callable[[int], bool] = lambda _: True) -> None:
        commands.write("fork\n")
        commands.flush()
        child = int(output.readline())
        wait_until(partial(condition, child))
        time.sleep(seconds)  # the time of the kill is under test
        os.kill(child, signal.SIGKILL)
        assert int(output.readline()) == signal.SIGKILL, "it ended by itself"

    try:
        yield kill_after
    finally:
        process.communicate()
