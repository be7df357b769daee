"""What importing an operator module adds to a process that already holds Airflow's own operators.

``python -m tests.bench.imports MODULE...`` imports ``airflow.sdk`` and the Python operator once, then forks a
process per measurement, so that each starts from the same state and none sees what another imported.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

REPEATS = 7
AIRFLOWS_OWN = ("airflow.sdk", "airflow.sdk.bases.operator", "airflow.providers.standard.operators.python")
OURS = (
    "airflow_provider_llamabatch.operators.batch",
    "airflow_provider_llamabatch.sensors.batch",
    "airflow_provider_llamabatch.triggers.batch",
)
PEERS = (
    "airflow.providers.dbt.cloud.operators.dbt",
    "airflow.providers.anthropic.operators.batch",
    "airflow.providers.openai.operators.openai",
)


def import_cost(module: str) -> dict[str, float]:
    """Import ``module`` in a forked process and return the ms taken and the modules added."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        held = len(sys.modules)
        before = time.perf_counter()
        importlib.import_module(module)
        taken = 1e3 * (time.perf_counter() - before)
        os.write(writing, json.dumps({"ms": taken, "modules": len(sys.modules) - held}).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    if not said:
        raise RuntimeError(f"{module} could not be imported")
    cost: dict[str, float] = json.loads(said)
    return cost


def measure(modules: Iterable[str]) -> list[dict[str, object]]:
    """Return for each module the median over fresh processes."""
    for module in AIRFLOWS_OWN:
        importlib.import_module(module)
    rows: list[dict[str, object]] = []
    for module in modules:
        import_cost(module)  # compiles what is not compiled yet
        costs = [import_cost(module) for _ in range(REPEATS)]
        rows.append(
            {
                "module": module,
                "ms": median(cost["ms"] for cost in costs),
                "modules": int(costs[0]["modules"]),
            }
        )
    return rows


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1:])) + "\n")
