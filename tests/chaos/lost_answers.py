"""Many submissions, a tenth of which never learn the answer: by the operator and by the official client."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import llama_cloud

from airflow_provider_llamabatch.batches import submission
from airflow_provider_llamabatch.execution import submitting
from airflow_provider_llamabatch.llamacloud import retries
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from tests.chaos.cloud import CONFIGURATION_ID, Cloud
from tests.chaos.rows import Row, Run, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Create = Callable[[str], str]

CONN_ID = "chaos_lost_answers"
PATIENCE = 1.0  # seconds that both clients wait for an answer
AT_ONCE = 8
TRIES = 3  # of a task, as retries=2 gives

# The server has made the batch in all but the last.
FAULTS: dict[str, dict[str, Any]] = {
    "connection dropped instead of the answer": {"kind": "drop_after"},
    "503 instead of the answer": {"kind": "status", "status": 503, "committed": True},
    "answer stalls for longer than the client waits": {"kind": "stall", "seconds": 3 * PATIENCE},
    "connection dropped before the server looked": {"kind": "drop_before"},
}
ONE_DIRECTORY = "connection dropped instead of the answer, all runs over one directory"


@dataclass
class Store:
    """Airflow's task state store as far as a submission uses it."""

    values: dict[str, str] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        return json.loads(self.values.get(key, "null"))

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


def by_operator(directory_id: str) -> str:
    """Submit as a task does, without the pauses: one that loses three answers in a row fails and is tried again."""
    operator = CreateBatchOperator(
        task_id="create",
        source_directory_id=directory_id,
        configuration_id=CONFIGURATION_ID,
        llamabatch_conn_id=CONN_ID,
    )
    store = Store()
    for try_number in range(1, TRIES + 1):
        task_instance = SimpleNamespace(
            try_number=try_number, max_tries=TRIES - 1, xcom_push=lambda key, value: None
        )
        context: Any = {"ti": task_instance, "task_state_store": store}
        with retries.no_waiting(), suppress(LlamaCloudError):
            return operator.execute(context)
    raise RuntimeError(f"no batch after {TRIES} tries")


def by_official_client(client: llama_cloud.LlamaCloud, directory_id: str) -> str:
    """Submit with ``llama-cloud``, which sends again by itself."""
    return client.batches.create(
        source_directory_id=directory_id,
        config={"job": {"type": "parse_v2", "configuration_id": CONFIGURATION_ID}},
    ).id


def lose_answers(creates: int) -> Iterator[Row]:
    """Yield a row per fault and client with ``creates`` submissions each, and one with all in one directory."""
    with Cloud(batch_running_seconds=3600) as cloud, _operator_set_up(cloud), _official(cloud) as official:
        clients: dict[str, Create] = {
            "CreateBatchOperator": by_operator,
            f"llama-cloud {llama_cloud.__version__}": partial(by_official_client, official),
        }
        for name, fault in FAULTS.items():
            for by, create in clients.items():
                cloud.control.reset()
                directories = cloud.make_directories(creates)
                yield _row(cloud, name, by, fault, create, directories, at_once=AT_ONCE)
        cloud.control.reset()
        # One after the other: nothing tells two equal submissions apart that are under way at the same time.
        directories = cloud.make_directories(1) * creates
        fault = {"kind": "drop_after"}
        yield _row(cloud, ONE_DIRECTORY, "CreateBatchOperator", fault, by_operator, directories, at_once=1)


@contextmanager
def _operator_set_up(cloud: Cloud) -> Iterator[None]:
    """Make the operator's connection; the pauses that only help against a lagging list are left out."""
    connection = {f"AIRFLOW_CONN_{CONN_ID.upper()}": cloud.connection(timeout_seconds=PATIENCE)}
    at_once = (0.0,) * len(submission.ADOPTION_PAUSES)
    with (
        patch.dict(os.environ, connection),
        patch.object(submission, "ADOPTION_PAUSES", at_once),
        patch.object(submitting, "sleep", lambda seconds: None),
    ):
        yield


def _official(cloud: Cloud) -> llama_cloud.LlamaCloud:
    emulator = cloud.emulator
    return llama_cloud.LlamaCloud(api_key=emulator.api_key, base_url=emulator.url, timeout=PATIENCE)


def _row(
    cloud: Cloud,
    name: str,
    by: str,
    fault: dict[str, Any],
    create: Create,
    directories: Sequence[str],
    *,
    at_once: int,
) -> Row:
    cloud.control.add_fault(**fault, method="POST", path="/batches$", probability=0.1, seed=1)
    with ThreadPoolExecutor(at_once) as threads:
        runs = list(threads.map(lambda directory_id: _run(create, directory_id), directories))
    struck = sum(fault["fired"] for fault in cloud.control.faults())
    return row_of(name, by, struck, runs, cloud.batches())


def _run(create: Create, directory_id: str) -> Run:
    try:
        return Run(directory_id, create(directory_id))
    except Exception:  # whatever it is, the run has no batch
        return Run(directory_id, None)
