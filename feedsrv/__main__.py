"""Run the ``feedsrv`` command with ``python -m feedsrv``."""

from feedsrv.cli import main

if __name__ == "__main__":
    main()
