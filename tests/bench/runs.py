"""Runs clients against the server: which runs go side by side, and what comes back from each."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass, fields, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.client import READY
from tests.bench.scenarios import LIFE, spread_of
from tests.bench.server import ask
from tests.bench.subjects import POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.bench.scenarios import Scenario

LONGEST_RUN_SECONDS = 900
HEAVY = ("anthropic", "openai")
Phase = list[tuple[str, int]]  # the subjects and numbers of waits that run at the same time
SIDE_BY_SIDE = 100  # larger runs have the machine to themselves
LARGEST_SHARED = 1000  # the same for waits as in life, of ours and the empty loop


@dataclass(frozen=True)
class Run:
    """One subject against one world; ``name`` is that of the scenario."""

    subject: str
    scenario: Scenario
    name: str = "restart"


@dataclass(frozen=True)
class Row:
    """What one run cost: MB, seconds (`cpu`, `seconds`, `delay_*`, `gap_seconds`) and ms (`lag_*`)."""

    subject: str
    waits: int
    cpu: float
    seconds: float
    memory: float
    requests: float
    lists: float
    connections: float
    peak: float
    lag_p50: float
    lag_p99: float
    lag_max: float
    gap_seconds: float
    delay_p50: float
    delay_p99: float
    delay_max: float
    failures: float
    first_failure: str | None = None
    scenario: str = "restart"
    runs: int = 1  # of how many this row is the median


def phases(names_of: Callable[[int], list[str]], sizes: Iterable[int]) -> Iterator[Phase]:
    """Yield which (subject, size) run at the same time: small runs together, large ones alone."""
    chosen = [(name, size) for size in sizes for name in names_of(size)]
    small = [run for run in chosen if run[1] <= SIDE_BY_SIDE]
    heavy = [run for run in small if run[0] in HEAVY and run[1] > 1]
    yield from (group for group in ([run for run in small if run not in heavy], heavy) if group)
    yield from ([run] for run in chosen if run not in small)


def life_phases(seed: int) -> Iterator[list[Run]]:
    """Yield what runs at the same time of the waits as in life: those of one spread, the large ones alone."""
    of_spread: dict[str, list[Run]] = {}
    for name, scenario in LIFE.items():
        runs = of_spread.setdefault(spread_of(name), [])
        seeded = replace(scenario, seed=seed)
        if name == spread_of(name):
            runs.append(Run("empty", seeded, name))
        runs.append(Run("llamabatch", seeded, name))
    for runs in of_spread.values():
        yield from [runs] if runs[0].scenario.count <= LARGEST_SHARED else ([run] for run in runs)


def side_by_side(control: str, runs: Iterable[Run], poll: float = POLL_SECONDS) -> list[Row]:
    """Run all ``runs`` at once, each in a fresh process of its own, and return their rows in order."""
    started = []
    for run in runs:
        world = ask(control, do="open", scenario=asdict(run.scenario))
        task = {"subject_name": run.subject, "control": control, "poll": poll, **world}
        command = [sys.executable, "-m", "tests.bench.client", json.dumps(task)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append((run, world["key"], process))
    for run, _, process in started:
        wait_until_ready(run, process)
    for _, _, process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [_row(run, control, key, process) for run, key, process in started]


def wait_until_ready(run: Run, process: subprocess.Popen[str]) -> None:
    """Read what a client says until it has imported everything it needs."""
    assert process.stdout is not None
    if READY not in (line.strip() for line in process.stdout):
        raise RuntimeError(f"the run of {run.subject} did not get ready")


def _row(run: Run, control: str, key: str, process: subprocess.Popen[str]) -> Row:
    """Wait for a client and put its figures and the server's counts together."""
    said, _ = process.communicate(timeout=LONGEST_RUN_SECONDS)
    if process.returncode:
        raise RuntimeError(f"the run of {run.subject} with {run.scenario.count} waits broke off")
    figures: dict[str, Any] = json.loads(said.splitlines()[-1])
    counts = ask(control, do="close", key=key)
    return Row(
        **figures,
        scenario=run.name,
        requests=sum(counts["requests"].values()),
        lists=counts["requests"].get("list", 0),
        connections=counts["connections"],
        peak=counts["peak"],
    )


def medians(rows: Iterable[Row]) -> list[Row]:
    """Join the rows of repeated runs into their medians; failures are summed up."""
    repeated: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        repeated.setdefault((row.scenario, row.subject, row.waits), []).append(row)
    return [_median(group) for group in repeated.values()]


def _median(group: list[Row]) -> Row:
    numbers = {
        field.name: median(getattr(row, field.name) for row in group)
        for field in fields(Row)
        if field.type == "float"
    }
    numbers["failures"] = sum(row.failures for row in group)
    texts = [row.first_failure for row in group if row.first_failure]
    return Row(
        subject=group[0].subject,
        waits=group[0].waits,
        scenario=group[0].scenario,
        first_failure=texts[0] if texts else None,
        runs=len(group),
        **numbers,
    )
