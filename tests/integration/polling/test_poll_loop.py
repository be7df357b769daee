"""Many waits in one event loop, over real sockets: right under every kind of trouble, fair, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter

import psutil
import pytest

from airflow_provider_llamabatch import airflow_compat
from airflow_provider_llamabatch.batches.polling import PollResult, PollState, Reason
from airflow_provider_llamabatch.hooks import connections
from airflow_provider_llamabatch.polling import loop
from airflow_provider_llamabatch.polling.sources import Batches
from tests.support.firing import a_trigger, fire, fire_all

LIST = "GET /api/v2/batches"
GET = "GET /api/v2/batches/{batch_id}"


async def test_one_wait_is_polled_by_get_and_ends_with_one_event(make_batches, emulator, asked):
    (batch_id,) = make_batches(1)

    assert await fire_all([batch_id], emulator) == ["completed"]
    assert asked(LIST) == 0
    assert asked(GET) >= 2


async def test_many_waits_share_one_list_page_and_one_connection(make_batches, emulator, asked):
    ids = make_batches(80)

    assert await fire_all(ids, emulator, poll_interval=0.2) == ["completed"] * 80
    assert asked(GET) == 0
    assert asked(LIST) <= 8


async def test_many_waits_that_end_together_leave_the_event_loop_to_others_in_between(
    make_batches, emulator, hook
):
    ids = make_batches(150)
    project_id = hook.get_batch(ids[0]).project_id
    projects = {batch_id: project_id if number % 2 else None for number, batch_id in enumerate(ids)}
    turns, told = 0, []

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def wait(batch_id: str) -> None:
        # One by its project's id and one without make two lists, whose pages come at the same time.
        await fire(a_trigger(batch_id, poll_interval=0.2, project_id=projects[batch_id]))
        told.append(turns)

    waits = [asyncio.create_task(wait(batch_id)) for batch_id in ids]
    await asyncio.sleep(0.5)
    emulator.control.advance(600)
    watching = asyncio.create_task(others())
    await asyncio.gather(*waits)
    watching.cancel()

    assert max(Counter(told).values()) <= loop.AT_ONCE


async def test_waits_that_are_let_go_before_they_were_told_leave_nothing_behind(make_batches, emulator):
    ids = make_batches(100)
    waits = [asyncio.create_task(fire(a_trigger(batch_id, poll_interval=0.2))) for batch_id in ids]
    await asyncio.sleep(0.5)
    emulator.control.advance(600)
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    ends = await asyncio.gather(*waits, return_exceptions=True)

    assert any(isinstance(end, asyncio.CancelledError) for end in ends)


@pytest.mark.parametrize(
    "trouble",
    [
        {"fault": {"kind": "status", "status": 503, "method": "GET", "path": "batches$"}},
        {"fault": {"kind": "status", "status": 403, "method": "GET", "path": "batches$"}},
        {"fault": {"kind": "html", "status": 200, "method": "GET", "path": "batches$"}},
        {"fault": {"kind": "status", "status": 422, "method": "GET", "path": "batches$"}},
        {"settings": {"list_hides_new_batches_seconds": 10_000}},
    ],
    ids=["list down", "list forbidden", "list broken", "list refused", "list empty"],
)
async def test_a_list_that_is_of_no_use_costs_little_and_changes_nothing(
    make_batches, emulator, asked, trouble
):
    if "fault" in trouble:
        emulator.control.add_fault(**trouble["fault"])
    emulator.control.change(**trouble.get("settings", {}))
    ids = make_batches(20)

    assert await fire_all(ids, emulator, poll_interval=0.25) == ["completed"] * 20
    assert asked(LIST) <= asked(GET) / 2


async def test_foreign_batches_do_not_make_lists_dearer_than_gets(make_batches, emulator, asked, hook):
    emulator.control.change(max_page_size=10)
    ids = make_batches(10)
    make_batches(300)

    assert await fire_all(ids, emulator, poll_interval=0.25) == ["completed"] * 10
    assert asked(LIST) <= 1.5 * asked(GET)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500, "every": 3},
        {"kind": "status", "status": 429, "every": 2},
        {"kind": "status", "status": 429, "headers": {"retry-after-ms": "50"}, "every": 2},
        {"kind": "drop_before", "every": 3},
        {"kind": "html", "every": 3},
        {"kind": "malformed", "every": 3},
        {"kind": "missing_fields", "every": 3},
        {"kind": "status", "status": 409, "every": 3},
        {"kind": "status", "status": 408, "every": 3},
    ],
    ids=lambda fault: f"{fault['kind']}{fault.get('status', '')}",
)
@pytest.mark.parametrize("count", [1, 12])
async def test_small_failures_never_end_a_wait(make_batches, emulator, count, fault):
    ids = make_batches(count)
    emulator.control.add_fault(**fault)

    assert await fire_all(ids, emulator) == ["completed"] * count


async def test_an_outage_is_waited_out_with_few_requests(make_batches, emulator, asked):
    ids = make_batches(30)
    fault = emulator.control.add_fault(kind="status", status=503)
    waits = [asyncio.create_task(fire(a_trigger(batch_id))) for batch_id in ids]
    await asyncio.sleep(1.5)
    during = asked(LIST) + asked(GET)
    emulator.control.remove_fault(fault)
    emulator.control.advance(600)

    assert {(await one)["reason"] for one in waits} == {"completed"}
    assert during <= 100  # thirty waits with an interval of 0.1 s: 450 looks without a shared pause


async def test_a_batch_that_is_not_there_yet_is_waited_for(make_batches, emulator):
    emulator.control.change(new_batch_is_404_seconds=30, list_hides_new_batches_seconds=30)
    ids = make_batches(6)

    assert await fire_all(ids, emulator) == ["completed"] * 6


async def test_a_batch_that_stays_away_ends_only_its_own_wait(make_batches, emulator):
    ids = make_batches(3)
    lost = asyncio.create_task(fire(a_trigger("bat-nowhere", missing_grace=0.0)))

    assert await fire_all(ids, emulator) == ["completed"] * 3
    event = await lost
    assert event["reason"] == "not_found"
    assert "404" in event["message"]


async def test_a_rotated_key_is_taken_up_in_the_middle_of_a_wait(make_batches, emulator, connect):
    ids = make_batches(10)
    waits = [asyncio.create_task(fire(a_trigger(batch_id))) for batch_id in ids]
    await asyncio.sleep(0.2)
    connect(password="llx-rotated", host=emulator.url)
    emulator.control.set_api_key("llx-rotated")
    await asyncio.sleep(0.3)
    emulator.control.advance(600)

    assert {(await one)["reason"] for one in waits} == {"completed"}


@pytest.mark.parametrize("count", [1, 10])
async def test_a_key_that_stays_wrong_ends_all_waits_at_once(make_batches, emulator, count):
    ids = make_batches(count)
    emulator.control.set_api_key("llx-other")

    events = await asyncio.gather(*(fire(a_trigger(batch_id)) for batch_id in ids))

    assert {event["reason"] for event in events} == {"not_authenticated"}
    assert emulator.api_key not in str(events)


async def test_the_deadline_ends_a_wait_even_while_everything_fails(connect, make_batches, emulator):
    (batch_id,) = make_batches(1)
    emulator.control.add_fault(kind="stall", seconds=5)

    event = await fire(a_trigger(batch_id, deadline=time.time() + 0.4))

    assert event["reason"] == "timed_out"


async def test_a_deadline_does_not_wait_for_a_connection_that_cannot_be_read(monkeypatch):
    released = asyncio.Event()

    async def hang(*_):
        await released.wait()

    monkeypatch.setattr(connections, "get_connection", hang)
    monkeypatch.setattr(loop, "PREPARE_SECONDS", 60.0)
    async with asyncio.timeout(30):
        event = await fire(a_trigger("bat-1", deadline=time.time() - 90))

    assert event["reason"] == "timed_out"
    released.set()


async def test_no_look_comes_before_the_first_one_is_due(make_batches, emulator, asked):
    emulator.control.advance(0)
    (batch_id,) = make_batches(1)
    emulator.control.advance(600)
    trigger = asyncio.create_task(fire(a_trigger(batch_id, first_look_at=time.time() + 0.5)))
    await asyncio.sleep(0.3)

    assert asked(GET) == asked(LIST) == 0
    assert (await trigger)["reason"] == "completed"


async def test_a_list_that_shows_a_batch_too_soon_does_not_resume_its_task_too_soon(make_batches, emulator):
    early, *others = make_batches(8)
    due_at = time.time() + 1.0
    late = asyncio.create_task(fire(a_trigger(early, first_look_at=due_at)))
    emulator.control.advance(600)
    assert {(await one)["reason"] for one in [asyncio.create_task(fire(a_trigger(b))) for b in others]} == {
        "completed"
    }
    assert not late.done()

    assert (await late)["reason"] == "completed"
    assert time.time() >= due_at


async def test_a_wait_that_comes_while_the_loop_closes_is_not_lost(make_batches, emulator):
    (batch_id,) = make_batches(1)
    emulator.control.advance(600)
    async with asyncio.timeout(90):
        for _ in range(10):
            assert (await fire(a_trigger(batch_id)))["reason"] == "completed"
            waits = [asyncio.create_task(fire(a_trigger(batch_id))) for _ in range(3)]
            for one in asyncio.as_completed(waits):
                assert (await one)["reason"] == "completed"
                assert (await fire(a_trigger(batch_id)))["reason"] == "completed"


async def test_one_owner_leaving_disturbs_nobody(make_batches, emulator):
    ids = make_batches(6)
    waits = [asyncio.create_task(fire(a_trigger(batch_id))) for batch_id in [*ids, ids[0]]]
    await asyncio.sleep(0.2)
    for leaving in waits[-3:]:
        leaving.cancel()
    emulator.control.advance(600)
    ends = await asyncio.gather(*waits, return_exceptions=True)

    assert [end["reason"] for end in ends if isinstance(end, dict)] == ["completed"] * 4
    assert all(isinstance(end, asyncio.CancelledError) for end in ends[-3:])
    assert emulator.control.counters()["cancels"] == 0


async def test_a_connection_that_hangs_does_not_slow_another(make_batches, emulator, connect):
    async def hang(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    connect("hanging", password="llx-key", host=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    stuck = [
        asyncio.create_task(fire(a_trigger(f"bat-{n}", llamabatch_conn_id="hanging"))) for n in range(20)
    ]

    assert await fire_all(make_batches(20), emulator) == ["completed"] * 20
    for one in stuck:
        one.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)
    server.close()
    await server.wait_closed()


async def test_comings_and_goings_leave_nothing_behind(emulator, make_batches):
    ids = make_batches(50)
    emulator.control.advance(600)
    await asyncio.gather(*(fire(a_trigger(batch_id)) for batch_id in ids))
    gc.collect()
    process = psutil.Process()
    before = process.num_fds()

    for _ in range(20):
        await asyncio.gather(*(fire(a_trigger(batch_id)) for batch_id in ids))
    assert process.num_fds() <= before + 2


async def test_the_connection_is_read_once_for_all_waits(make_batches, emulator, monkeypatch):
    looked_up = []
    real = airflow_compat.get_connection

    async def counted(hook, conn_id):
        looked_up.append(conn_id)
        return await real(hook, conn_id)

    monkeypatch.setattr(connections, "get_connection", counted)

    assert await fire_all(make_batches(20), emulator) == ["completed"] * 20
    assert looked_up == ["llamabatch_default"]


async def test_a_missing_connection_ends_the_wait_with_its_name():
    event = await fire(a_trigger("bat-1", llamabatch_conn_id="nowhere"))

    assert event["reason"] == "not_authenticated"
    assert "nowhere" in event["message"]


async def test_every_new_status_reaches_the_subscriber_once(make_batches, emulator):
    (batch_id,) = make_batches(1)
    emulator.control.change(status_words={"RUNNING": "DREAMING"})
    now = asyncio.get_running_loop().time()
    state = PollState(batch_id, deadline=now + 60, poll_interval=0.05, since=now, next_poll=now)
    statuses = []
    async with loop.Subscription("llamabatch_default", Batches(), [state], listed_from=0.0) as subscription:
        while (update := await subscription.next_update()).result is None:
            statuses.append(update.status)
            await asyncio.sleep(0.2)
            emulator.control.advance(2 if len(statuses) == 1 else 600)
    assert statuses == ["PENDING", "DREAMING"]
    assert update.result == PollResult(Reason.COMPLETED)


async def test_waits_of_two_projects_share_a_connection_and_are_asked_for_apart(make_batches, emulator):
    ids = make_batches(4)
    waits = [asyncio.create_task(fire(a_trigger(batch_id))) for batch_id in ids]
    elsewhere = asyncio.create_task(
        fire(a_trigger(ids[0], project_id="prj-elsewhere", deadline=time.time() + 1.5))
    )
    await asyncio.sleep(0.3)
    emulator.control.advance(600)

    assert {(await one)["reason"] for one in waits} == {"completed"}
    assert (await elsewhere)["reason"] in ("not_permitted", "timed_out")


@pytest.mark.parametrize(
    "detail",
    ["no\u0000pe", "\x1b[31mred\x1b[0m", "a\ud800b", "x" * 100_000, "line\nline", "\u202e\u200b"],
    ids=["NUL", "ANSI", "surrogate", "long", "newline", "invisible"],
)
async def test_nothing_that_a_service_says_can_hurt_the_database(make_batches, emulator, detail):
    (batch_id,) = make_batches(1)
    emulator.control.add_fault(kind="status", status=400, detail=detail, method="GET")

    event = await fire(a_trigger(batch_id))

    assert event["reason"] == "refused"
    assert event["message"].isprintable()
    assert len(event["message"]) < 2000
