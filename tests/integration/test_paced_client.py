"""A connection that limits its requests per minute, over a real socket: each client waits for its turns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import AsyncClient, Client

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
    import asyncio

    began = time.time()
    async with AsyncClient(settings(llamacloud, requests_per_minute=PER_MINUTE)) as client:
        await asyncio.gather(*(client.send(calls.list_batches(page_size=1)) for _ in range(5)))

    times = sorted(seen.at for seen in llamacloud.control.requests())
    assert [at >= began + number * GAP for number, at in enumerate(times, 1)] == [True] * 5


@pytest.mark.parametrize("given", [0, -1, 3.9, "x", True, "inf", "nan"])
def test_a_limit_that_cannot_be_kept_is_refused(llamacloud, given):
    with pytest.raises(
        InvalidInputError, match="extra requests_per_minute: must be a number from 4, or empty"
    ):
        settings(llamacloud, requests_per_minute=given)


@pytest.mark.parametrize("given", [None, ""])
def test_without_a_limit_there_is_no_gap(llamacloud, given):
    assert AsyncClient(settings(llamacloud, requests_per_minute=given)).gap == 0.0
