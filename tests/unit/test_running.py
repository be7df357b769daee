"""What the pytest plugin's runners return."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.testing.running import DagResult


def test_an_xcom_of_a_task_that_the_run_does_not_have_is_an_error_that_names_its_tasks():
    result = DagResult(
        "a_dag", "a_run", "success", {"group.b": "success", "a[0]": "success", "a[1]": "failed"}
    )

    with pytest.raises(KeyError, match=r"'nope' is no task of this run; its tasks are a, group\.b"):
        result.xcom("nope")
