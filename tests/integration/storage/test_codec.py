"""Decoding stored records in several threads."""

import os
import sys
import threading
from datetime import UTC, datetime

from feedsrv.models import Kind, Listing, Page
from feedsrv.storage.codec import decode, encode
from tests.support.processes import call_in_process

THREADS, CHILDREN = 16, 60


def decode_first_in_many_threads() -> None:
    """Fork processes that have decoded no type, and decode one in all threads at once."""
    page = Page(Kind.DAY, "2026-11-20")
    listing = Listing(page=page, papers=(), fetched_at=datetime(2026, 11, 20, tzinfo=UTC))
    data, _ = encode(listing)

    def decode_at(barrier: threading.Barrier) -> None:
        barrier.wait()
        for _ in range(20):
            decode(data, Listing)

    for _ in range(CHILDREN):
        child = os.fork()
        if not child:
            sys.setswitchinterval(1e-6)
            barrier = threading.Barrier(THREADS)
            threads = [threading.Thread(target=decode_at, args=(barrier,)) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_that_are_the_first_to_decode_a_type_do_not_crash_the_process() -> None:
    """msgspec 0.22 crashes one of six such processes unless one thread creates the decoder."""
    call_in_process(decode_first_in_many_threads)
