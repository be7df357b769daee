"""Waits for jobs whose task a person ends: what still runs is cancelled, once Airflow says that the task has failed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.triggers import killing
from airflow_provider_llamabatch.triggers.jobs import JobsTrigger
from tests.integration.documents.conftest import fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")

RUNNING = {"RUNNING": 2, "COMPLETED": 1}
CANCELLED = {"CANCELLED": 2, "COMPLETED": 1}


@pytest.fixture
def job_ids(line: Line, source: Path, emulator: LlamaCloudEmulator) -> list[str]:
    """Three jobs, of which one ends and two never do."""
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta", "c.txt": b"gamma"})
    emulator.control.change(file_results={"[bc].txt": {"never_ends": True}})
    line.process(line.upload(source=str(source)))
    return [reference["job_reference"]["id"] for reference in line.references]


@pytest.fixture
async def waiting(job_ids: list[str]) -> AsyncIterator[JobsTrigger]:
    """A trigger that waits for the jobs and has seen one end."""
    trigger = JobsTrigger(
        {"parse_v2": job_ids}, poll_interval=1.0, deadline=time.time() + 60, cancel_on_kill=True
    )
    run: asyncio.Task[Any] = asyncio.ensure_future(anext(trigger.run()))
    while not trigger._ended:
        await asyncio.sleep(0.02)
    yield trigger
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_a_worker_whose_clock_is_ahead_delays_no_poll(job_ids: list[str]):
    ahead = time.time() + 3600
    trigger = JobsTrigger(
        {"parse_v2": job_ids}, poll_interval=1.0, deadline=ahead + 60, since=ahead, first_look_at=ahead + 1
    )
    run: asyncio.Task[Any] = asyncio.ensure_future(anext(trigger.run()))
    async with asyncio.timeout(30):
        while not trigger._ended:
            await asyncio.sleep(0.02)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


def statuses(hook: LlamaBatchHook) -> dict[str, int]:
    found = [job.status for job in hook.iterate(calls.list_parse_jobs())]
    return {status: found.count(status) for status in set(found)}


def cancels(emulator: LlamaCloudEmulator) -> int:
    return sum(one.path.endswith("/cancel") for one in emulator.control.requests())


def airflow_says(monkeypatch: pytest.MonkeyPatch, state: str | None) -> None:
    """Stand in for the API server, which a system test with a batch asks; nothing else here is pretended."""

    async def task_state(_: Any) -> str | None:
        return state

    monkeypatch.setattr(killing, "task_state", task_state)


@pytest.mark.parametrize(
    ("state", "left"),
    [
        ("failed", CANCELLED),
        ("deferred", RUNNING),
        ("queued", RUNNING),
        ("success", RUNNING),
        (None, RUNNING),
    ],
)
async def test_jobs_that_still_run_are_cancelled_only_where_the_task_was_marked_failed(
    waiting, hook, emulator, monkeypatch, state, left
):
    airflow_says(monkeypatch, state)

    await waiting.on_kill()

    assert await asyncio.to_thread(statuses, hook) == left
    assert cancels(emulator) == left.get("CANCELLED", 0)


@pytest.mark.parametrize("changed", [{"cancel_on_kill": False}, {"deadline": 1.0}], ids=["off", "over"])
async def test_jobs_are_left_alone_where_nobody_wants_them_cancelled(waiting, emulator, monkeypatch, changed):
    airflow_says(monkeypatch, "failed")
    for name, value in changed.items():
        setattr(waiting, name, value)

    await waiting.on_kill()

    assert cancels(emulator) == 0


async def test_a_kill_that_airflow_cancels_again_and_again_is_seen_through(
    waiting, hook, emulator, monkeypatch
):
    airflow_says(monkeypatch, "failed")
    emulator.control.add_fault(kind="delay", seconds=0.3, path=r"/cancel$")

    killed = asyncio.create_task(waiting.on_kill())
    for _ in range(5):
        await asyncio.sleep(0.02)
        killed.cancel()
    await killed

    assert await asyncio.to_thread(statuses, hook) == CANCELLED


async def test_what_the_service_refuses_to_cancel_is_told_and_holds_nothing_else(
    waiting, hook, emulator, monkeypatch
):
    airflow_says(monkeypatch, "failed")
    emulator.control.add_fault(kind="status", status=400, detail="not now", path=r"/cancel$", times=1)

    await waiting.on_kill()

    assert (await asyncio.to_thread(statuses, hook))["CANCELLED"] == 1
    assert cancels(emulator) == 2
