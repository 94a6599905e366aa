"""Throw damaged pages and queries at the readers: only lists, queries and our errors may come.

    make fuzz                       # 100 seconds, on all cores
    make fuzz SECONDS=600 SEED=7    # for longer, with other cases
    .venv/bin/python -m tests.fuzz --pages 1000000 --queries 1000000 --damage 100000
    .venv/bin/python -m tests.fuzz --only pages:4711          # one case again, and shown

Each case is made of the seed and its number alone, so a run can be repeated on any machine.
"""

from __future__ import annotations

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

from tests.fuzz import damage, listings, pages, queries

#: Cases that a process takes at a time.
BATCH = 100
#: Seconds of computing that no case may take.
LONGEST = 5.0
#: Seconds after which a batch is given up, with a traceback of where it hangs.
HANGS = 300.0
#: The least share of cases that must be read: else the damage does not reach deep.
LEAST_READ = 0.3

KINDS: dict[str, tuple[Callable[[Random], Any], Callable[[Any], str]]] = {
    "pages": (pages.page, listings.outcome),
    "queries": (queries.query, queries.outcome),
    "damage": (damage.damaged_list, damage.outcome),
}


@dataclass
class Summary:
    """What came of some cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    #: Number and traceback.
    crashes: list[tuple[int, str]] = field(default_factory=list)
    #: Seconds of computing, and the number of the case that took them.
    slowest: tuple[float, int] = (0.0, 0)

    def add(self, other: Summary) -> None:
        """Take the other's cases in."""
        self.outcomes += other.outcomes
        self.crashes += other.crashes
        self.slowest = max(self.slowest, other.slowest)

    @property
    def count(self) -> int:
        """How many cases there were."""
        return self.outcomes.total()


def case(kind: str, seed: int, number: int) -> Any:
    """Return one case, the same each time."""
    return KINDS[kind][0](Random(f"{seed} {kind} {number}"))


def batch(kind: str, seed: int, start: int, count: int) -> Summary:
    """Return what came of cases in a row."""
    warnings.simplefilter("error")
    faulthandler.dump_traceback_later(HANGS, exit=True)
    tally = Summary()
    for number in range(start, start + count):
        given = case(kind, seed, number)
        begun = time.process_time()
        try:
            tally.outcomes[KINDS[kind][1](given)] += 1
        except Exception:  # noqa: BLE001  # whatever it is, it is a finding
            tally.outcomes["CRASH"] += 1
            tally.crashes.append((number, traceback.format_exc()))
        tally.slowest = max(tally.slowest, (time.process_time() - begun, number))
    faulthandler.cancel_dump_traceback_later()
    return tally


def run(kind: str, seed: int, *, count: int, seconds: float, cores: int) -> tuple[Summary, float]:
    """Return what came of so many cases, or of so many seconds, and the seconds it took."""
    begun = time.monotonic()
    starts = iter(range(0, count, BATCH))
    tally = Summary()
    with ProcessPoolExecutor(cores) as pool:

        def submitted(most: int) -> Iterator[Future[Summary]]:
            if time.monotonic() - begun < seconds:
                for start in islice(starts, most):
                    yield pool.submit(batch, kind, seed, start, min(BATCH, count - start))

        running = set(submitted(2 * cores))
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                tally.add(each.result())
            running |= set(submitted(len(done)))
    return tally, time.monotonic() - begun


def report(kind: str, tally: Summary, took: float) -> list[str]:
    """Print what came of the cases, and return what is wrong with it."""
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
    """Return what the command line says."""
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
        and sys.maxsize
        in {
            found.pages,
            found.queries,
            found.damage,
        }
    ):
        parser.error("say how many (--pages, --queries and --damage) or for how long (--seconds)")
    return found


def main() -> int:
    """Run, and return the exit code."""
    asked = arguments()
    if asked.only:
        kind, _, number = asked.only.partition(":")
        print(repr(case(kind, asked.seed, int(number))))
        tally = batch(kind, asked.seed, int(number), 1)
        return len(report(kind, tally, tally.slowest[0] or 1))
    wrong: list[str] = []
    for kind in KINDS:
        count = getattr(asked, kind)
        if count:
            tally, took = run(
                kind, asked.seed, count=count, seconds=asked.seconds / len(KINDS), cores=asked.cores
            )
            wrong += report(kind, tally, took)
    print(f"\nseed {asked.seed}: {'; '.join(wrong) or 'only lists, queries and our own errors'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
