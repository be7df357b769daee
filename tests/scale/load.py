"""The load: many runs of the pipeline that all wait at once, and what they cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.scale import pipelines
from tests.scale.deployment import TRIGGERERS
from tests.scale.pipelines import CREATE, DAG_ID, SAVE, SMALL_FILES
from tests.scale.usage import Meter, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.scale.database import Size
    from tests.scale.deployment import Deployment

PATIENCE, PATIENCE_PER_RUN = 3600.0, 10.0  # seconds


@dataclass(frozen=True)
class Plan:
    """``large`` of the ``runs`` have ``files`` documents; a batch runs for ``batch_seconds``."""

    runs: int
    large: int
    files: int
    batch_seconds: float

    @property
    def files_per_run(self) -> list[int]:
        """How many documents each run has, the large ones first: their uploads take longest."""
        return [self.files] * self.large + [SMALL_FILES] * (self.runs - self.large)


@dataclass
class LoadResult:
    """What a load came to. Times are seconds."""

    plan: Plan
    outcome: pipelines.Outcome
    waiting_at_once: int
    submitted_at: list[float]
    downstream_after: list[float]  # from each batch's end to the start of the task behind it
    requests: dict[str, int]  # to the service, by process
    waits: dict[int, int]  # by triggerer, when most waited
    sizes_waiting: dict[str, Size]
    sizes_end: dict[str, Size]
    usages: dict[str, Usage] = field(default_factory=dict)
    seconds: float = 0.0


def run(deployment: Deployment, plan: Plan, say: Callable[[str], None]) -> LoadResult:
    """Start all runs, follow them to their end and return what they came to."""
    deployment.cloud.control.change(batch_running_seconds=plan.batch_seconds)
    deployment.airflow.wait_for_dag(DAG_ID)
    began, meter = time.monotonic(), Meter(deployment.processes)
    patience = PATIENCE + PATIENCE_PER_RUN * plan.runs
    runs = pipelines.trigger(deployment, "load", plan.files_per_run)
    say(f"{len(runs)} runs started")
    watch = _Watch(deployment, meter, say)
    ended = pipelines.wait(
        deployment, lambda: pipelines.all_ended(deployment), seconds=patience, every=5.0, meanwhile=watch.look
    )
    meter.read()
    outcome = pipelines.check(deployment, runs)
    if not ended:
        outcome.problems.append(f"not over after {patience:.0f} s")
    return LoadResult(
        plan,
        outcome,
        watch.most,
        pipelines.batch_starts(deployment),
        _downstream_after(deployment),
        {name: deployment.wires[name].requests for name in ("workers", *TRIGGERERS)},
        watch.waits,
        watch.sizes,
        deployment.database.sizes(),
        meter.usages,
        time.monotonic() - began,
    )


class _Watch:
    """Looks at a load while it runs."""

    def __init__(self, deployment: Deployment, meter: Meter, say: Callable[[str], None]) -> None:
        self._deployment, self._meter, self._say = deployment, meter, say
        self._said = ""
        self.most = 0
        self.waits: dict[int, int] = {}
        self.sizes: dict[str, Size] = {}

    def look(self) -> None:
        """Read the meters, and tell how far the runs are."""
        self._meter.read()
        database = self._deployment.database
        states = database.task_states(DAG_ID)
        waiting = states.get("deferred", 0)
        if waiting > self.most:
            self.most, self.sizes, self.waits = waiting, database.sizes(), database.waits_by_triggerer()
        runs = database.run_states(DAG_ID)
        batches = self._deployment.cloud.control.counters()["batches"]
        told = ", ".join(
            f"{count} {state or 'none'}"
            for state, count in sorted(states.items(), key=lambda item: str(item[0]))
            if state not in ("success", "skipped")
        )
        line = f"runs over: {runs.get('success', 0) + runs.get('failed', 0)}; batches made: {batches}; tasks: {told}"
        if line != self._said:
            self._said = line
            self._say(line)


def _downstream_after(deployment: Deployment) -> list[float]:
    ends = pipelines.batch_ends(deployment)
    batch_of_run = deployment.database.returned(DAG_ID, CREATE)
    starts = deployment.database.starts(DAG_ID, SAVE)
    return sorted(
        starts[run] - ends[batch] for run, batch in batch_of_run.items() if run in starts and batch in ends
    )


def share(values: Sequence[float], part: float) -> float:
    """Return the value below which this part of the sorted values lies."""
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")
