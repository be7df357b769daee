"""Folders of documents, the whole line from a folder to a folder, and an S3 on a real socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
# Airflow 3.0 tells what a task failed with neither to its callback nor where a test can read it.
TELLS_ERRORS = version("apache-airflow").split(".")[:2] != ["3", "0"]
LATER = 3600.0  # seconds; longer than any of the emulator's defaults


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again and ask again at once."""
    module = "airflow_provider_llamabatch.execution"
    monkeypatch.setattr(f"{module}.following.LOOKUP_PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(f"{module}.saving.RESULT_PAUSES", (0.0, 0.0))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out"


def fill(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def rows_of(target: Path) -> dict[str, Any]:
    """Return the manifest's rows by file; every file is there once."""
    rows = manifest.from_lines((target / "manifest.jsonl").read_bytes())
    by_file = {row.file: row for row in rows}
    assert len(by_file) == len(rows)
    return by_file


def run_until(which: str, arguments: dict[str, Any], killed_when: Callable[[], bool]) -> None:
    """Run a task in a process of its own and kill it in the middle of its work."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.documents.one_task", which]
    process = subprocess.Popen(
        [*command, json.dumps(arguments)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        give_up = time.monotonic() + 60
        while not killed_when():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < give_up
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


class Line:
    """The tasks of one run, one after another, each with its own context, as Airflow would run them."""

    def __init__(self, hook: Any, emulator: Any, new_context: Callable[[str], Any]) -> None:
        self._hook, self._emulator = hook, emulator
        self.contexts: dict[str, Any] = {}
        self._new_context = new_context
        self.references: list[dict[str, Any]] = []
        self.file_errors: list[dict[str, Any]] = []

    def context(self, task_id: str) -> Any:
        return self.contexts.setdefault(task_id, self._new_context(task_id))

    def upload(self, **arguments: Any) -> list[str]:
        arguments = {"directory_name": "documents", **arguments}
        return UploadDirectoryOperator(task_id="upload", **arguments).execute(self.context("upload"))

    def process(
        self,
        directory_ids: list[str],
        configuration_id: str = "cfg-PARSE_AGENTIC",
        job_type: str = "parse_v2",
    ):
        for directory_id in directory_ids:
            batch = self._hook.create_batch(
                source_directory_id=directory_id, configuration_id=configuration_id, job_type=job_type
            )
            self._emulator.control.advance(LATER)
            for result in self._hook.get_batch(batch.id, expand_results=True).results or ():
                entry = result.model_dump(mode="json")
                (self.references if entry["job_reference"] else self.file_errors).append(entry)

    def save(self, target: Any, **arguments: Any) -> dict[str, Any]:
        operator = SaveBatchResultsOperator(
            task_id="save",
            job_references=self.references,
            file_errors=self.file_errors,
            upload=self.context("upload")["ti"].xcoms.get("upload"),
            target=str(target),
            **arguments,
        )
        return operator.execute(self.context("save"))

    def names_in(self, directory_ids: list[str]) -> list[str]:
        """Return the source paths that directories hold, as often as they do."""
        return sorted(
            (file.metadata or {})["source_path"]
            for directory_id in directory_ids
            for file in self._hook.iterate(calls.list_directory_files(directory_id))
        )


@pytest.fixture
def new_line(hook: Any, emulator: Any, new_context: Callable[[str, str], Any]) -> Callable[[str], Line]:
    return lambda run_id: Line(hook, emulator, lambda task_id: new_context(run_id, task_id))


@pytest.fixture
def line(new_line: Callable[[str], Line]) -> Line:
    return new_line("a_run")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Airflow's Variables, in memory."""
    kept: dict[str, str] = {}
    monkeypatch.setattr("airflow_provider_llamabatch.airflow_compat.get_variable", kept.get)
    monkeypatch.setattr(
        "airflow_provider_llamabatch.airflow_compat.set_variable",
        lambda name, value, description: kept.__setitem__(name, value),
    )
    return kept


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before looks for what a list may not show yet; none is made."""
    pauses: list[float] = []
    monkeypatch.setattr("airflow_provider_llamabatch.execution.recurring.sleep", pauses.append)
    return pauses


@pytest.fixture
def nights(hook: Any, emulator: Any, new_context: Any, variables: object, paused: object) -> Any:
    from tests.integration.documents.nights import Nights

    return Nights(hook, emulator, new_context)


@pytest.fixture
def attach_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """
    Return a function that puts a bucket ``documents`` behind a scheme such as ``gs``, in a folder that it returns.

    Airflow's object storage is told which file system to use for the scheme and the connection ``storage``, as the
    scheme's own provider would tell it: everything above that file system is what it is with the real one.
    """
    from fsspec.implementations.dirfs import DirFileSystem
    from fsspec.implementations.local import LocalFileSystem

    try:
        from airflow.sdk.io import store
    except ImportError:  # Airflow 2
        from airflow.io import store  # type: ignore[no-redef,attr-defined]

    def attach(scheme: str) -> Path:
        monkeypatch.setenv("AIRFLOW_CONN_STORAGE", json.dumps({"conn_type": "generic"}))
        files = DirFileSystem(str(tmp_path / "buckets"), LocalFileSystem(auto_mkdir=True))
        monkeypatch.setitem(
            store._STORE_CACHE, f"{scheme}-storage", store.ObjectStore(scheme, "storage", fs=files)
        )
        return tmp_path / "buckets" / "documents"

    return attach
