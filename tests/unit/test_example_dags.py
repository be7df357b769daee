from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llamabatch import example_dags

# Airflow reading .airflowignore and loading @task.sensor: its own use of names that it deprecated itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*operator_helpers.determine_kwargs"),
]

EXAMPLES = Path(__file__).parents[2] / "dags_examples"
SHIPPED = Path(example_dags.__file__).parent


def dags_in(folder: Path) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    return DagBag(str(folder))


@pytest.fixture(autouse=True)
def without_airflows_own_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")


@pytest.fixture
def bag() -> Any:
    return dags_in(EXAMPLES)


@pytest.fixture
def dag(bag: Any) -> Any:
    return bag.dags["parse_directory"]


def test_the_folder_holds_the_example_and_nothing_else_that_airflow_would_read(bag: Any):
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [
        "documents_of_america",
        "documents_of_europe",
        "folder_to_markdown",
        "inbox_daily",
        "invoices_to_parquet",
        "many_directories",
        "parse_directory",
        "process_failed_files",
    ]


def test_a_batch_is_created_waited_for_fetched_per_file_and_reported(dag: Any):
    edges = {task.task_id: task.downstream_task_ids for task in dag.tasks}
    assert edges == {
        "create_batch": {"wait_for_batch"},
        "wait_for_batch": {"fetch_markdown", "write_report"},
        "fetch_markdown": {"write_report"},
        "write_report": set(),
    }


def test_the_markdown_is_fetched_by_one_mapped_task_per_job_reference(dag: Any):
    mapped = [task.task_id for task in dag.tasks if hasattr(task, "op_kwargs_expand_input")]
    assert mapped == ["fetch_markdown"]
    [(argument, references)] = dag.get_task("fetch_markdown").op_kwargs_expand_input.value.items()
    assert (argument, references.operator.task_id, references.key) == (
        "reference",
        "wait_for_batch",
        "return_value",
    )


def test_each_team_has_its_own_key_pools_queue_and_share(bag: Any):
    for team in ("america", "europe"):
        tasks = {task.task_id: task for task in bag.dags[f"documents_of_{team}"].tasks}
        assert {task.llamabatch_conn_id for name, task in tasks.items() if name != "create_batch"} == {
            f"llamacloud_{team}"
        }
        assert {name: task.pool for name, task in tasks.items()} == {
            "upload": f"llamacloud_{team}",
            "create_batch": f"llamacloud_{team}_batches",
            "save_results": f"llamacloud_{team}",
        }
        assert {task.queue for task in tasks.values()} == {team}
        assert tasks["create_batch"].max_active_tis_per_dag == 3


def test_what_is_parsed_comes_from_the_params(dag: Any):
    create = dag.get_task("create_batch")
    assert create.source_directory_id == "{{ params.source_directory_id }}"
    assert create.configuration_id == "{{ params.configuration_id }}"
    assert dag.params["configuration_id"] == "cfg-PARSE_AGENTIC"


@pytest.mark.parametrize("name", ["source_directory_id", "report_path"])
def test_a_run_without_a_directory_or_a_report_path_is_refused(dag: Any, name: str):
    with pytest.raises(Exception, match="No value passed"):
        dag.params.get_param(name).resolve()


def test_a_file_that_got_no_result_does_not_keep_the_report_from_being_written(dag: Any):
    assert dag.get_task("fetch_markdown").partial_kwargs["soft_fail"] is True
    assert dag.get_task("write_report").trigger_rule == "none_failed"


def test_there_are_sample_documents_of_every_kind():
    documents = list((EXAMPLES / "documents").iterdir())
    assert len(documents) >= 12
    assert {path.suffix for path in documents} == {".pdf", ".md", ".html", ".csv", ".txt"}
    assert all(path.stat().st_size < 100_000 for path in documents)


def test_what_comes_with_the_package_runs_only_when_somebody_starts_it_and_bounds_what_it_sends():
    bag = dags_in(SHIPPED)

    assert bag.import_errors == {}
    [dag] = bag.dags.values()
    assert dag.dag_id == "example_llamabatch_folder"
    assert type(dag.timetable).__name__ == "NullTimetable"
    upload = dag.get_task("process_directory.upload")
    # Whoever may trigger a DAG must not choose what is read: that is for those who may set Variables.
    assert (upload.source, upload.max_files) == ("{{ var.value.documents_folder }}", 100)
    assert not dag.params


def test_airflow_finds_what_comes_with_the_package():
    manager = pytest.importorskip("airflow.dag_processing.bundles.manager")
    if not hasattr(manager, "_add_provider_example_dags_to_bundle"):
        pytest.skip("this Airflow shows no examples of providers")
    bundles: list[Any] = []

    manager._add_provider_example_dags_to_bundle(bundles)

    assert ("airflow-provider-llamabatch-example-dags", {"path": str(SHIPPED)}) in [
        (bundle.name, bundle.kwargs) for bundle in bundles
    ]
