"""
Play random histories of submissions and waits on a virtual clock until one breaks a promise, and shrink that one.

Exits with 1 and prints the shortest history found when a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

CHUNK = 250  # histories played at a time by one process


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first history; the others count on from it"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--replay", type=int, metavar="SEED", help="print the history of one seed and shrink it"
    )
    return parser.parse_args()


def play_some(first: int, count: int) -> tuple[Counter[str], int, int | None]:
    """Play histories; returns what was exercised, how many were played, and the seed that broke a promise."""
    from tests.simulation.history import play

    counts: Counter[str] = Counter()
    for seed in range(first, first + count):
        result = play(seed)
        counts += result.counts
        if result.violation:
            return counts, seed - first + 1, seed
    return counts, count, None


def main() -> int:
    """Play and report."""
    chosen = options()
    if chosen.replay is not None:
        return replay(chosen.replay)
    began = time.monotonic()
    counts: Counter[str] = Counter()
    played = 0
    broken: int | None = None
    with ProcessPoolExecutor(chosen.jobs) as pool:
        end = chosen.seed + chosen.histories
        chunks = [
            pool.submit(play_some, first, min(CHUNK, end - first)) for first in range(chosen.seed, end, CHUNK)
        ]
        for chunk in as_completed(chunks):
            some, number, seed = chunk.result()
            counts, played = counts + some, played + number
            if seed is not None:
                broken = seed
                break
        pool.shutdown(cancel_futures=True)
    seconds = time.monotonic() - began
    print(f"{played} histories in {seconds:.0f} s ({played / seconds:.0f} per second)")
    for name, number in counts.most_common():
        print(f"{number:12,}  {name}")
    if broken is None:
        print("every promise was kept")
        return 0
    return replay(broken)


def replay(seed: int) -> int:
    """Play one seed again, shrink it if it breaks a promise, and print it."""
    from tests.simulation.history import play
    from tests.simulation.shrinking import shrink

    result = play(seed, tracing=True)
    if result.violation:
        print(f"seed {seed} breaks a promise: {result.violation}; shrinking ...")
        result = play(seed, shrink(seed, result), tracing=True)
    for at, text in result.trace:
        print(f"{at:10.2f}  {text}")
    print(result.violation or "every promise was kept")
    return 1 if result.violation else 0


if __name__ == "__main__":
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="llamabatch-simulation-")
    warnings.simplefilter("ignore")  # what Airflow warns of while it is imported
    sys.exit(main())
