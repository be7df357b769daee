"""Triggers run as the triggerer runs them, and what must be left of that: nothing."""

from __future__ import annotations

import asyncio

from airflow_provider_llamabatch.polling import loop
from airflow_provider_llamabatch.triggers.batch import BatchTrigger


def a_trigger(batch_id: str, **changed) -> BatchTrigger:
    return BatchTrigger(batch_id, **{"poll_interval": 0.1, "cancel_on_kill": False, **changed})


async def fire(trigger: BatchTrigger) -> dict:
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


async def fire_all(ids: list[str], emulator, **changed) -> list[str]:
    """Wait for all batches together, let them complete after a few polls, and return the reasons."""
    waits = [asyncio.create_task(fire(a_trigger(batch_id, **changed))) for batch_id in ids]
    await asyncio.sleep(0.5)
    assert not any(one.done() for one in waits)
    emulator.control.advance(600)
    return [(await one)["reason"] for one in waits]


async def nothing_is_left() -> None:
    for _ in range(1000):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) == 1
    assert not loop._loops.get(asyncio.get_running_loop())
