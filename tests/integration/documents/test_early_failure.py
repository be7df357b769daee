"""What fails before the upload stays the failure that is seen."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, task

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator
from airflow_provider_llamabatch.task_groups import process_directory
from tests.integration.documents.conftest import TELLS_ERRORS, fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOTHING = "Nothing was uploaded, so there is nothing to save: find_configuration failed"
AIRFLOW_3 = importlib.util.find_spec("airflow.sdk") is not None
TIMES_SAID = 1 if AIRFLOW_3 else 3  # what a task fails with, by Airflow 3 and 2

# Airflow's own, when a task of a test's DAG is a function.
pytestmark = [
    pytest.mark.usefixtures("connection"),
    pytest.mark.filterwarnings("ignore:.*operator_helpers.determine_kwargs"),
]


def line_after(first: Callable[[], str], source: Path, target: Path) -> Any:
    """Return a DAG that gives the group its configuration from a task before it."""
    dag_id = f"after_{first.__name__}"
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        found: Any = task(first)()
        process_directory(source=str(source), target=str(target), configuration_id=found)
    return dag


def find_configuration() -> str:
    raise ValueError("there is no such configuration")


def choose() -> str:
    raise AirflowSkipException("not today")


def test_a_task_that_fails_before_the_upload_is_named_by_the_save_without_a_retry(
    run_dag, source: Path, target: Path, capfd: pytest.CaptureFixture[str]
):
    fill(source, {"a.txt": b"alpha"})
    ran = run_dag(line_after(find_configuration, source, target))

    assert ran.state == "failed"
    assert ran.tasks == {
        "find_configuration": "failed",
        "process_directory.upload": "upstream_failed",
        "process_directory.create_batch": "upstream_failed",
        "process_directory.save_results": "failed",
        "process_directory.delete_directories": "skipped",
    }
    said = capfd.readouterr()
    assert (said.out + said.err).count(NOTHING) == TIMES_SAID, "of one try, as it is not retried"
    assert "Exception rendering Jinja template" not in said.out + said.err


def test_a_group_that_is_skipped_is_skipped_to_its_end(run_dag, source: Path, target: Path):
    ran = run_dag(line_after(choose, source, target))

    assert ran.state == "success"
    assert ran.tasks["process_directory.save_results"] == "skipped"


def test_without_directories_there_is_nothing_to_leave_alone(context):
    delete = DeleteDirectoryOperator(task_id="delete", directory_id=None, only_after=None)

    with pytest.raises(AirflowSkipException, match="There is no directory to delete"):
        delete.execute(context)


def test_a_mapped_task_of_a_wrong_constant_fails_at_once_and_its_callback_is_told(run_dag):
    told: list[str] = []
    with DAG("wrong_constant", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        CreateBatchOperator.partial(
            task_id="create",
            configuration_id="cfg-1",
            timeout="1h",  # seen only when a task is made of it
            retries=2,
            on_failure_callback=lambda context: told.append(str(context.get("exception"))),
        ).expand(source_directory_id=["dir-1"])

    assert run_dag(dag).tasks == {"create[0]": "failed"}
    if AIRFLOW_3:  # Airflow 2 calls nobody where the task cannot be made
        assert len(told) == 1
    if AIRFLOW_3 and TELLS_ERRORS:
        assert "timeout: must be a number of seconds above 0" in told[0]
