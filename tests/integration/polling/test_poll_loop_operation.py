"""What a poll loop tells whoever operates it, what it keeps off the event loop, and what a defect of it does."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from dataclasses import dataclass, field

import pytest

from airflow_provider_llamabatch.batches.polling import PollResult, PollState, Reason
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import call as call_module
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.polling import lanes, loop, schedule, sweep, watching
from airflow_provider_llamabatch.polling.sources import Batches
from airflow_provider_llamabatch.triggers.assets import DirectoryBatchesTrigger
from airflow_provider_llamabatch.triggers.jobs import JobsTrigger
from tests.support.firing import a_trigger, fire, fire_all

TASK = contextvars.ContextVar("which task a log line belongs to", default="none")


async def test_trouble_is_told_once_and_its_end_once_in_the_name_of_no_task(make_batches, emulator, caplog):
    told = []

    class Note(logging.Handler):
        def emit(self, record):
            told.append((record.levelname, TASK.get()))

    note = Note()
    loop.log.addHandler(note)
    caplog.set_level(logging.INFO, loop.log.name)
    TASK.set("the first one")
    ids = make_batches(3)
    fault = emulator.control.add_fault(kind="status", status=503)
    waits = [asyncio.create_task(fire(a_trigger(batch_id))) for batch_id in ids]
    async with asyncio.timeout(90):
        while not told:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    emulator.control.remove_fault(fault)
    async with asyncio.timeout(90):
        while len(told) < 2:
            await asyncio.sleep(0.05)
    emulator.control.advance(600)
    assert [(await one)["reason"] for one in waits] == ["completed"] * 3
    loop.log.removeHandler(note)

    assert told == [("WARNING", "none"), ("INFO", "none")]
    assert "llamabatch_default" in caplog.text


async def test_a_single_failed_poll_is_no_trouble_worth_a_line(make_batches, emulator, caplog):
    caplog.set_level(logging.INFO, loop.log.name)
    ids = make_batches(3)
    emulator.control.add_fault(kind="status", status=503, times=2)

    assert await fire_all(ids, emulator) == ["completed"] * 3
    assert [record for record in caplog.records if record.name == loop.log.name] == []


@dataclass(frozen=True, slots=True)
class Observed(Batches):
    """Batches that note which thread made which call."""

    made: list[tuple[str, int]] = field(default_factory=list, compare=False)

    def get(self, key):
        self.made.append((key, threading.get_ident()))
        return Batches.get(self, key)

    def bulk(self, query, page_size):
        self.made.append((str(query.keys), threading.get_ident()))
        return Batches.bulk(self, query, page_size)


async def test_what_reads_the_first_responses_is_built_off_the_event_loop(make_batches, emulator):
    (batch_id,) = make_batches(1)
    emulator.control.advance(600)
    call_module._adapter.cache_clear()
    now = asyncio.get_running_loop().time()
    source = Observed()
    state = PollState(batch_id, deadline=now + 60, poll_interval=0.05, since=now, next_poll=now)
    async with loop.Subscription("llamabatch_default", source, [state], listed_from=0.0) as subscription:
        assert (await subscription.next_update()).result == PollResult(Reason.COMPLETED)

    here = threading.get_ident()
    assert [(key, thread == here) for key, thread in source.made] == [
        (batch_id, True),  # is it an id?
        ("warm-up", False),
        ("('warm-up',)", False),
        (batch_id, True),
    ]
    assert call_module._adapter.cache_info().misses == 2  # the models of a batch and of a list page


@pytest.mark.parametrize("step", ["plan", "on_item", "on_error"])
async def test_a_defect_of_the_loop_fails_the_waits_instead_of_hanging_them(
    make_batches, emulator, monkeypatch, step
):
    if step == "on_error":
        emulator.control.add_fault(kind="status", status=503, method="GET")
    monkeypatch.setattr(schedule.Schedule, step, lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        await fire(a_trigger(make_batches(1)[0]))


async def test_what_is_no_id_ends_its_own_wait_alone(make_batches, emulator):
    (batch_id,) = make_batches(1)
    healthy = asyncio.create_task(fire(a_trigger(batch_id)))
    await asyncio.sleep(0.3)
    for odd in ("{{ var.value.batch }}", "bat/1", "bat 1", ""):
        with pytest.raises(InvalidInputError, match="batch_id"):
            await fire(a_trigger(odd))
    with pytest.raises(InvalidInputError, match="source_directory_id"):
        await anext(DirectoryBatchesTrigger("{{ var.value.directory }}").run())
    emulator.control.advance(600)

    assert (await healthy)["reason"] == "completed"


@pytest.mark.parametrize("interval", [0, -5.0])
async def test_an_interval_that_makes_no_sense_is_the_least_there_is(make_batches, emulator, interval):
    assert await fire_all(make_batches(2), emulator, poll_interval=interval) == ["completed"] * 2


async def test_a_defect_in_one_source_ends_no_wait_for_another(make_batches, emulator, monkeypatch):
    (batch_id,) = make_batches(1)
    healthy = asyncio.create_task(fire(a_trigger(batch_id)))
    await asyncio.sleep(0.3)
    monkeypatch.setattr(watching.WatchSchedule, "plan", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await anext(DirectoryBatchesTrigger("dir-1").run())
    emulator.control.advance(600)

    assert (await healthy)["reason"] == "completed"


async def test_a_deadline_is_kept_while_others_hold_every_thread_of_the_triggerer(make_batches):
    (batch_id,) = make_batches(1)
    release = threading.Event()
    threads = [asyncio.get_running_loop().run_in_executor(None, release.wait) for _ in range(40)]
    try:
        event = await fire(a_trigger(batch_id, deadline=time.time() + 0.5))
    finally:
        release.set()
    await asyncio.gather(*threads)

    assert event["reason"] == "timed_out"


async def test_a_404_is_doubted_for_five_minutes_whatever_the_clock_of_the_worker_says():
    now = time.time()
    behind = now - 3600.0
    of_batch = a_trigger("bat-1")._subscription(now, behind, now + 3600.0)
    jobs = JobsTrigger({"parse_v2": ["pjb-1"]}, since=behind)
    of_job = jobs._subscription("parse_v2", ["pjb-1"], now, now + 3600.0)

    for entry in (*of_batch._entries, *of_job._entries):
        doubted_until = entry.state.since + entry.state.missing_grace
        assert doubted_until == pytest.approx(asyncio.get_running_loop().time() + 300.0, abs=1.0)


@pytest.mark.parametrize(("since", "ago"), [(990.0, 10.0), (1000.0, 0.0), (4600.0, 0.0)])
async def test_no_wait_begins_later_than_now_whatever_the_clock_of_its_worker_says(since, ago):
    state = loop.wait_state(
        "bat-1", deadline=9000.0, poll_interval=30.0, since=since, first_look_at=None, now=1000.0
    )

    assert state.since + ago == pytest.approx(asyncio.get_running_loop().time(), abs=1.0)


async def test_a_list_that_waits_for_its_turn_is_not_given_up(
    make_batches, emulator, asked, connect, monkeypatch
):
    for module in (lanes, sweep):
        monkeypatch.setattr(module, "SLOW_SECONDS", 0.1)  # less than lies between two requests
    connect(password=emulator.api_key, host=emulator.url, extra={"requests_per_minute": 200})
    ids = make_batches(40)
    await fire_all(ids, emulator, created_at=emulator.control.now())
    assert asked("GET /api/v2/batches/{batch_id}") == 0


async def test_a_limit_that_could_not_be_read_at_first_is_kept_later(
    make_batches, emulator, connect, monkeypatch
):
    read, times = LlamaBatchHook.arequest_gap, []

    async def at_first_not(hook: LlamaBatchHook) -> float:
        times.append(time.monotonic())
        if len(times) < 2:
            raise RuntimeError("the secrets backend is slow")
        return await read(hook)

    monkeypatch.setattr(LlamaBatchHook, "arequest_gap", at_first_not)
    connect(password=emulator.api_key, host=emulator.url, extra={"requests_per_minute": 600})
    [batch_id] = make_batches(1)
    wait = asyncio.create_task(fire(a_trigger(batch_id)))
    await asyncio.sleep(1.5)
    [running] = loop._loops[asyncio.get_running_loop()].values()
    assert (running._pace.gap, len(times)) == (0.1, 2)
    emulator.control.advance(600)
    assert (await wait)["reason"] == "completed"
