"""Reading a body: others have their turns while it comes, however small its chunks are."""

from __future__ import annotations

import asyncio

from airflow_provider_llamabatch.llamacloud.bodies import Body


async def ready(chunks):
    """Give chunks as they come out of a socket's buffer: without a turn of the event loop."""
    for chunk in chunks:
        yield chunk


async def test_others_have_turns_while_many_small_chunks_are_read():
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    kept: list[bytes] = []
    problem = await Body(10_000, {}).read(ready([b" "] * 3200), kept.append)
    task.cancel()

    assert problem is None
    assert len(kept) == 3200
    assert turns >= 3200 // 16


async def test_large_chunks_are_read_however_many_there_are(monkeypatch):
    monkeypatch.setattr("airflow_provider_llamabatch.llamacloud.bodies.MAX_SMALL_CHUNKS", 3)

    assert await Body(1_000_000, {}).read(ready([b"x" * 512] * 100), lambda _: None) is None
    small = await Body(1_000_000, {}).read(ready([b"x" * 511] * 4), lambda _: None)
    assert small == "more than 3 chunks of a few bytes; the rest was not read"
