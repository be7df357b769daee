"""What the pytest plugin's runners return."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.testing.running import DagResult, _no_retry_delays


def test_an_xcom_of_a_task_that_the_run_does_not_have_is_an_error_that_names_its_tasks():
    result = DagResult(
        "a_dag", "a_run", "success", {"group.b": "success", "a[0]": "success", "a[1]": "failed"}
    )

    with pytest.raises(KeyError, match=r"'nope' is no task of this run; its tasks are a, group\.b"):
        result.xcom("nope")


def test_a_retry_comes_without_its_delay_for_mapped_tasks_too():
    delay = timedelta(minutes=3)
    with DAG("a_dag", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        CreateBatchOperator(
            task_id="plain", retry_delay=delay, source_directory_id="dir-1", configuration_id="cfg-1"
        )
        for name, given in (("mapped", {"retry_delay": delay}), ("by_default", {})):
            CreateBatchOperator.partial(task_id=name, configuration_id="cfg-1", **given).expand(
                source_directory_id=["dir-1", "dir-2"]
            )

    def delays() -> dict[str, timedelta]:
        return {task.task_id: task.retry_delay for task in dag.tasks}

    before = delays()
    with _no_retry_delays(dag):
        assert delays() == dict.fromkeys(before, timedelta(0))
    assert delays() == before
