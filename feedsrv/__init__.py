"""Hugging Face Daily Papers as one feed per keyword.

Start reading at `feedsrv.service`: one request, top to bottom. What a page says is read in
`feedsrv.huggingface`, what a query means in `feedsrv.query`, what a feed looks like in
`feedsrv.entry` and `feedsrv.render`. Those do no I/O and read no clock; `feedsrv.fetch`,
`feedsrv.store` and `feedsrv.web` are the edges.
"""

__version__ = "0.1.0"
