"""Waits for jobs while the service is in trouble, and references to what nobody can ask for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from tests.integration.documents.conftest import LATER, fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.integration.documents.conftest import Line

JOBS = r"/api/v2/parse$"
BUSY = {"kind": "status", "status": 503, "path": JOBS}
ALL_DONE = {"jobs": 3, "ended": 3, "deadline": 0.0}


@pytest.fixture
def references(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator, connect: Callable[..., None]
) -> list[Any]:
    """The references of a batch whose jobs have ended, on a connection that tries each request once."""
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta", "c.txt": b"gamma"})
    connect(password=emulator.api_key, host=emulator.url)
    [directory_id] = line.upload(source=str(source), target=str(target))
    line.process([directory_id])
    emulator.control.advance(LATER)
    connect(password=emulator.api_key, host=emulator.url, extra={"max_attempts": 1})
    return line.references


def wait_for(references: list[Any], **arguments: Any) -> BatchJobsSensor:
    arguments = {"deferrable": False, "mode": "poke", "poll_interval": 1, "timeout": 30, **arguments}
    return BatchJobsSensor(task_id="wait", job_references=references, **arguments)


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_look_that_fails_for_a_moment_is_no_end_of_the_wait(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator, deferrable: bool
):
    emulator.control.add_fault(**BUSY, times=1)
    sensor = wait_for(references, deferrable=deferrable)
    if deferrable:
        with pytest.raises(TaskDeferred):
            sensor.execute(context)
        emulator.control.add_fault(**BUSY, times=2)
        outcomes = sensor.execute_complete(context, ALL_DONE)
    else:
        outcomes = sensor.execute(context)
    assert [one["status"] for one in outcomes] == ["COMPLETED"] * 3


def test_trouble_that_lasts_is_told_after_the_wait_is_over(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator
):
    emulator.control.add_fault(**BUSY)
    with pytest.raises(LlamaCloudError, match="503"):
        wait_for(references, timeout=1.5).execute(context)


def test_what_the_service_refuses_twice_ends_the_wait(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator
):
    emulator.control.add_fault(kind="status", status=403, path=JOBS)
    with pytest.raises(RequestRefusedError, match="403"):
        wait_for(references).execute(context)


@pytest.mark.timeout(45)  # a request of its own may take a minute
def test_a_service_that_says_nothing_holds_no_worker_past_the_deadline(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator
):
    emulator.control.add_fault(kind="delay", seconds=300, path=JOBS)
    with pytest.raises(LlamaCloudError):
        wait_for(references, timeout=1.5).execute(context)


def test_a_key_that_is_changed_while_many_jobs_are_asked_for_is_taken(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator, connect: Callable[..., None], hook: Any
):
    many = [{**references[number % 3]} for number in range(201)]
    jobs = [dict(one, job_reference={**one["job_reference"]}) for one in many]
    for number, one in enumerate(jobs[3:]):
        one["job_reference"]["id"] = f"pjb-other-{number}"
    sensor = wait_for(jobs)
    connect(password="llx-old-0123456789", host=emulator.url)
    hook.get_conn()
    connect(password=emulator.api_key, host=emulator.url)
    looked_at = sensor._jobs()

    assert sensor.look_at_jobs(hook, looked_at, time.time() + 30) is None
    assert looked_at.summary()["COMPLETED"] == 3


def test_a_reference_that_nobody_can_ask_for_keeps_no_other_from_its_outcome(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator
):
    odd = [
        {**references[0], "job_reference": {"id": "pjb 1/2", "type": "parse_v2"}},
        {**references[0], "job_reference": {"id": "pjb-1", "type": "split_v1"}},
    ]
    outcomes = wait_for([*odd, *references], with_credits=True).execute(context)

    assert [one["status"] for one in outcomes] == ["UNKNOWN", "UNKNOWN", *["COMPLETED"] * 3]
    assert {one["error_message"] for one in outcomes[:2]} == {
        "its type or its id is none that this version can ask for"
    }
    assert [one["credits"] for one in outcomes] == [None, None, 10.0, 10.0, 10.0]


@pytest.mark.parametrize("status", ["RUNNING", "UNKNOWN"])
def test_the_result_of_a_job_that_ended_after_the_wait_is_saved(
    references: list[Any], line: Line, target: Path, status: str
):
    references[0] |= {"status": status, "error_message": "it had not ended when the wait was over"}
    summary = line.save(target)
    assert (summary["saved"], summary["statuses"]) == (3, {"COMPLETED": 3})
