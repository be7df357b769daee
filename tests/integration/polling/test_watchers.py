"""Watchers of directories over a real socket: one event per batch, one look for all, nothing forgotten or left."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.triggers.assets import DirectoryBatchesTrigger

pytestmark = pytest.mark.usefixtures("connection")

LIST = "GET /api/v2/batches"


class StateStore:
    """An asset's state as a trigger sees it on Airflow 3.3."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str) -> Any:
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = value


class Watcher:
    """A trigger as the triggerer runs it, and the batches it told of."""

    def __init__(self, directory_id: str, store: StateStore | None = None, **arguments: Any) -> None:
        self.told: list[str] = []
        self.payloads: list[dict[str, Any]] = []
        self._trigger = DirectoryBatchesTrigger(directory_id, **{"poll_interval": 0.1, **arguments})
        self._trigger.asset_state_store = store  # type: ignore[assignment]
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for event in self._trigger.run():
            self.payloads.append(event.payload)
            self.told.append(event.payload["batch_id"])

    async def told_of(self, count: int) -> list[str]:
        async with asyncio.timeout(60):
            while len(self.told) < count:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.01)
        return self.told

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "MIN_POLL_INTERVAL", 0.05)
    monkeypatch.setattr(defaults, "EVENT_SETTLE", 0.0)


@pytest.fixture
def submit(hook):
    """Return a function that makes a batch as somebody outside Airflow would."""
    return lambda directory_id: (
        hook.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC").id
    )


async def looks(asked: Any, more: int) -> None:
    """Return after so many further looks."""
    wanted = asked(LIST) + more
    async with asyncio.timeout(60):
        while asked(LIST) < wanted:
            await asyncio.sleep(0.02)


async def test_each_batch_that_completes_raises_one_event(make_directory, submit, emulator, asked):
    directory_id = make_directory(1)
    old = submit(directory_id)
    emulator.control.advance(600)
    watcher = Watcher(directory_id)
    await looks(asked, 2)
    first = submit(directory_id)
    await looks(asked, 2)
    assert watcher.told == []
    emulator.control.advance(600)
    assert await watcher.told_of(1) == [first]
    second = submit(directory_id)
    emulator.control.change(final_status="FAILED")
    submit(directory_id)
    emulator.control.advance(600)
    assert await watcher.told_of(2) == [first, second]
    await looks(asked, 3)
    assert watcher.told == [first, second]
    assert old not in watcher.told
    assert watcher.payloads[0]["source_directory_id"] == directory_id
    assert watcher.payloads[0]["status"] == "COMPLETED"
    await watcher.stop()


async def test_many_watchers_cost_one_list_per_look(make_directory, submit, emulator, asked):
    directories = [make_directory(1) for _ in range(12)]
    watchers = [Watcher(directory_id, poll_interval=0.4) for directory_id in directories]
    await looks(asked, 1)
    await asyncio.sleep(0.1)
    before = asked(LIST)
    await looks(asked, 3)
    batches = [submit(directory_id) for directory_id in directories]
    emulator.control.advance(600)
    for watcher, batch_id in zip(watchers, batches, strict=True):
        assert await watcher.told_of(1) == [batch_id]
    assert asked(LIST) - before <= 3 + 4
    for watcher in watchers:
        await watcher.stop()


async def test_what_ends_while_no_triggerer_runs_raises_its_event_later_and_nothing_twice(
    make_directory, submit, emulator, asked
):
    directory_id, store = make_directory(1), StateStore()
    watcher = Watcher(directory_id, store)
    await looks(asked, 2)
    first, slow = submit(directory_id), None
    emulator.control.advance(600)
    await watcher.told_of(1)
    slow = submit(directory_id)
    await looks(asked, 2)
    await watcher.stop()

    during = submit(directory_id)
    emulator.control.advance(600)
    heir = Watcher(directory_id, store)
    assert sorted(await heir.told_of(2)) == sorted([slow, during])
    await looks(asked, 3)
    assert len(heir.told) == 2
    assert first not in heir.told
    await heir.stop()


async def test_an_event_that_may_be_lost_is_raised_again(
    make_directory, submit, emulator, asked, monkeypatch
):
    monkeypatch.setattr(defaults, "EVENT_SETTLE", 60.0)
    directory_id, store = make_directory(1), StateStore()
    watcher = Watcher(directory_id, store)
    await looks(asked, 2)
    batch_id = submit(directory_id)
    emulator.control.advance(600)
    await watcher.told_of(1)
    await watcher.stop()  # before Airflow can be known to have stored it
    heir = Watcher(directory_id, store)
    assert await heir.told_of(1) == [batch_id]
    await heir.stop()


async def test_what_one_watcher_of_an_asset_passes_over_is_still_news_to_another(
    make_directory, submit, emulator, asked
):
    directory_id, store = make_directory(1), StateStore()
    of_failures = Watcher(directory_id, store, statuses=("FAILED",))
    await looks(asked, 2)
    await of_failures.stop()
    emulator.control.change(final_status="FAILED")
    failed = submit(directory_id)
    emulator.control.advance(600)
    of_successes = Watcher(directory_id, store)
    await looks(asked, 3)
    await of_successes.stop()
    heir = Watcher(directory_id, store, statuses=("FAILED",))
    assert await heir.told_of(1) == [failed]
    await heir.stop()


@pytest.mark.parametrize("ahead", [3 * 3600.0, 9e9])
async def test_a_time_that_was_remembered_by_a_clock_that_ran_ahead_keeps_no_event_back(
    make_directory, submit, emulator, asked, ahead
):
    directory_id, store = make_directory(1), StateStore()
    key = f"llamabatch_{directory_id}_COMPLETED"
    store.values[key] = {"since": time.time() + ahead, "known": {}}
    watcher = Watcher(directory_id, store)
    await looks(asked, 1)
    emulator.control.advance(60)
    batch_id = submit(directory_id)
    emulator.control.advance(600)
    async with asyncio.timeout(10):
        assert await watcher.told_of(1) == [batch_id]
    await watcher.stop()


async def test_trouble_delays_events_and_loses_none(make_directory, submit, emulator, asked):
    directory_id = make_directory(1)
    watcher = Watcher(directory_id)
    await looks(asked, 2)
    batch_id = submit(directory_id)
    emulator.control.add_fault(kind="status", status=503, path="batches$", method="GET", times=2)
    emulator.control.advance(600)
    assert await watcher.told_of(1) == [batch_id]
    await watcher.stop()


def test_the_trigger_is_made_again_from_what_it_says_of_itself():
    arguments: dict[str, Any] = {
        "directory_id": "dir-a",
        "llamabatch_conn_id": "other",
        "poll_interval": 10.0,
        "statuses": ["COMPLETED", "FAILED"],
        "project_id": "p",
        "organization_id": "o",
    }
    path, said = DirectoryBatchesTrigger(**arguments).serialize()
    assert said == arguments
    assert path == "airflow_provider_llamabatch.triggers.assets.DirectoryBatchesTrigger"
    assert DirectoryBatchesTrigger(**said, a_newer_argument=1).serialize()[1] == arguments


@pytest.mark.parametrize(
    "statuses", [(), ("RUNNING",), ("completed",), 5, None, "COMPLETED", [["COMPLETED"]]]
)
def test_a_status_in_which_no_batch_ends_is_refused(statuses):
    with pytest.raises(ValueError, match="statuses must be some of COMPLETED"):
        DirectoryBatchesTrigger("dir-a", statuses=statuses)


async def test_the_log_tells_once_whose_looks_fail_and_why_beside_those_that_succeed(
    make_directory, asked, caplog
):
    directory_id = make_directory(1)
    healthy, troubled = Watcher(directory_id), Watcher(directory_id, project_id="prj-nope")
    async with asyncio.timeout(60):
        while not (lines := [one.message for one in caplog.records if "keep failing" in one.message]):
            await asyncio.sleep(0.05)
    await looks(asked, 10)
    await asyncio.gather(healthy.stop(), troubled.stop())
    assert len(lines) == 1
    assert "project_id='prj-nope'" in lines[0]
    assert "403" in lines[0]
    assert len([one for one in caplog.records if "Polls on connection" in one.message]) == 1
