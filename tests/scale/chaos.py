"""What is broken in a running deployment, one thing after the other, and what came of the runs that were under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.scale import pipelines
from tests.scale.faults import FAULTS
from tests.scale.page import table
from tests.scale.pipelines import DAG_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.scale.deployment import Deployment
    from tests.scale.faults import Fault

FILES = 5
BATCH_SECONDS = 60.0
MOMENT_PATIENCE, END_PATIENCE = 300.0, 900.0
HEADS = (
    "fault", "while", "runs", "batches wanted", "batches made", "files wanted", "files saved",
    "tries beyond the first", "seconds", "as wanted",
)  # fmt: skip


@dataclass
class Row:
    """One fault and what came of it."""

    fault: str
    moment: str
    outcome: pipelines.Outcome
    seconds: float
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every batch was made once, every file saved once, and nothing was left."""
        return not self.problems


def run(
    deployment: Deployment, runs: int, pause: float, only: Sequence[str] | None, say: Callable[[str], None]
) -> Iterator[Row]:
    """Have ``runs`` runs go through each fault; ``only`` those whose names hold one of these words."""
    deployment.airflow.wait_for_dag(DAG_ID)
    chosen = [fault for fault in FAULTS if only is None or any(word in fault.name for word in only)]
    for number, fault in enumerate(chosen):
        say(f"{fault.name} ...")
        row = _row(deployment, f"fault-{number}", fault, runs, pause, say)
        say(f"{fault.name}: {'as wanted' if row.is_clean else '; '.join(row.problems)} ({row.seconds:.0f} s)")
        yield row


def table_of(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    return table(HEADS, [_cells(row) for row in rows], texts=2)


def _row(
    deployment: Deployment, name: str, fault: Fault, runs: int, pause: float, say: Callable[[str], None]
) -> Row:
    import time

    began, retries_before = time.monotonic(), deployment.database.retries(DAG_ID)
    deployment.cloud.control.reset()
    deployment.cloud.control.change(batch_running_seconds=BATCH_SECONDS)
    deployment.set_connection(deployment.cloud.emulator.api_key)
    problems = []
    started = pipelines.trigger(deployment, name, [FILES] * runs)
    if not pipelines.wait(
        deployment, lambda: fault.moment.has_come(deployment, runs), seconds=MOMENT_PATIENCE, every=0.5
    ):
        problems.append(f"never came to pass: {fault.moment.name}")
    fault.strike(deployment)
    try:
        deployment.sleep(max(pause, fault.at_least) if fault.lasts else 0.0)
    finally:
        fault.heal(deployment)
    if not pipelines.wait(deployment, lambda: pipelines.all_ended(deployment), seconds=END_PATIENCE):
        problems.append(f"not over after {END_PATIENCE:.0f} s")
    if fault.cleared and pipelines.clear_failed(deployment):
        say("cleared what failed ...")
        if not pipelines.wait(deployment, lambda: pipelines.all_ended(deployment), seconds=END_PATIENCE):
            problems.append(f"not over {END_PATIENCE:.0f} s after a Clear")
    outcome = pipelines.check(deployment, started)
    fault.afterwards(deployment)
    outcome.retries -= retries_before
    return Row(fault.name, fault.moment.name, outcome, time.monotonic() - began, problems + outcome.problems)


def _cells(row: Row) -> tuple[object, ...]:
    done = row.outcome
    return (
        row.fault, row.moment, done.wanted, done.wanted, done.made, done.files_wanted, done.files_saved,
        done.retries, f"{row.seconds:.0f}", "yes" if row.is_clean else "**no**: " + "; ".join(row.problems),
    )  # fmt: skip
