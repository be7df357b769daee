from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_llamabatch import get_provider_info, lineage, lineage_facets
from airflow_provider_llamabatch.defaults import MAX_LINEAGE_JOBS
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator, UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from airflow_provider_llamabatch.storage import Storage

SCHEMA = Path(__file__).parents[2] / "docs" / "openlineage" / "LlamaCloudBatchRunFacet.json"
REFERENCES = [
    {
        "source_directory_file_id": f"dfl-{number}",
        "job_reference": {"id": f"pjb-{number}", "type": "parse_v2"},
        "status": "FAILED" if number % 2 else "COMPLETED",
        "credits": 1.5,
    }
    for number in range(4)
]


def names(datasets):
    return [(dataset.namespace, dataset.name) for dataset in datasets]


def directory(directory_id):
    return ("llamacloud://directories", directory_id)


def operators():
    return {
        "create": CreateBatchOperator(
            task_id="create", source_directory_id="dir-1", configuration_id="cfg-1"
        ),
        "cancel": CancelBatchOperator(task_id="cancel", batch_id="bat-1"),
        "batch": BatchSensor(task_id="batch", batch_id="bat-1"),
        "jobs": BatchJobsSensor(task_id="jobs", job_references=REFERENCES),
        "upload": UploadDirectoryOperator(task_id="upload", source="s3://aws@bucket/in/*.pdf"),
        "save": SaveBatchResultsOperator(task_id="save", job_references=REFERENCES, target="gs://bucket/out"),
        "delete": DeleteDirectoryOperator(task_id="delete", directory_id=["dir-1", "dir-2"]),
        "upload of a path": UploadDirectoryOperator(task_id="upload", source=Path("/data/in/*.pdf")),
        "save to a path": SaveBatchResultsOperator(
            task_id="save", job_references=[], target=Path("/data/out")
        ),
    }


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("llamacloud://directories/dir-1", ("llamacloud://directories", "dir-1")),
        ("s3://bucket/folder/sub/", ("s3://bucket", "folder/sub")),
        ("s3://conn_id@bucket/folder", ("s3://bucket", "folder")),
        ("s3://bucket", ("s3://bucket", "/")),
        (
            "abfss://container@account.dfs.core.windows.net/in",
            ("abfss://container@account.dfs.core.windows.net", "in"),
        ),
        ("/data/in", ("file", "/data/in")),
        ("file:///data/in", ("file", "/data/in")),
    ],
)
def test_datasets_are_named_as_openlineage_names_them(uri, expected):
    assert lineage.dataset_name(uri) == expected


@pytest.mark.parametrize(
    ("task", "inputs", "outputs"),
    [
        ("create", [directory("dir-1")], []),
        ("cancel", [], []),
        ("batch", [], []),
        ("jobs", [], []),
        ("upload", [("s3://bucket", "in")], []),
        ("save", [], [("gs://bucket", "out")]),
        ("delete", [], [directory("dir-1"), directory("dir-2")]),
        ("upload of a path", [("file", "/data/in")], []),
        ("save to a path", [], [("file", "/data/out")]),
    ],
)
def test_the_arguments_tell_the_datasets_before_anything_ran(task, inputs, outputs):
    told = operators()[task].get_openlineage_facets_on_start()
    assert (names(told.inputs), names(told.outputs)) == (inputs, outputs)


def test_what_was_found_out_is_told_at_the_end_once():
    upload = operators()["upload"]
    upload.note(written=["dir-7", None], files=3, bytes=90)
    upload.note(written=["dir-7", "dir-8"])
    told = upload.get_openlineage_facets_on_complete(None)
    assert names(told.outputs) == [directory("dir-7"), directory("dir-8")]
    statistics = told.outputs[0].outputFacets["outputStatistics"]
    assert (statistics.fileCount, statistics.size) == (3, 90)


def test_two_tasks_of_one_class_do_not_share_what_they_found_out():
    one, other = operators()["create"], operators()["create"]
    one.note(batch_id="bat-1")
    assert other.noted is None


def test_a_deleted_directory_is_said_to_be_gone():
    told = operators()["delete"].get_openlineage_facets_on_complete(None)
    assert told.outputs[0].facets["lifecycleStateChange"].lifecycleStateChange.value == "DROP"


def test_a_failure_tells_the_batch_that_was_paid_for():
    create = operators()["create"]
    create.note(batch_id="bat-9")
    facet = create.get_openlineage_facets_on_failure(None).run_facets[lineage.FACET]
    assert (facet.batchIds, facet.configurationIds, facet.jobType) == (["bat-9"], ["cfg-1"], "parse_v2")


def test_jobs_are_counted_by_status_and_their_credits_added_up():
    facet = operators()["jobs"].get_openlineage_facets_on_complete(None).run_facets[lineage.FACET]
    assert (facet.jobs, facet.statuses, facet.credits) == (4, {"COMPLETED": 2, "FAILED": 2}, 6.0)
    assert facet.jobReferences[0] == {
        "id": "pjb-0",
        "type": "parse_v2",
        "status": "COMPLETED",
        "sourceDirectoryFileId": "dfl-0",
    }


def test_an_event_holds_a_bounded_number_of_jobs_and_counts_all():
    jobs = BatchJobsSensor(task_id="jobs", job_references=REFERENCES * 100)
    told = jobs.get_openlineage_facets_on_complete(None)
    assert told is not None
    facet = told.run_facets[lineage.FACET]
    assert (len(facet.jobReferences), facet.jobs) == (MAX_LINEAGE_JOBS, 400)


def test_the_facet_is_what_its_schema_says():
    jobs = operators()["jobs"].get_openlineage_facets_on_complete(None).run_facets[lineage.FACET]
    create = operators()["create"].get_openlineage_facets_on_start().run_facets[lineage.FACET]
    schema = json.loads(SCHEMA.read_text())["$defs"]["LlamaCloudBatchRunFacet"]["allOf"][1]
    for facet in (jobs, create):
        told = {name: value for name, value in _fields(facet).items() if not name.startswith("_")}
        jsonschema.validate(told, schema)
        assert set(told) == set(schema["properties"])
        assert facet._schemaURL.endswith(f"docs/openlineage/{SCHEMA.name}")


def _fields(facet):
    import attrs

    return attrs.asdict(facet)


@pytest.mark.parametrize("task", sorted(operators()))
@pytest.mark.parametrize("value", [object(), 7, [None, 3, object()], {"a": 1}, [["x"]], "\ud800://["])
def test_no_argument_makes_lineage_raise(task, value, caplog):
    operator = operators()[task]
    for argument in operator.template_fields:
        setattr(operator, argument, value)
    operator.get_openlineage_facets_on_start()
    operator.get_openlineage_facets_on_complete(None)
    operator.get_openlineage_facets_on_failure(None)


def test_hook_lineage_names_the_storage(monkeypatch, tmp_path):
    reported = []
    collector = SimpleNamespace(
        add_input_asset=lambda **given: reported.append(("read", given["uri"])),
        add_output_asset=lambda **given: reported.append(("written", given["uri"])),
    )
    monkeypatch.setattr(
        "airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: collector
    )
    storage = Storage(str(tmp_path))
    lineage.report_read(storage)
    lineage.report_written(storage)
    assert reported == [("read", f"file://{tmp_path}"), ("written", f"file://{tmp_path}")]


def test_a_broken_collector_is_no_reason_to_fail(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: None
    )
    lineage.report_read(Storage(str(tmp_path)))


def test_an_asset_in_inlets_becomes_the_same_dataset():
    [entry] = get_provider_info()["asset-uris"]
    assert entry["to_openlineage_converter"] == f"{lineage.__name__}.{lineage.to_openlineage.__name__}"
    dataset = lineage.to_openlineage(Asset("llamacloud://directories/dir-1"), None)
    assert (dataset.namespace, dataset.name) == directory("dir-1")
    assert isinstance(dataset, lineage_facets.Dataset)
