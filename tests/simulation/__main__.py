"""
Play random histories of submissions and waits on a virtual clock until one breaks a promise, and shrink that one.

Exits with 1 and prints the shortest history found when a promise is broken. With ``--plant`` a defect is put into the
code first, and it is an error when no history breaks.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.playing import Tally


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first history; the others count on from it"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side")
    parser.add_argument(
        "--replay", type=int, metavar="SEED", help="print the history of one seed and shrink it"
    )
    parser.add_argument(
        "--plant", metavar="NAME", help="see that a defect is found; 'all' for each of them, 'list' for names"
    )
    return parser.parse_args()


def report(tally: Tally) -> None:
    """Print what was played and what happened in it, the excused histories apart."""
    from tests.simulation.world import EXCUSED

    counts = tally.counts
    print(
        f"{tally.played:,} histories in {tally.seconds:,.0f} s ({tally.played / tally.seconds:.0f} per second)"
    )
    for name, number in counts.most_common():
        if not name.startswith(EXCUSED):
            print(f"{number:12,}  {name}")
    print("paid for twice, or returned again, through a gap that docs/submissions.md names:")
    for name, number in counts.most_common():
        if name.startswith(EXCUSED):
            print(f"{number:12,}  {name.removeprefix(EXCUSED)}")


def plant(chosen: argparse.Namespace) -> int:
    """See that planted defects are found; returns 1 where one is not."""
    from tests.simulation.planting import PLANTS
    from tests.simulation.playing import play_all

    if chosen.plant == "list":
        print(*PLANTS, sep="\n")
        return 0
    names = list(PLANTS) if chosen.plant == "all" else [chosen.plant]
    missed = 0
    for name in names:
        if name not in PLANTS:
            print(f"there is no {name!r}; --plant list names them")
            return 2
        tally = play_all(chosen.seed, chosen.histories, chosen.jobs, name)
        missed += tally.broken is None
        after = "not found" if tally.broken is None else f"history {tally.broken - chosen.seed + 1:,}"
        print(f"{name:58} {after:>15}  {tally.violation[:100]}", flush=True)
    print(f"{len(names) - missed} of {len(names)} planted defects were found")
    return 1 if missed else 0


def main() -> int:
    """Play and report."""
    chosen = options()
    if chosen.replay is not None:
        return replay(chosen.replay)
    if chosen.plant is not None:
        return plant(chosen)
    from tests.simulation.playing import play_all

    tally = play_all(chosen.seed, chosen.histories, chosen.jobs)
    report(tally)
    if tally.broken is None:
        print("every promise was kept")
        return 0
    return replay(tally.broken)


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
