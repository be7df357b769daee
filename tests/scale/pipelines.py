"""Runs of the pipeline in a deployment: their documents, what became of them, and what must be true in the end."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.emulator.state import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from airflow_provider_llamabatch.emulator.state.records import Batch
    from tests.scale.deployment import Deployment

DAG_ID = "load_pipeline"
CREATE, SAVE = "pipeline.create_batch", "pipeline.save_results"
SMALL_FILES = 3
DOCUMENT = "# Minutes {number}\n\nThe council met, discussed item {number}, and adjourned.\n"


@dataclass(frozen=True)
class PipelineRun:
    """One run: where its documents are, how many, and where its results go."""

    run_id: str
    target: Path
    files: int


@dataclass
class Outcome:
    """What became of runs; ``problems`` is empty when everything is as wanted."""

    wanted: int
    made: int
    files_wanted: int
    files_saved: int
    retries: int
    problems: list[str] = field(default_factory=list)


def make_documents(folder: Path, files: int) -> Path:
    """Write so many small documents into a folder, once, and return it."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for number in range(files):
            (folder / f"minutes-{number:04}.md").write_text(DOCUMENT.format(number=number), encoding="utf-8")
    return folder


def trigger(deployment: Deployment, name: str, files: Sequence[int]) -> list[PipelineRun]:
    """Start a run per entry of ``files``, which says how many documents it has."""
    runs = []
    for number, count in enumerate(files):
        source = make_documents(deployment.home / "documents" / str(count), count)
        target = deployment.home / "results" / f"{name}-{number}"
        conf = {"source": str(source), "target": str(target)}
        run_id = deployment.airflow.api.trigger(DAG_ID, conf, f"{name}-{number}")
        runs.append(PipelineRun(run_id, target, count))
    return runs


def wait(
    deployment: Deployment,
    is_done: Callable[[], bool],
    *,
    seconds: float,
    every: float = 2.0,
    meanwhile: Callable[[], None] = lambda: None,
) -> bool:
    """Return whether ``is_done`` came true within so many seconds; ``meanwhile`` is called again and again."""
    import time

    give_up = time.monotonic() + seconds
    while not _holds(is_done):
        if time.monotonic() > give_up:
            return False
        meanwhile()
        deployment.sleep(every)
    return True


def all_ended(deployment: Deployment) -> bool:
    """Say whether no run is queued or running any more."""
    return not set(deployment.database.run_states(DAG_ID)) & {"queued", "running"}


def clear_failed(deployment: Deployment) -> int:
    """Clear the tasks that failed, as a person would, and return in how many runs there were any."""
    failed: dict[str, list[str]] = {}
    for task, _, run_id in deployment.database.unfinished(DAG_ID):
        failed.setdefault(run_id, []).append(task)
    for run_id, tasks in failed.items():
        deployment.airflow.api.clear(DAG_ID, run_id, tasks)
    return len(failed)


def batch_ends(deployment: Deployment) -> dict[str, float]:
    """Return when each batch of the service ends, by its own clock."""
    return {batch.id: batch.timeline.ended_at for batch in batches_of(deployment)}


def batch_starts(deployment: Deployment) -> list[float]:
    """Return when the batches of the service were made, in order."""
    return sorted(batch.created_at for batch in batches_of(deployment))


def check(deployment: Deployment, runs: Sequence[PipelineRun]) -> Outcome:
    """Compare runs that have ended with what must be true of them, and of a deployment without any others."""
    database, control = deployment.database, deployment.cloud.control
    made = deployment.cloud.control.counters()["batches"]
    ours = {run.run_id for run in runs}
    problems = [
        f"{run_id}: {task} is {state}"
        for task, state, run_id in database.unfinished(DAG_ID)
        if run_id in ours
    ]
    if made != len(runs):
        problems.append(f"{made} batches were made for {len(runs)} runs")
    found = [saved(run) for run in runs]
    for run, names in zip(runs, found, strict=True):
        if len(names) != run.files or set(names.values()) != {1}:
            problems.append(f"{run.run_id}: {names.total()} rows for {run.files} files")
    now = control.now()
    problems += [
        f"batch {b.id} still runs" for b in batches_of(deployment) if not batches.snapshot(b, now).ended
    ]
    if control.counters()["cancels"]:
        problems.append(f"{control.counters()['cancels']} batches were cancelled")
    if (left := database.sizes()["trigger"].rows) and not wait(
        deployment, lambda: database.sizes()["trigger"].rows == 0, seconds=60
    ):
        problems.append(f"{left} triggers are left")
    return Outcome(
        len(runs),
        made,
        sum(run.files for run in runs),
        sum(len(names) for names in found),
        database.retries(DAG_ID),
        problems,
    )


def batches_of(deployment: Deployment) -> list[Batch]:
    """Return the batches that the service holds."""
    service = deployment.cloud.control._service
    with service.lock:
        return [batch for project in service.projects.values() for batch in project.batches]


def saved(run: PipelineRun) -> Counter[str]:
    """Return how often the manifest holds each document whose result is there as well."""
    manifest = run.target / "manifest.jsonl"
    if not manifest.exists():
        return Counter()
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return Counter(
        row["file"] for row in rows if row["path"] and (run.target / _below(row["path"], run)).exists()
    )


def _below(path: str, run: PipelineRun) -> str:
    return path.removeprefix("file://").removeprefix(str(run.target)).lstrip("/")


def _holds(is_done: Callable[[], bool]) -> bool:
    """Ask; a database that is just being restarted is asked again later."""
    from sqlalchemy.exc import DBAPIError

    try:
        return is_done()
    except DBAPIError:
        return False
