"""
Break what can break while batches are submitted and waited for, and count batches.

Prints a table and exits with 1 when a batch of this package's was lost, duplicated or cancelled. The official client
stands beside it for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.rows import Row


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="run these parts alone")
    parser.add_argument("--creates", type=int, default=1000, help="submissions per lost-answer row")
    parser.add_argument("--kills", type=int, default=20, help="workers to kill per step of a submission")
    parser.add_argument("--waits", type=int, default=50, help="waits per kind of trouble")
    parser.add_argument("--deferred", type=int, default=20, help="deferred operators, and as many sensors")
    return parser.parse_args()


def answers(asked: argparse.Namespace) -> list[Row]:
    """Lose answers to submissions."""
    from tests.chaos.lost_answers import lose_answers

    return list(lose_answers(asked.creates))


def waits(asked: argparse.Namespace) -> list[Row]:
    """Disturb the looks of waits."""
    from tests.chaos.troubled_waits import WAYS, Pace, wait_in_trouble

    pace = Pace(waits=asked.waits)
    return [row for way in WAYS for row in asyncio.run(wait_in_trouble(way, pace))]


def processes(asked: argparse.Namespace) -> list[Row]:
    """Kill workers and triggerers of a real Airflow."""
    from tests.chaos.cloud import Cloud
    from tests.chaos.killed_triggerers import strike_triggerers
    from tests.chaos.killed_workers import kill_workers
    from tests.chaos.real_airflow import real_airflow

    with Cloud() as cloud, real_airflow(asked.home / "airflow", cloud) as airflow:
        say(f"Airflow is up at {airflow.url}, its logs are in {airflow.home}")
        killed = kill_workers(airflow, cloud, asked.kills)
        say("workers done")
        return killed + strike_triggerers(airflow, cloud, asked.deferred)


PARTS: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "answers": answers,
    "processes": processes,
    "waits": waits,
}


def main() -> int:
    """Run the parts and return the exit code."""
    asked, began, rows = options(), time.monotonic(), []
    asked.home = Path(tempfile.mkdtemp(prefix="llamabatch-chaos-"))
    # Airflow reads both when it is imported. Its log of thousands of small tasks is of no use here.
    os.environ |= {"AIRFLOW_HOME": str(asked.home / "here"), "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL"}
    from tests.chaos.rows import table

    for part in asked.only:
        say(f"{part} ...")
        rows += PARTS[part](asked)
    sys.stdout.write(f"{table(rows)}\n")
    say(f"took {(time.monotonic() - began) / 60:.1f} minutes")
    if not all(row.is_clean for row in rows if not row.for_comparison):
        return 1
    shutil.rmtree(asked.home)
    return 0


def say(text: str) -> None:
    """Tell on standard error how far the run is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    sys.exit(main())
