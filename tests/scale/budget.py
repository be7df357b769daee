"""One budget of requests over all processes of a deployment: met, not fought, and fair between two DAGs."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.scale import pipelines
from tests.scale.page import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scale.deployment import Deployment

MANY, FEW = "many_of_team_a", "few_of_team_b"
POOLS = {"llamacloud_a": 2, "llamacloud_b": 1}  # slots
SLOTS, TRIGGERERS = sum(POOLS.values()), 2
REQUESTS_PER_MINUTE, BATCHES_PER_MINUTE = 20, 10
PATIENCE, PATIENCE_PER_RUN = 3600.0, 60.0  # seconds; 200 runs take two hours and more


@dataclass
class Result:
    """What came of runs under a budget."""

    runs: int
    few: int
    made: int
    ended_right: int
    requests: int
    refused: int  # answered with 429
    busiest_minute: int  # requests that were answered otherwise
    few_waited: float  # seconds until the last batch of the smaller DAG was made
    many_waited: float
    seconds: float
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether all ended right, and few requests were refused."""
        return not self.problems


def run(deployment: Deployment, runs: int, say: Callable[[str], None]) -> Result:
    """Start ``runs`` runs, nine in ten of one DAG and then the others of another, and follow them to their end."""
    control, database, api = deployment.cloud.control, deployment.database, deployment.airflow.api
    directories = deployment.cloud.make_directories(runs)
    control.change(
        requests_per_minute=REQUESTS_PER_MINUTE,
        batches_per_minute=BATCHES_PER_MINUTE,
        batch_running_seconds=120,
    )
    deployment.set_connection(
        deployment.cloud.emulator.api_key, requests_per_minute=REQUESTS_PER_MINUTE / (SLOTS + TRIGGERERS)
    )
    for name, slots in POOLS.items():
        api.set_pool(name, slots)
    for dag_id in (MANY, FEW):
        deployment.airflow.wait_for_dag(dag_id)
    few = max(1, runs // 10)
    already, began = len(control.requests()), time.monotonic()
    of_few = set(directories[-few:])
    for directory_id in directories:
        api.trigger(FEW if directory_id in of_few else MANY, {"directory_id": directory_id})
    say(f"{runs} runs started, the last {few} of another DAG")
    told = _Teller(deployment, already, say)

    def over() -> bool:
        states = [*database.run_states(MANY).items(), *database.run_states(FEW).items()]
        return not any(count for state, count in states if state in ("queued", "running"))

    pipelines.wait(
        deployment, over, seconds=PATIENCE + PATIENCE_PER_RUN * runs, every=10.0, meanwhile=told.tell
    )
    seen = control.requests()[already:]
    times = sorted(one.at for one in seen if one.status != 429)
    right = sum(database.run_states(dag_id).get("success", 0) for dag_id in (MANY, FEW))
    result = Result(
        runs,
        few,
        control.counters()["batches"],
        right,
        len(seen),
        sum(one.status == 429 for one in seen),
        busiest(times, 60.0),
        _last_made(deployment, of_few),
        _last_made(deployment, set(directories) - of_few),
        time.monotonic() - began,
    )
    if (result.made, right) != (runs, runs):
        result.problems.append(f"{result.made} batches were made for {runs} runs, {right} ended right")
    if result.refused > result.requests / 20:
        result.problems.append(f"{result.refused} of {result.requests} requests were refused")
    return result


def busiest(times: list[float], seconds: float) -> int:
    """Return the largest number of these sorted times that lie within so many seconds."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def text(result: Result) -> str:
    """Return the part of the page about the budget."""
    figures: list[tuple[str, object]] = [
        ("runs that ended right / wanted", f"{result.ended_right} / {result.runs}"),
        ("batches made / wanted", f"{result.made} / {result.runs}"),
        ("requests", result.requests),
        ("of them refused with 429", result.refused),
        ("requests in the busiest minute", result.busiest_minute),
        ("minutes in all", result.seconds / 60),
        ("minutes until the last batch of the larger DAG", result.many_waited / 60),
        (f"minutes until the last batch of the smaller DAG ({result.few} runs)", result.few_waited / 60),
    ]
    parts = [
        f"The emulator allows {REQUESTS_PER_MINUTE} requests and {BATCHES_PER_MINUTE} batches a minute. Pools of "
        f"{' and '.join(map(str, POOLS.values()))} slots and {TRIGGERERS} triggerers share it: `requests_per_minute` "
        f"of the connection is {REQUESTS_PER_MINUTE / (SLOTS + TRIGGERERS):g}. {result.runs} runs are started at "
        f"once, the last {result.few} of them of another DAG, with the smaller pool.",
        table(("what", "measured"), figures),
    ]
    if result.problems:
        parts.append("Not as wanted:\n\n" + "\n".join(f"- {problem}" for problem in result.problems))
    return "\n\n".join(parts)


def _last_made(deployment: Deployment, directories: set[str]) -> float:
    """Return how long after the first batch of all the last one over these directories was made."""
    batches = pipelines.batches_of(deployment)
    first = min((batch.created_at for batch in batches), default=0.0)
    return (
        max((batch.created_at for batch in batches if batch.directory_id in directories), default=0.0) - first
    )


class _Teller:
    """Tells how far the runs are."""

    def __init__(self, deployment: Deployment, already: int, say: Callable[[str], None]) -> None:
        self._deployment, self._already, self._say = deployment, already, say
        self._said = ""

    def tell(self) -> None:
        """Say it, when something has changed."""
        control, database = self._deployment.cloud.control, self._deployment.database
        over = sum(database.run_states(dag_id).get("success", 0) for dag_id in (MANY, FEW))
        statuses = Counter(one.status for one in control.requests()[self._already :])
        line = f"runs over: {over}; batches made: {control.counters()['batches']}; refused: {statuses[429]}"
        if line != self._said:
            self._said = line
            self._say(line)
