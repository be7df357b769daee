"""A connection that limits its requests per minute, over a real socket: each client waits for its turns."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, NoResponseError
from airflow_provider_llamabatch.llamacloud.retries import ONCE
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import AsyncClient, Client
from airflow_provider_llamabatch.sensors.batch import BatchSensor

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

PER_MINUTE = 1200
GAP = 60.0 / PER_MINUTE


def settings(emulator: LlamaCloudEmulator, **extra):
    return settings_from_connection("paced", password=emulator.api_key, host=emulator.url, extra=extra)


def test_the_n_th_request_of_a_client_comes_no_earlier_than_n_gaps_after_its_making(llamacloud):
    began = time.time()
    with Client(settings(llamacloud, requests_per_minute=str(PER_MINUTE))) as client:
        for _ in range(5):
            client.send(calls.list_batches(page_size=1))

    times = [seen.at for seen in llamacloud.control.requests()]
    assert [at >= began + number * GAP for number, at in enumerate(times, 1)] == [True] * 5


async def test_requests_sent_together_take_turns(llamacloud):
    began = time.time()
    async with AsyncClient(settings(llamacloud, requests_per_minute=PER_MINUTE)) as client:
        await asyncio.gather(*(client.send(calls.list_batches(page_size=1)) for _ in range(5)))

    times = sorted(seen.at for seen in llamacloud.control.requests())
    assert [at >= began + number * GAP for number, at in enumerate(times, 1)] == [True] * 5


async def test_waiting_for_its_turn_is_none_of_the_time_that_a_call_may_take(llamacloud):
    async with AsyncClient(settings(llamacloud, requests_per_minute=120)) as client:
        calls_at_once = [client.send(calls.list_batches(page_size=1), ONCE, within=0.4) for _ in range(4)]
        assert len(await asyncio.gather(*calls_at_once)) == 4


async def test_a_call_whose_process_stood_still_while_it_waited_for_its_turn_is_not_sent(llamacloud):
    async with AsyncClient(settings(llamacloud, requests_per_minute=600)) as client:
        sending = asyncio.create_task(client.send(calls.list_batches(page_size=1), ONCE, within=0.4))
        await asyncio.sleep(0)
        time.sleep(1.0)
        with pytest.raises(NoResponseError, match="its time was over before"):
            await sending
    assert llamacloud.control.requests() == []


def test_what_is_polled_at_the_deadline_waits_for_its_turn(hook, make_directory, context, connect, emulator):
    batch = hook.create_batch(source_directory_id=make_directory(4), configuration_id="cfg-PARSE_AGENTIC")
    emulator.control.advance(60)
    connect(password=emulator.api_key, host=emulator.url, extra={"requests_per_minute": 40})
    event = {"batch_id": batch.id, "reason": "timed_out", "message": "", "deadline": time.time() - 1}
    assert len(BatchSensor(task_id="wait", batch_id=batch.id).execute_complete(context, event)) == 4


@pytest.mark.parametrize("given", [0, -1, 3.9, "x", True, "inf", "nan"])
def test_a_limit_that_cannot_be_kept_is_refused(llamacloud, given):
    with pytest.raises(
        InvalidInputError, match="extra requests_per_minute: must be a number from 4, or empty"
    ):
        settings(llamacloud, requests_per_minute=given)


@pytest.mark.parametrize("given", [None, ""])
def test_without_a_limit_there_is_no_gap(llamacloud, given):
    assert AsyncClient(settings(llamacloud, requests_per_minute=given)).gap == 0.0
