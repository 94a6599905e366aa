"""Hugging Face Daily Papers as one feed per keyword.

`feedsrv.feeds.service` handles one request from top to bottom and is the place to start reading.
"""

__version__ = "0.1.0"
