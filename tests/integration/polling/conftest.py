"""Batches to wait for, requests counted by route, and short pauses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import polling
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.polling import lanes, schedule
from airflow_provider_llamabatch.polling.backoff import Backoff
from tests.support.firing import nothing_is_left

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """Have every poll loop end by itself: connections that are open when the event loop ends are closed by nobody."""
    yield
    await nothing_is_left()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Real time is only waited for pauses, so they are made short; their rules are tested as tables and histories."""
    for module in (polling, lanes):
        monkeypatch.setattr(module, "BACKOFF", Backoff(0.02, 0.2))
    monkeypatch.setattr(polling, "CONFIRM_AFTER", 0.1)
    monkeypatch.setattr(polling, "ROTATION_GRACE", 0.5)
    monkeypatch.setattr(schedule, "TOGETHER", 0.02)
    monkeypatch.setattr(defaults, "MIN_POLL_INTERVAL", 0.02)


@pytest.fixture
def make_batches(hook, make_directory):
    directory_id = make_directory(1)

    def make(count: int) -> list[str]:
        call = calls.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
        return [hook.send(call).id for _ in range(count)]

    return make


@pytest.fixture
def asked(emulator):
    start = dict(emulator.control.counters()["requests_by_route"])

    def count(route: str) -> int:
        return emulator.control.counters()["requests_by_route"].get(route, 0) - start.get(route, 0)

    return count
