"""Hugging Face Daily Papers as one feed per keyword.

`feedsrv.feeds.service` handles one request from top to bottom and is the place to start reading.
The packages, upper ones importing lower ones only:

- `feedsrv.web`: the Flask application and its response cache.
- `feedsrv.monitoring`: status, metrics and the incident feed.
- `feedsrv.feeds`: listings to feed documents.
- `feedsrv.upstream`: fetching, parsing and scheduling Hugging Face's pages.
- `feedsrv.storage`: the repository and its backends.
- `feedsrv.search`: the query language.
"""

__version__ = "0.1.0"
