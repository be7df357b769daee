"""A trigger whose times are no numbers ends alone, with an error that names them, before it joins a poll loop."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.polling import loop
from airflow_provider_llamabatch.triggers.assets import DirectoryBatchesTrigger
from airflow_provider_llamabatch.triggers.batch import BatchTrigger
from airflow_provider_llamabatch.triggers.jobs import JobsTrigger
from tests.support.firing import a_trigger, fire

BROKEN = [float("inf"), float("nan"), "30", True, 10**400]
OF_BATCH = ["poll_interval", "deadline", "first_look_at", "since", "created_at", "missing_grace"]


def of_batch(**times):
    return BatchTrigger("bat-1", **times)


def of_jobs(**times):
    return JobsTrigger({"parse_v2": ["pjb-1"]}, **times)


def of_directory(**times):
    return DirectoryBatchesTrigger("dir-1", **times)


TRIGGERS = [
    *((of_batch, argument) for argument in OF_BATCH),
    *((of_jobs, argument) for argument in OF_BATCH[:4]),
    (of_directory, "poll_interval"),
]


async def refusal(trigger) -> str:
    with pytest.raises(InvalidInputError) as raised:
        async with asyncio.timeout(5):
            await anext(trigger.run())
    assert not loop._loops.get(asyncio.get_running_loop())
    return str(raised.value)


@pytest.mark.parametrize("value", BROKEN, ids=lambda value: str(value)[:10])
@pytest.mark.parametrize(("make", "argument"), TRIGGERS)
async def test_a_time_that_is_no_number_is_refused_by_name_and_value(make, argument, value):
    said = await refusal(make(**{argument: value}))

    assert said.startswith(f"{argument}: must be a finite number of seconds, not {value!r:.50}")


@pytest.mark.parametrize("make", [of_batch, of_jobs, of_directory])
async def test_an_interval_has_to_be_given(make):
    assert "poll_interval" in await refusal(make(poll_interval=None))


@pytest.mark.parametrize("broken", [{"poll_interval": float("inf")}, {"deadline": float("nan")}])
async def test_the_others_wait_on_beside_a_trigger_with_a_broken_time(broken, make_batches, emulator):
    one, two = make_batches(2)
    good = asyncio.create_task(fire(a_trigger(one)))
    await asyncio.sleep(0)
    assert next(iter(broken)) in await refused_beside(a_trigger(two, **broken))

    emulator.control.advance(600)
    async with asyncio.timeout(30):
        assert (await good)["reason"] == "completed"


async def test_times_in_whole_seconds_are_times_as_well(make_batches, emulator):
    now = int(emulator.control.now())
    waits = [
        asyncio.create_task(fire(a_trigger(batch_id, created_at=now if number else float(now))))
        for number, batch_id in enumerate(make_batches(8))
    ]
    await asyncio.sleep(0.5)
    emulator.control.advance(600)
    async with asyncio.timeout(30):
        assert {(await one)["reason"] for one in waits} == {"completed"}


async def refused_beside(trigger) -> str:
    with pytest.raises(InvalidInputError) as raised:
        await anext(trigger.run())
    return str(raised.value)
