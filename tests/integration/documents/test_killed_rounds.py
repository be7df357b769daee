"""A task that is killed in the second round of its attempts: no batch is paid for twice, and no round is forgotten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from tests.integration.documents.conftest import ROOT, fill, run_until

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")


def seen(emulator: LlamaCloudEmulator, method: str, path: str) -> int:
    requests = emulator.control.requests()
    return sum(request.method == method and re.search(path, request.path) is not None for request in requests)


@pytest.fixture
def directory_id(line: Line, source: Path, emulator: LlamaCloudEmulator) -> str:
    """A directory with three files of which two fail in the first round."""
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta", "c.txt": b"gamma"})
    emulator.control.change(
        batch_pending_seconds=0,
        batch_running_seconds=0,
        job_pending_seconds=0,
        job_running_seconds=0,
        file_results={"[bc].txt": {"error_message": "TIMEOUT"}},
    )
    [directory_id] = line.upload(source=str(source))
    return directory_id


# What is under way when it is killed, whether the service does it, and how often it was asked for by then. A batch that
# the service never makes is looked for over a minute before the next one: the tests of submissions have that.
MOMENTS = {
    "its follow-up directory is made": ("POST", r"/directories$", True, 2),
    "its files are added": ("POST", r"/files$", False, 1),
    "its batch is submitted": ("POST", r"^/api/v2/batches$", True, 2),
    "its jobs are looked at": ("GET", r"^/api/v2/parse$", True, 2),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_task_killed_in_its_second_round_goes_on_in_it(
    directory_id: str,
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
):
    monkeypatch.setenv("STATE_FILE", str(tmp_path / "state.json"))
    method, path, committed, count = MOMENTS[moment]
    arguments = {
        "source_directory_id": directory_id,
        "configuration_id": "cfg-PARSE_AGENTIC",
        "wait_for_jobs": True,
        "max_file_attempts": 2,
        "deferrable": False,
        "poll_interval": 1,
    }
    emulator.control.add_fault(kind="delay", method=method, path=path, seconds=1.0, committed=committed)
    done = moment != "its batch is submitted" or (lambda: len(list(hook.list_batches())) == 2)
    run_until("create", arguments, lambda: seen(emulator, method, path) >= count and (done is True or done()))
    emulator.control.clear_faults()
    emulator.control.change(file_results={"c.txt": {"error_message": "TIMEOUT"}})

    monkeypatch.setenv("TRY_NUMBER", "2")
    told = next_try(arguments)
    batches = list(hook.list_batches())
    assert len(batches) == 2, "a batch was paid for twice, or a round was forgotten"
    assert told["value"] == batches[-1].id  # newest first
    outcomes = {one["source_directory_file_id"]: one for one in told["xcoms"]["job_references"]}
    names = {file.id: file.display_name for file in hook.iterate(calls.list_directory_files(directory_id))}
    attempts = {names[id]: one["attempt"] for id, one in outcomes.items()}
    assert attempts == {"a.txt": 1, "b.txt": 2, "c.txt": 2}
    again = list(hook.iterate(calls.list_directory_files(batches[0].source_directory_id or "")))
    assert sorted(file.display_name or "" for file in again) == ["b.txt", "c.txt"]


def next_try(arguments: dict[str, Any]) -> Any:
    """Run the task once more, to its end, as Airflow retries it."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.documents.one_task", "create"]
    done = subprocess.run(
        [*command, json.dumps(arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_of_the_records_of_several_rounds_the_one_that_cannot_be_read_is_named(
    directory_id: str, context: Any
):
    context["task_state_store"].set("llamabatch_submission_2", {"version": 99})
    task = CreateBatchOperator(
        task_id="create",
        source_directory_id=directory_id,
        configuration_id="cfg-PARSE_AGENTIC",
        wait_for_jobs=True,
        max_file_attempts=2,
        deferrable=False,
        poll_interval=1,
    )

    with pytest.raises(RequestRefusedError, match=r"\(key 'llamabatch_submission_2'\) cannot be read"):
        task.execute(context)
