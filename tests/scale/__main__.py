"""
Run a distributed Airflow on this machine: PostgreSQL, Redis, two each of Celery workers, triggerers and schedulers.

Puts a load on it, or breaks it on purpose (``--chaos``), or has the service limit its requests (``--budget``); prints
what came of it, writes it into docs/scale.md, and exits with 1 when something is not as wanted. Ends all it started.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scale.deployment import Deployment


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--chaos", action="store_true", help="break the deployment and count what is lost")
    what.add_argument("--budget", action="store_true", help="have the service limit requests and batches")
    parser.add_argument("--runs", type=int, help="DAG runs (load: 40, budget: 24, chaos: 4 per fault)")
    parser.add_argument("--large", type=int, default=2, help="runs of the load with many files (default: 2)")
    parser.add_argument("--files", type=int, default=1000, help="files of such a run (default: 1000)")
    parser.add_argument(
        "--batch-seconds", type=float, default=300.0, help="how long a batch of the load runs (default: 300)"
    )
    parser.add_argument("--pause", type=float, default=120.0, help="chaos: seconds that a pause or cut lasts")
    parser.add_argument(
        "--only", nargs="+", metavar="FAULT", help="chaos: faults whose names hold one of these"
    )
    parser.add_argument("--slots", type=int, default=4, help="tasks at once per worker (default: 4)")
    parser.add_argument("--no-page", action="store_true", help="leave docs/ as it is")
    parser.add_argument("--keep", action="store_true", help="keep logs and results")
    return parser.parse_args()


def main() -> int:
    """Do what was asked for and return the exit code."""
    asked = options()
    home = Path(tempfile.mkdtemp(prefix="llamabatch-scale-"))
    home.chmod(0o755)
    # Airflow reads both when it is imported.
    os.environ |= {"AIRFLOW_HOME": str(home / "here"), "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL"}
    from tests.support.processes import Interrupted, Interrupts, ProcessFailedError

    interrupts = Interrupts()
    code = 1
    with interrupts.caught():
        try:
            code = _run(asked, home, interrupts.sleep)
        except Interrupted as interrupted:
            say("ended before it was done")
            code = interrupted.exit_code
        except ProcessFailedError as error:
            say(str(error))
    if asked.keep or code == 1:
        say(f"logs and results are in {home}")
    else:
        shutil.rmtree(home, ignore_errors=True)
    return code


def _run(asked: argparse.Namespace, home: Path, sleep: Callable[[float], None]) -> int:
    from tests.chaos.cloud import Cloud
    from tests.scale.deployment import Deployment

    load_before = os.getloadavg()[0]
    say("starting PostgreSQL, Redis and Airflow ...")
    with (
        Cloud(batch_pending_seconds=1) as cloud,
        Deployment(
            home, cloud, worker_slots=asked.slots, gives_up_early=asked.chaos, sleep=sleep
        ) as deployment,
    ):
        say(f"Airflow is up at {deployment.airflow.url}, its logs are in {home}")
        part = _chaos if asked.chaos else _budget if asked.budget else _load
        return part(asked, deployment, load_before)


def _load(asked: argparse.Namespace, deployment: Deployment, load_before: float) -> int:
    from tests.scale import load, load_report, page
    from tests.support.measured import write_part

    runs = asked.runs or 40
    plan = load.Plan(runs, min(asked.large, runs), asked.files, asked.batch_seconds)
    result = load.run(deployment, plan, say)
    text = load_report.text(result, page.machine(load_before, result.seconds), "scale.svg")
    sys.stdout.write(f"{text}\n")
    if not asked.no_page:
        write_part(page.PAGE, "load", text)
        (page.DOCS / "scale.svg").write_text(load_report.draw(result), encoding="utf-8")
    return 1 if result.outcome.problems else 0


def _chaos(asked: argparse.Namespace, deployment: Deployment, load_before: float) -> int:
    from tests.scale import chaos, page
    from tests.support.measured import write_part

    began, rows, text = time.monotonic(), [], ""
    for row in chaos.run(deployment, asked.runs or 4, asked.pause, asked.only, say):
        rows.append(row)
        where = page.machine(load_before, time.monotonic() - began)
        text = f"Each pause and cut lasts {asked.pause:g} s. {where}\n\n{chaos.table_of(rows)}"
        if not asked.no_page:
            write_part(page.PAGE, "chaos", text)
    sys.stdout.write(f"{text}\n")
    return 0 if rows and all(row.is_clean for row in rows) else 1


def _budget(asked: argparse.Namespace, deployment: Deployment, load_before: float) -> int:
    from tests.scale import budget, page
    from tests.support.measured import write_part

    began = time.monotonic()
    result = budget.run(deployment, asked.runs or 24, say)
    text = f"{budget.text(result)}\n\n{page.machine(load_before, time.monotonic() - began)}"
    sys.stdout.write(f"{text}\n")
    if not asked.no_page:
        write_part(page.PAGE, "budget", text)
    return 0 if result.is_clean else 1


def say(text: str) -> None:
    """Tell on standard error how far the run is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    sys.exit(main())
