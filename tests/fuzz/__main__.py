"""Fuzz the parsers with damaged pages and queries: only results and our errors are allowed.

With a time limit, a server is attacked too (`tests.fuzz.attack`).

    make fuzz                       # 100 seconds, on all cores
    make fuzz SECONDS=600 SEED=7    # for longer, with other cases
    .venv/bin/python -m tests.fuzz --pages 1000000 --queries 1000000 --damage 100000
    .venv/bin/python -m tests.fuzz --only pages:4711          # show and repeat one case

Each case depends only on the seed and its number, so a run can be repeated on any machine.
"""

import argparse
import faulthandler
import os
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

from tests.fuzz import attack, damage, listings, pages, queries

#: Number of cases in a batch.
BATCH = 100
#: Maximum CPU time of a case in seconds.
LONGEST = 5.0
#: Timeout of a batch in seconds, after which a traceback is printed.
HANGS = 300.0
#: Minimum share of parsed cases, so that the damage reaches the inner code.
LEAST_READ = 0.3

KINDS: dict[str, tuple[Callable[[Random], Any], Callable[[Any], str]]] = {
    "pages": (pages.page, listings.outcome),
    "queries": (queries.query, queries.outcome),
    "damage": (damage.damaged_list, damage.outcome),
}


@dataclass
class Summary:
    """The outcomes of cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    #: Number and traceback.
    crashes: list[tuple[int, str]] = field(default_factory=list)
    #: CPU time in seconds and number of the slowest case.
    slowest: tuple[float, int] = (0.0, 0)

    def add(self, other: "Summary") -> None:
        """Add the cases of another summary."""
        self.outcomes += other.outcomes
        self.crashes += other.crashes
        self.slowest = max(self.slowest, other.slowest)

    @property
    def count(self) -> int:
        """Number of cases."""
        return self.outcomes.total()


def case(kind: str, seed: int, number: int) -> Any:
    """Return a case, which depends only on the arguments."""
    return KINDS[kind][0](Random(f"{seed} {kind} {number}"))


def batch(kind: str, seed: int, start: int, count: int) -> Summary:
    """Run consecutive cases; return their outcomes."""
    warnings.simplefilter("error")
    faulthandler.dump_traceback_later(HANGS, exit=True)
    tally = Summary()
    for number in range(start, start + count):
        example = case(kind, seed, number)
        started = time.process_time()
        try:
            tally.outcomes[KINDS[kind][1](example)] += 1
        except Exception:  # noqa: BLE001  # any exception is a finding
            tally.outcomes["CRASH"] += 1
            tally.crashes.append((number, traceback.format_exc()))
        tally.slowest = max(tally.slowest, (time.process_time() - started, number))
    faulthandler.cancel_dump_traceback_later()
    return tally


def run(kind: str, seed: int, *, count: int, seconds: float, cores: int) -> tuple[Summary, float]:
    """Run a number of cases, or for some seconds; return the outcomes and the seconds taken."""
    started = time.monotonic()
    starts = iter(range(0, count, BATCH))
    tally = Summary()
    with ProcessPoolExecutor(cores) as pool:

        def submitted(most: int) -> Iterator[Future[Summary]]:
            if time.monotonic() - started < seconds:
                for start in islice(starts, most):
                    yield pool.submit(batch, kind, seed, start, min(BATCH, count - start))

        running = set(submitted(2 * cores))
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                tally.add(each.result())
            running |= set(submitted(len(done)))
    return tally, time.monotonic() - started


def report(kind: str, tally: Summary, took: float) -> list[str]:
    """Print the outcomes; return the problems."""
    print(f"\n{tally.count:,} {kind} in {took:.0f} s, {tally.count / took:,.0f} a second")
    for outcome, count in tally.outcomes.most_common():
        print(f"  {count / tally.count:6.1%}  {outcome}")
    slowest, number = tally.slowest
    print(f"  slowest: {slowest:.2f} s, --only {kind}:{number}")
    for number, trace in tally.crashes[:5]:
        print(f"\n--only {kind}:{number}\n{trace}")
    read = sum(
        count for name, count in tally.outcomes.items() if name.startswith(("listing", "a q"))
    )
    wrong = {
        f"{len(tally.crashes)} {kind} crash": tally.crashes,
        f"{kind}:{number} takes {slowest:.1f} s": slowest > LONGEST,
        f"fewer than {LEAST_READ:.0%} of the {kind} are read": read < LEAST_READ * tally.count,
    }
    return [what for what, is_so in wrong.items() if is_so]


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Throw damaged pages and queries at the readers.")
    parser.add_argument("--pages", type=int, default=sys.maxsize, metavar="N")
    parser.add_argument("--queries", type=int, default=sys.maxsize, metavar="N")
    parser.add_argument("--damage", type=int, default=sys.maxsize, metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="in all, the same for each"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", metavar="KIND:NUMBER", help="show one case, and what comes of it")
    found = parser.parse_args()
    if (
        found.only is None
        and found.seconds == float("inf")
        and sys.maxsize in {found.pages, found.queries, found.damage}
    ):
        parser.error("say how many (--pages, --queries and --damage) or for how long (--seconds)")
    return found


def main() -> int:
    """Run the fuzzers; return the exit code."""
    options = arguments()
    if options.only:
        kind, _, number = options.only.partition(":")
        print(repr(case(kind, options.seed, int(number))))
        tally = batch(kind, options.seed, int(number), 1)
        return len(report(kind, tally, tally.slowest[0] or 1))
    wrong: list[str] = []
    for kind in KINDS:
        count = getattr(options, kind)
        if count:
            tally, took = run(
                kind,
                options.seed,
                count=count,
                seconds=options.seconds / (len(KINDS) + 1),
                cores=options.cores,
            )
            wrong += report(kind, tally, took)
    if options.seconds < float("inf"):
        # A part of the time for the start of the server, and one for each kind of attack.
        seconds = options.seconds / (len(KINDS) + 1) / (len(attack.COUNTS) + 1)
        wrong += attack.run(seed=options.seed, seconds=seconds)
    print(f"\nseed {options.seed}: {'; '.join(wrong) or 'only lists, queries and our own errors'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
