"""``python -m feedsrv`` is the ``feedsrv`` command."""

from feedsrv.cli import main

if __name__ == "__main__":
    main()
