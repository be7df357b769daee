"""The emulator behind the fake server's control: the same worlds, played by another server.

``python -m tests.bench.emulated`` is used like ``tests.bench.server``; each world is an emulator of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import asdict, astuple
from typing import Any

import httpx

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from tests.bench.scenarios import Scenario, Wait
from tests.bench.server import Counts, Server, serve
from tests.bench.world import epoch

LIST_ROUTE = "GET /api/v2/batches"
PENDING_SECONDS = 1.0


class EmulatedServer(Server):
    """Opens emulators on request; see ``Server``. An emulator does not count its connections."""

    def __init__(self) -> None:
        super().__init__()
        self._emulators: dict[str, tuple[Scenario, LlamaCloudEmulator]] = {}

    async def _open(self, scenario: dict[str, Any]) -> dict[str, Any]:
        asked = Scenario(**scenario)
        emulator = LlamaCloudEmulator(api_key="llx-bench").__enter__()
        emulator.control.change(
            batch_pending_seconds=PENDING_SECONDS,
            max_page_size=asked.page_limit,
            list_hides_new_batches_seconds=asked.hidden,
        )
        key = str(next(self._keys))
        self._emulators[key] = (asked, emulator)
        return {"key": key, "url": emulator.url}

    async def _start(self, key: str) -> dict[str, Any]:
        return {"waits": [astuple(wait) for wait in await asyncio.to_thread(fill, *self._emulators[key])]}

    async def _close(self, key: str) -> dict[str, Any]:
        _, emulator = self._emulators.pop(key)
        routes = emulator.control.counters()["requests_by_route"]
        asked = sum(count for route, count in routes.items() if route.startswith("GET "))
        lists = routes.get(LIST_ROUTE, 0)
        await asyncio.to_thread(emulator.__exit__, None, None, None)
        return asdict(Counts(requests={"list": lists, "get": asked - lists}))


def fill(scenario: Scenario, emulator: LlamaCloudEmulator) -> list[Wait]:
    """Make the batches waited for, between two halves of the foreign ones; return the waits, as after a restart."""
    rng = random.Random(scenario.seed)
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    with httpx.Client(base_url=emulator.url, headers=headers) as client:
        directory = client.post("/api/v1/beta/directories", json={"name": "bench"}).json()["id"]
        files = {"upload_file": ("page.txt", b"A page of text.")}
        client.post(f"/api/v1/beta/directories/{directory}/files/upload", files=files).raise_for_status()

        def make(count: int) -> list[tuple[str, float]]:
            made = []
            for _ in range(count):
                runs = rng.uniform(scenario.first_end, scenario.last_end) - PENDING_SECONDS
                emulator.control.change(batch_running_seconds=runs)
                made.append(submit(client, directory, PENDING_SECONDS + runs))
            return made

        make(scenario.foreign // 2)
        waited_for = make(scenario.count)
        make(scenario.foreign - scenario.foreign // 2)
    if scenario.list_status != 200:
        emulator.control.add_fault(
            kind="status", method="GET", path="^/api/v2/batches$", status=scenario.list_status
        )
    emulator.control.add_fault(kind="delay", seconds=scenario.latency)
    now = time.time()
    return [Wait(name, now, ends, first_poll=now) for name, ends in waited_for]


def submit(client: httpx.Client, directory: str, takes: float) -> tuple[str, float]:
    """Create a batch that takes so many seconds; return its name and its end."""
    job = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
    response = client.post("/api/v2/batches", json={"source_directory_id": directory, "config": {"job": job}})
    batch = response.raise_for_status().json()
    return batch["id"].removeprefix("bat-"), epoch(batch["created_at"]) + takes


if __name__ == "__main__":
    asyncio.run(serve(EmulatedServer()))
