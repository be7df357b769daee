"""An emulator on a real socket, an Airflow connection to it, and a stand-in for the context Airflow gives a task."""

from __future__ import annotations

import importlib.util
import json
import warnings
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls, retries
from tests.support.raw_server import Raw

if TYPE_CHECKING:
    from collections.abc import Iterator

AIRFLOW_3 = importlib.util.find_spec("airflow.sdk") is not None


@pytest.fixture(scope="session", autouse=not AIRFLOW_3)
def database():
    """Make the metadata database: Airflow 2 asks it when a sensor that reschedules began."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own
        from airflow.utils.db import initdb

        initdb()


@pytest.fixture(scope="session")
def running_emulator():
    with LlamaCloudEmulator(api_key="llx-integration-key") as running:
        yield running


@pytest.fixture
def emulator(running_emulator):
    """The emulator as new, its clock standing still."""
    running_emulator.control.reset()
    running_emulator.control.freeze()
    return running_emulator


@pytest.fixture
def connect(monkeypatch):
    """Make the Airflow connection ``llamabatch_default`` (or another) from its parts."""

    def make(conn_id: str = "llamabatch_default", **parts: Any) -> None:
        monkeypatch.setenv(
            f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "llamabatch", **parts})
        )

    return make


@pytest.fixture
def raw():
    """A server that sends the bytes in its ``pieces``."""
    server = Raw()
    yield server
    server.close()


@pytest.fixture
def connection(emulator, connect):
    connect(password=emulator.api_key, host=emulator.url)


@pytest.fixture
def hook(connection):
    with LlamaBatchHook() as opened:
        yield opened


@pytest.fixture
def no_waiting():
    with retries.no_waiting():
        yield


@pytest.fixture
def make_directory(hook):
    """Return a function that makes a directory with some small files and returns its id."""

    def make(files: int = 3) -> str:
        directory_id = hook.send(calls.create_directory(name="documents", type="ephemeral")).id
        for number in range(files):
            call = calls.upload_directory_file(directory_id, b"hello", display_name=f"{number}.txt")
            hook.send(call)
        return directory_id

    return make


class TaskStateStore:
    """Airflow's task state store as a task sees it: JSON in, JSON out, None is refused."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class TaskInstance:
    """What the operators use of a task instance."""

    def __init__(self, *, retries: int = 2) -> None:
        self.dag_id, self.task_id, self.run_id = "a_dag", "a_task", "a_run"
        self.task = SimpleNamespace(retries=retries)
        self.try_number = 1
        self.max_tries = retries
        self.map_index = -1
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, task_ids: str, key: str, map_indexes: int) -> Any:
        return self.xcoms.get(key)

    if AIRFLOW_3:

        def get_first_reschedule_date(self, context: Any) -> datetime | None:
            return None


@pytest.fixture
def context():
    """The context of Airflow 3.3; tests of older ones take the store out."""
    return {
        "ti": TaskInstance(),
        "task_state_store": TaskStateStore(),
        "dag_run": SimpleNamespace(start_date=datetime.now(UTC) - timedelta(minutes=1)),
    }


@pytest.fixture
def new_context():
    """Return a function that makes the context of a task of a run; the store is the task's own."""

    def make(run_id: str, task_id: str) -> dict[str, Any]:
        ti = TaskInstance()
        ti.run_id, ti.task_id = run_id, task_id
        return {
            "ti": ti,
            "task_state_store": TaskStateStore(),
            "dag_run": SimpleNamespace(start_date=datetime.now(UTC) - timedelta(minutes=1)),
        }

    return make


@pytest.fixture
def next_try():
    """Return a function that turns a context into that of the next try: XComs cleared, the store kept."""

    def move_on(context: dict[str, Any], *, cleared: bool = False) -> None:
        ti = context["ti"]
        ti.try_number += 1
        ti.xcoms.clear()
        if cleared:
            ti.max_tries = ti.try_number - 1 + ti.task.retries

    return move_on


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket ``documents``, reached through the Airflow connection ``storage``; a boto3 client."""
    import boto3  # type: ignore[import-untyped]

    extra = {"endpoint_url": s3_server, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "moto-key", "password": "moto-secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", json.dumps(connection))
    client = boto3.client(
        "s3",
        aws_access_key_id="moto-key",
        aws_secret_access_key="moto-secret",
        endpoint_url=s3_server,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="documents")
    yield client
    for entry in client.list_objects_v2(Bucket="documents").get("Contents", ()):
        client.delete_object(Bucket="documents", Key=entry["Key"])
    client.delete_bucket(Bucket="documents")
