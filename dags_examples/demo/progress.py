"""What a person sees of a run: a line per change of a task's state, why it failed, a table at the end."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.support.airflow_processes import RealAirflow

# What a person waits for; the others (none, scheduled, queued) are steps on the way to running.
SHOWN_STATES = (
    "success",
    "failed",
    "upstream_failed",
    "skipped",
    "up_for_retry",
    "up_for_reschedule",
    "deferred",
    "running",
)
LOG_LINES = 12


class RunDidNotEndError(RuntimeError):
    """The run was still going when the patience was used up."""


def follow(
    airflow: RealAirflow, dag_id: str, run_id: str, sleep: Callable[[float], None], *, seconds: float
) -> str:
    """Print each change of a task's state until the run has ended; return ``success`` or ``failed``."""
    began = time.monotonic()
    shown: dict[str, str] = {}
    while True:
        state = airflow.api.run_state(dag_id, run_id)
        for name, text in summaries(airflow.api.task_instances(dag_id, run_id)).items():
            if text and shown.get(name) != text:
                shown[name] = text
                say(f"{time.monotonic() - began:7.1f} s  {name:<16}  {text}")
        if state in ("success", "failed"):
            return state
        if time.monotonic() - began > seconds:
            raise RunDidNotEndError(f"the run did not end within {seconds:.0f} s")
        airflow.check()
        sleep(1.0)


def summaries(tasks: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return each task's state; a mapped one's as ``3 success, 2 running of 16``; empty before anything happens."""
    texts: dict[str, str] = {}
    mapped: dict[str, list[str | None]] = {}
    for task in tasks:
        if task["map_index"] < 0:
            texts[task["task_id"]] = task["state"] if task["state"] in SHOWN_STATES else ""
        else:
            mapped.setdefault(task["task_id"], []).append(task["state"])
    return texts | {task_id: _tally(states) for task_id, states in mapped.items()}


def reasons_of_failure(airflow: RealAirflow, dag_id: str, run_id: str) -> str:
    """Return the end of the log of every task that failed."""
    failed = [task for task in airflow.api.task_instances(dag_id, run_id) if task["state"] == "failed"]
    texts = []
    for task in failed:
        lines = airflow.api.log_lines(
            dag_id, run_id, task["task_id"], try_number=task["try_number"], map_index=task["map_index"]
        )
        texts.append(f"{task_name(task)} failed; its log ends with")
        telling = [line for line in lines if not line.startswith("::")]  # marks that only the web UI folds
        texts += [f"    {line}" for line in telling[-LOG_LINES:]]
    return "\n".join(texts)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the report as a table: file, job, status, pages, and the first line of text or the reason."""
    head = ("File", "Job", "Status", "Pages", "First line, or what is wrong")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head) - 1)]
    room = max(20, shutil.get_terminal_size((140, 24)).columns - sum(widths) - 2 * len(widths))
    widths.append(min(room, max(len(line[-1]) for line in cells)))
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(line, widths) for line in (cells[0], rule, *cells[1:]))


def task_name(task: Mapping[str, Any]) -> str:
    """Return a task instance's name as people write it, ``fetch_markdown [3]``."""
    task_id: str = task["task_id"]
    return task_id if task["map_index"] < 0 else f"{task_id} [{task['map_index']}]"


def say(text: str = "") -> None:
    """Print at once, into a pipe as well."""
    print(text, flush=True)


def _tally(states: Sequence[str | None]) -> str:
    counts = {state: states.count(state) for state in SHOWN_STATES if state in states}
    text = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"{text} of {len(states)}" if text else ""


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    text = row.get("first_line") or row.get("error") or ""
    return (row["file"], row.get("job_id") or "-", row["status"], str(row.get("pages") or "-"), text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fitted = (_fitted(cell, width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(fitted).rstrip()


def _fitted(text: str, width: int) -> str:
    return f"{text:<{width}}" if len(text) <= width else f"{text[: width - 3]}..."
