"""``python -m tests.integration.documents.one_task upload|save JSON``: one task in a process that a test can kill."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator


def main(which: str, arguments: dict[str, Any]) -> None:
    operator = {"upload": UploadDirectoryOperator, "save": SaveBatchResultsOperator}[which]
    ti = SimpleNamespace(
        dag_id="a_dag", task_id=which, run_id="a_run", map_index=-1, xcom_push=lambda **_: None
    )
    print(json.dumps(operator(task_id=which, **arguments).execute({"ti": ti})))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
