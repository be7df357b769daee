"""What a run tells those who watch: OpenLineage events, written by the provider's own file transport."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.support.airflow_processes import RealAirflow
    from tests.support.llamacloud import LlamaCloud

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DAG_ID = "observed"
DOCUMENTS = sorted((Path(__file__).parents[2] / "dags_examples" / "documents").iterdir())
EVENT_SECONDS = 30.0  # an event is written by a process of its own, maybe after the run has ended


@dataclass
class Observed:
    """A run that is over."""

    source: Path
    target: Path
    directory_id: str
    batch_id: str
    events: Path

    def lineage(self, task_id: str, event_type: str) -> dict[str, Any]:
        """Return the one event of a task and type."""
        [event] = [event for event in self._events(task_id) if event["eventType"] == event_type]
        return event

    def _events(self, task_id: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self.events.read_text().splitlines()]
        return [event for event in events if event["job"]["name"] == f"{DAG_ID}.{task_id}"]


def eventually(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + EVENT_SECONDS
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.fixture(scope="module")
def observed(
    airflow: RealAirflow,
    emulator: LlamaCloudEmulator,
    llamacloud: LlamaCloud,
    tmp_path_factory: pytest.TempPathFactory,
) -> Observed:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for document in DOCUMENTS:
        (source / document.name).write_bytes(document.read_bytes())
    directory_id = llamacloud.upload("observed", DOCUMENTS)
    airflow.wait_for_dag(DAG_ID)
    conf = {"source": str(source), "target": str(target), "source_directory_id": directory_id}
    run_id = airflow.api.trigger(DAG_ID, conf)
    assert airflow.wait_for_run(DAG_ID, run_id, seconds=200) == "failed"  # since one of its tasks is to fail
    states = {task["task_id"]: task["state"] for task in airflow.api.task_instances(DAG_ID, run_id)}
    assert [task_id for task_id, state in states.items() if state != "success"] == ["fails"]
    events = airflow.home / "lineage.jsonl"
    ended = {f"{DAG_ID}.{task_id}" for task_id in states}
    eventually(lambda: ended <= _names_that_ended(events))
    return Observed(source, target, directory_id, airflow.api.xcom(DAG_ID, run_id, "create"), events)


def _names_that_ended(events: Path) -> set[str]:
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return {line["job"]["name"] for line in lines if line["eventType"] in ("COMPLETE", "FAIL")}


def datasets(event: dict[str, Any], kind: str) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in event[kind]]


def test_the_folder_leads_through_a_directory_to_the_results(observed: Observed):
    upload = observed.lineage("process_directory.upload", "COMPLETE")
    create = observed.lineage("process_directory.create_batch", "COMPLETE")
    save = observed.lineage("process_directory.save_results", "COMPLETE")
    delete = observed.lineage("process_directory.delete_directories", "COMPLETE")
    [directory] = datasets(upload, "outputs")
    assert datasets(upload, "inputs") == [("file", str(observed.source))]
    assert directory[0] == "llamacloud://directories"
    assert (
        datasets(create, "inputs") == datasets(save, "inputs") == datasets(delete, "outputs") == [directory]
    )
    assert datasets(save, "outputs") == [("file", str(observed.target))]
    assert upload["outputs"][0]["outputFacets"]["outputStatistics"]["fileCount"] == len(DOCUMENTS)
    assert delete["outputs"][0]["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "DROP"


def test_batch_jobs_configuration_and_credits_are_in_the_facet(observed: Observed):
    facet = observed.lineage("process_directory.save_results", "COMPLETE")["run"]["facets"][
        "llamacloud_batch"
    ]
    assert facet["jobs"] == len(facet["jobReferences"]) == len(DOCUMENTS)
    assert facet["statuses"] == {"COMPLETED": len(DOCUMENTS) - 1, "FAILED": 1}
    assert facet["credits"] > 0
    assert facet["configurationIds"] == ["cfg-PARSE_AGENTIC"]
    created = observed.lineage("process_directory.create_batch", "COMPLETE")["run"]["facets"][
        "llamacloud_batch"
    ]
    assert len(created["batchIds"]) == 1
    assert created["jobs"] == len(DOCUMENTS)


def test_tasks_that_do_it_apart_tell_of_the_same_batch_and_directory(observed: Observed):
    directory = ("llamacloud://directories", observed.directory_id)
    for task_id in ("create", "batch", "cancel"):
        event = observed.lineage(task_id, "COMPLETE")
        assert datasets(event, "inputs") == [directory]
        assert event["run"]["facets"]["llamacloud_batch"]["batchIds"] == [observed.batch_id]
    jobs = observed.lineage("jobs", "COMPLETE")["run"]["facets"]["llamacloud_batch"]
    assert jobs["statuses"] == {"COMPLETED": len(DOCUMENTS) - 1, "FAILED": 1}


def test_the_start_and_a_failure_tell_what_is_known_then(observed: Observed):
    started = observed.lineage("create", "START")
    failed = observed.lineage("fails", "FAIL")
    assert datasets(started, "inputs") == [("llamacloud://directories", observed.directory_id)]
    assert datasets(failed, "inputs") == [("llamacloud://directories", "dir-missing")]
    assert failed["run"]["facets"]["llamacloud_batch"]["configurationIds"] == ["cfg-PARSE_AGENTIC"]


def test_no_event_holds_the_key(observed: Observed, emulator: LlamaCloudEmulator):
    assert emulator.api_key not in observed.events.read_text()
