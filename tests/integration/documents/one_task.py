"""
``python -m tests.integration.documents.one_task upload|save|create JSON``: one task in a process that a test can kill.

The task state store of ``create`` is the file ``STATE_FILE`` names; its XComs are gone with the process, as Airflow
clears them before a retry.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator

OPERATORS = {
    "upload": UploadDirectoryOperator,
    "save": SaveBatchResultsOperator,
    "create": CreateBatchOperator,
}


class FileStore:
    """Airflow's task state store, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str, default: Any = None) -> Any:
        return self._values().get(key, default)

    def set(self, key: str, value: Any) -> None:
        written = self._path.with_suffix(".new")
        written.write_text(json.dumps({**self._values(), key: value}))
        written.replace(self._path)

    def _values(self) -> dict[str, Any]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}


def main(which: str, arguments: dict[str, Any]) -> None:
    xcoms: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="a_dag",
        task_id=which,
        run_id="a_run",
        map_index=-1,
        task=SimpleNamespace(retries=3),
        try_number=int(os.environ.get("TRY_NUMBER", "1")),
        max_tries=3,
        xcom_pull=lambda *, task_ids, key, map_indexes: xcoms.get(key),
    )
    ti.xcom_push = lambda key, value: xcoms.__setitem__(key, json.loads(json.dumps(value)))
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=datetime.now(UTC))}
    if "STATE_FILE" in os.environ:
        context["task_state_store"] = FileStore(Path(os.environ["STATE_FILE"]))
    value = OPERATORS[which](task_id=which, **arguments).execute(context)
    print(json.dumps({"value": value, "xcoms": xcoms}))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
