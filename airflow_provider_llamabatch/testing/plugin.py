"""The pytest plugin. It does nothing, and imports nothing heavy, until a test asks for one of its fixtures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.testing.running import DagResult

CONNECTION = "AIRFLOW_CONN_LLAMABATCH_DEFAULT"


class Directory(Protocol):
    """Makes a directory of the emulator from files."""

    def __call__(
        self, files: dict[str, bytes | str] | str | Path | Sequence[str | Path], *more: str | Path
    ) -> str:
        """Upload contents by name, or files by path, and return the directory's id."""


class Runner(Protocol):
    """Runs a DAG or an operator, its waits turned."""

    def __call__(self, runnable: Any, conf: dict[str, Any] | None = None) -> DagResult:
        """Run to the end and return what came of it."""


@pytest.fixture
def llamacloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlamaCloudEmulator]:
    """
    Serve a local LlamaCloud, and make the Airflow connection ``llamabatch_default`` to it.

    Tasks look for no triggerer meanwhile: what Airflow this machine runs is none of the test's.
    """
    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.execution import deferring

    monkeypatch.setattr(deferring, "last_seen", lambda: None)

    with LlamaCloudEmulator() as emulator:
        parts = {"conn_type": "llamabatch", "host": emulator.url, "password": emulator.api_key}
        monkeypatch.setenv(CONNECTION, json.dumps(parts))
        yield emulator


@pytest.fixture
def llamacloud_directory(llamacloud: LlamaCloudEmulator) -> Directory:
    """Return a function that puts files into a new directory and returns its id, for ``source_directory_id``."""
    import httpx

    headers = {"Authorization": f"Bearer {llamacloud.api_key}"}

    def make(files: dict[str, bytes | str] | str | Path | Sequence[str | Path], *more: str | Path) -> str:
        contents: list[tuple[str, bytes | str]]
        if isinstance(files, dict):
            contents = [*files.items()]
        else:
            first = [files] if isinstance(files, str | Path) else files
            contents = [(Path(one).name, Path(one).read_bytes()) for one in (*first, *more)]
        with httpx.Client(base_url=f"{llamacloud.url}/api/v1/beta", headers=headers) as client:
            made = (
                client.post("directories", json={"name": "test", "type": "ephemeral"})
                .raise_for_status()
                .json()
            )
            for name, content in contents:
                raw = content.encode() if isinstance(content, str) else content
                client.post(
                    f"directories/{made['id']}/files/upload", files={"upload_file": (name, raw)}
                ).raise_for_status()
        return str(made["id"])

    return make


@pytest.fixture
def run_dag(llamacloud: LlamaCloudEmulator) -> Runner:
    """Return a function that runs a DAG to its end, waits turned, and returns its states and XComs."""
    from airflow_provider_llamabatch.testing import running

    def run(runnable: Any, conf: dict[str, Any] | None = None) -> DagResult:
        with llamacloud.turned_time():
            return running.run(runnable, conf)

    return run


@pytest.fixture
def run_operator(llamacloud: LlamaCloudEmulator) -> Runner:
    """Return a function that runs one operator alone, waits turned, and returns its states and XComs."""
    from airflow_provider_llamabatch.testing import running

    def run(runnable: Any, conf: dict[str, Any] | None = None) -> DagResult:
        with llamacloud.turned_time():
            return running.run_operator(runnable, conf)

    return run
