"""Waits for the jobs of a batch: the sensor, what it returns, and its trigger."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from airflow_provider_llamabatch.triggers.jobs import JobsTrigger
from tests.integration.documents.conftest import LATER
from tests.integration.documents.test_rounds import ALL_DONE, FAULT, directory_id

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.integration.documents.conftest import Line

__all__ = ["directory_id"]  # the fixture

pytestmark = pytest.mark.usefixtures("connection")


def test_the_sensor_looks_once_defers_and_reads_the_outcomes(
    line: Line, directory_id: str, context: Any, emulator: LlamaCloudEmulator
):
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=LATER * 2)
    line.process([directory_id])
    sensor = BatchJobsSensor(task_id="wait", job_references=[line.references], deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context)
    assert {key: len(ids) for key, ids in deferred.value.trigger.job_ids.items()} == {"parse_v2": 3}
    emulator.control.advance(LATER * 3)
    outcomes = sensor.execute_complete(context, ALL_DONE)
    assert sorted(one["status"] for one in outcomes) == ["COMPLETED", "COMPLETED", "FAILED"]
    assert FAULT in next(one["error_message"] for one in outcomes if one["status"] == "FAILED")


def test_what_each_job_cost_is_asked_for_where_it_is_wanted(
    line: Line, directory_id: str, context: Any, emulator: LlamaCloudEmulator
):
    line.process([directory_id])
    emulator.control.advance(LATER)
    plain = BatchJobsSensor(task_id="wait", job_references=line.references, deferrable=True)
    assert {one["credits"] for one in plain.execute(context)} == {None}
    before = len(emulator.control.requests())
    sensor = BatchJobsSensor(
        task_id="wait", job_references=line.references, deferrable=True, with_credits=True
    )
    outcomes = sensor.execute(context)
    assert sorted((one["status"], one["credits"]) for one in outcomes) == [
        ("COMPLETED", 10.0),
        ("COMPLETED", 10.0),
        ("FAILED", 0.0),
    ]
    assert len(emulator.control.requests()) - before == 1 + 3


def test_credits_that_cannot_be_told_fail_nothing(
    line: Line, directory_id: str, context: Any, emulator: LlamaCloudEmulator
):
    line.process([directory_id])
    emulator.control.add_fault(kind="status", status=403, detail="no", path=r"/api/v2/parse/")
    sensor = BatchJobsSensor(
        task_id="wait", job_references=line.references, deferrable=True, with_credits=True
    )
    assert {one["credits"] for one in sensor.execute(context)} == {None}


def test_one_job_that_hangs_does_not_hold_the_others(
    line: Line, directory_id: str, context: Any, emulator: LlamaCloudEmulator
):
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=LATER * 2)
    line.process([directory_id])
    sensor = BatchJobsSensor(
        task_id="wait",
        job_references=line.references,
        deferrable=False,
        mode="poke",
        timeout=0.01,
        poll_interval=1,
    )
    time.sleep(0.02)
    outcomes = sensor.execute(context)
    assert {one["status"] for one in outcomes} <= {"PENDING", "RUNNING"}
    assert all("had not ended" in one["error_message"] for one in outcomes)


async def test_the_trigger_fires_once_when_every_job_has_ended(
    line: Line, directory_id: str, emulator: LlamaCloudEmulator
):
    line.process([directory_id])
    ids = [reference["job_reference"]["id"] for reference in line.references]
    before = len(emulator.control.requests())
    trigger = JobsTrigger({"parse_v2": ids}, poll_interval=1.0, deadline=time.time() + 60)
    events = [event async for event in trigger.run()]
    assert [(event.payload["jobs"], event.payload["ended"]) for event in events] == [(3, 3)]
    assert len(emulator.control.requests()) - before == 1
    path, arguments = trigger.serialize()
    assert path == "airflow_provider_llamabatch.triggers.jobs.JobsTrigger"
    assert JobsTrigger(**arguments).serialize() == (path, arguments)


async def test_the_trigger_gives_up_on_jobs_that_hang_at_the_deadline(
    line: Line, directory_id: str, emulator: LlamaCloudEmulator
):
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=LATER * 2)
    line.process([directory_id])
    ids = [reference["job_reference"]["id"] for reference in line.references]
    trigger = JobsTrigger({"parse_v2": ids}, poll_interval=1.0, deadline=time.time() + 1.5)
    [event] = [event async for event in trigger.run()]
    assert (event.payload["jobs"], event.payload["ended"]) == (3, 0)
