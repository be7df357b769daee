"""A page that is larger than a wait may read: what is on it is asked for one by one, and the wait goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time

import pytest

from airflow_provider_llamabatch.llamacloud import transport
from airflow_provider_llamabatch.llamacloud.calls import list_batches
from airflow_provider_llamabatch.llamacloud.responses import decipher
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import AsyncClient
from airflow_provider_llamabatch.triggers.jobs import JobsTrigger
from tests.support.hostile import HostileGateway, answer

KEY = "llx-pages-Zq8Rt5Xw2Bc"
IDS = [f"pjb-{number}" for number in range(40)]


def job(job_id: str) -> dict[str, str]:
    return {"id": job_id, "status": "COMPLETED"}


def page_of(megabytes: int):
    """Return an answer of a few kilobytes that unpacks to a page of jobs that is as long."""
    page = json.dumps({"items": [job(one) for one in IDS], "more": " " * (megabytes << 20)}).encode()
    return answer(200, gzip.compress(page), "Content-Encoding: gzip\r\n")


@pytest.mark.parametrize(("megabytes", "is_read"), [(7, True), (9, False)])
async def test_jobs_on_a_page_that_is_too_large_are_asked_for_one_by_one(megabytes, is_read, monkeypatch):
    answers = {"extract": page_of(megabytes), **{one: answer(200, job(one)) for one in IDS}}
    with HostileGateway("", lists=answer(200, {}), answers=answers) as service:
        conn = {"conn_type": "llamabatch", "password": KEY, "host": service.url}
        monkeypatch.setenv("AIRFLOW_CONN_LLAMABATCH_DEFAULT", json.dumps(conn))
        trigger = JobsTrigger({"extract_v2": IDS}, poll_interval=0.1, deadline=time.time() + 30)
        events = [event.payload async for event in trigger.run()]

    assert events[0]["ended"] == len(IDS)
    assert service.served["extract"] > 0
    assert all((service.served[one] == 0) is is_read for one in IDS)


async def test_large_responses_are_read_one_at_a_time(monkeypatch):
    lock, reading, most = threading.Lock(), 0, 0

    def counted(*arguments):
        nonlocal reading, most
        with lock:
            reading += 1
            most = max(most, reading)
        time.sleep(0.05)
        value = decipher(*arguments)
        with lock:
            reading -= 1
        return value

    monkeypatch.setattr(transport, "decipher", counted)
    with HostileGateway("", lists=page_of(1)) as service:
        async with AsyncClient(settings_from_connection("c", password=KEY, host=service.url)) as client:
            await asyncio.gather(*(client.send(list_batches()) for _ in range(4)))
    assert most == 1
