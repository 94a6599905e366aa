"""Run the ``feedsrv`` command with ``python -m feedsrv``."""

import os
import signal
import sys


def main() -> None:
    """Run the command, and ignore a reload of a server that has no settings to reload yet."""
    # On a terminal, SIGHUP means that it was closed; on Windows there is none.
    if "serve" in sys.argv and hasattr(signal, "SIGHUP") and not os.isatty(0):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from feedsrv.cli import main as run_command  # noqa: PLC0415  # takes half a second

    run_command()


if __name__ == "__main__":
    main()
