"""What a run tells those who watch: OpenLineage events by the provider's own file transport, and StatsD metrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import airflow
import pytest
from packaging.version import Version

from airflow_provider_llamabatch import metrics, tracing
from airflow_provider_llamabatch.airflow_compat import keeps_state
from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from tests.support.dashboard import asked_for, in_prometheus, queries
from tests.support.llamacloud import LlamaCloud
from tests.support.statsd import StatsdLines

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

DAG_ID = "observed"
DOCUMENTS = sorted((Path(__file__).parents[2] / "dags_examples" / "documents").iterdir())
WITHOUT_JOB = sum(document.suffix == ".csv" for document in DOCUMENTS)
COMPLETED = len(DOCUMENTS) - WITHOUT_JOB - 1  # one of them is broken


AIRFLOW_TRACES = Version(airflow.__version__) >= Version("3.2")  # as one of OpenTelemetry's own
TRACES = {"AIRFLOW__TRACES__OTEL_ON": "True", "OTEL_TRACES_EXPORTER": "console"}


@dataclass
class Observed:
    """A run that is over."""

    source: Path
    target: Path
    directory_id: str
    batch_id: str
    events: Path
    printed: str

    def lineage(self, task_id: str, event_type: str) -> dict[str, Any]:
        """Return the one event of a task and type."""
        [event] = [event for event in self._events(task_id) if event["eventType"] == event_type]
        return event

    def _events(self, task_id: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self.events.read_text().splitlines()]
        return [event for event in events if event["job"]["name"] == f"{DAG_ID}.{task_id}"]


@pytest.fixture(scope="module")
def statsd() -> Iterator[StatsdLines]:
    with StatsdLines() as statsd:
        yield statsd


@pytest.fixture(scope="module")
def emulator() -> Iterator[LlamaCloudEmulator]:
    with LlamaCloudEmulator(api_key="llx-observed-2b1f6c0d9e8a4735") as emulator:
        emulator.control.change(mapping_error_files=("*.csv",), batch_running_seconds=2, job_lag_seconds=2)
        yield emulator


@pytest.fixture(scope="module")
def observed(
    emulator: LlamaCloudEmulator, statsd: StatsdLines, tmp_path_factory: pytest.TempPathFactory
) -> Observed:
    home, source, target = (tmp_path_factory.mktemp(name) for name in ("home", "source", "target"))
    for document in DOCUMENTS:
        (source / document.name).write_bytes(document.read_bytes())
    llamacloud = LlamaCloud("the emulator", {"password": emulator.api_key, "host": emulator.url})
    directory_id = llamacloud.upload("observed", DOCUMENTS)
    emulator.control.add_fault(kind="status", status=503, method="GET", path="directories", times=1)
    events = home / "lineage.jsonl"
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    conf = {"source": str(source), "target": str(target), "source_directory_id": directory_id}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.integration.observed_run", json.dumps(conf)],
        env={
            **os.environ,
            **statsd.options,
            **(TRACES if AIRFLOW_TRACES else {}),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW_CONN_LLAMABATCH_DEFAULT": llamacloud.connection_json,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    llamacloud.close()
    assert done.returncode == 0, done.stderr[-5000:]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    told = json.loads(line.removeprefix("RESULT "))
    states = told["tasks"]
    assert [task_id for task_id, state in states.items() if state != "success"] == ["fails"], done.stdout[
        -9000:
    ]
    return Observed(source, target, directory_id, told["batch_id"], events, done.stdout)


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
    assert facet["jobs"] == len(facet["jobReferences"]) == COMPLETED + 1
    assert facet["statuses"] == {"COMPLETED": COMPLETED, "FAILED": 1}
    assert facet["credits"] > 0
    assert facet["configurationIds"] == ["cfg-PARSE_AGENTIC"]
    created = observed.lineage("process_directory.create_batch", "COMPLETE")["run"]["facets"][
        "llamacloud_batch"
    ]
    assert len(created["batchIds"]) == 1
    assert created["jobs"] == COMPLETED + 1


def test_tasks_that_do_it_apart_tell_of_the_same_batch_and_directory(observed: Observed):
    directory = ("llamacloud://directories", observed.directory_id)
    for task_id in ("create", "batch", "cancel"):
        event = observed.lineage(task_id, "COMPLETE")
        assert datasets(event, "inputs") == [directory]
        assert event["run"]["facets"]["llamacloud_batch"]["batchIds"] == [observed.batch_id]
    jobs = observed.lineage("jobs", "COMPLETE")["run"]["facets"]["llamacloud_batch"]
    assert jobs["statuses"] == {"COMPLETED": COMPLETED, "FAILED": 1}


def test_the_start_and_a_failure_tell_what_is_known_then(observed: Observed):
    started = observed.lineage("create", "START")
    failed = observed.lineage("fails", "FAIL")
    assert datasets(started, "inputs") == [("llamacloud://directories", observed.directory_id)]
    assert datasets(failed, "inputs") == [("llamacloud://directories", "dir-missing")]
    assert failed["run"]["facets"]["llamacloud_batch"]["configurationIds"] == ["cfg-PARSE_AGENTIC"]


def test_no_event_holds_the_key(observed: Observed, emulator: LlamaCloudEmulator):
    assert emulator.api_key not in observed.events.read_text()


def test_the_metrics_count_what_happened(observed: Observed, statsd: StatsdLines):
    assert statsd.total("llamabatch.submissions", decision="submit") == 2
    assert statsd.total("resumable_job.fresh_submit") == (2 if keeps_state() else 0)  # Airflow 3.3's own
    assert statsd.total("llamabatch.files", result="uploaded") == len(DOCUMENTS)
    assert statsd.total("llamabatch.files", result="without_job") == 2 * WITHOUT_JOB
    assert statsd.total("llamabatch.uploaded_bytes") == sum(path.stat().st_size for path in DOCUMENTS)
    assert statsd.total("llamabatch.jobs", status="COMPLETED") == 2 * COMPLETED
    assert statsd.total("llamabatch.documents", status="COMPLETED") == COMPLETED
    assert statsd.total("llamabatch.documents", status="NO_JOB") == WITHOUT_JOB
    assert statsd.total("llamabatch.pages", result="ok") > 0
    assert statsd.total("llamabatch.credits") > 0
    assert statsd.total("llamabatch.requests.retried", error="UnavailableError") == 1


def test_every_deferred_wait_is_counted_when_it_begins_and_when_it_ends(
    observed: Observed, statsd: StatsdLines
):
    started = statsd.total("llamabatch.waits.started", where="triggerer")
    assert started >= 1
    assert statsd.total("llamabatch.waits.ended", reason="completed") == started
    durations = [metric for metric in statsd.metrics("llamabatch.waits.duration") if metric.kind == "ms"]
    assert len(durations) == started
    assert statsd.total("llamabatch.polls", result="ok") >= started


def test_nothing_is_sent_that_is_not_in_the_list(observed: Observed, statsd: StatsdLines):
    listed = {metric.name: metric.tags for metric in metrics.METRICS}
    for metric in statsd.metrics():
        assert metric.tags.keys() == listed[metric.name].keys()
        assert all(value in listed[metric.name][tag] for tag, value in metric.tags.items())


def test_the_dashboard_asks_for_what_was_sent(observed: Observed, statsd: StatsdLines):
    sent: dict[str, set[str]] = {}
    for metric in statsd.metrics():
        sent.setdefault(in_prometheus(metric.name), set()).update(metric.tags)
    for query in queries():
        names, labels = asked_for(query)
        assert names <= sent.keys(), query
        assert all(labels <= sent[name] for name in names), query


@pytest.mark.skipif(not AIRFLOW_TRACES, reason="Airflow below 3.2 has a tracer of its own")
def test_every_span_is_below_those_of_airflow(observed: Observed):
    for name in tracing.SPANS:
        assert f'"name": "{name}"' in observed.printed
    assert observed.batch_id in observed.printed
