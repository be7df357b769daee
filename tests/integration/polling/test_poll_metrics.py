"""What waits cost in metrics: one per request, whatever the number of waits, and two when a wait ends."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_llamabatch import metrics
from tests.support.firing import fire_all

LIST = "GET /api/v2/batches"
GET = "GET /api/v2/batches/{batch_id}"


class Counted:
    """Airflow's ``Stats``, as far as it is called."""

    def __init__(self):
        self.calls: Counter[tuple[object, ...]] = Counter()

    def incr(self, name, value=1, tags=None):
        self.calls[(name, *sorted((tags or {}).items()))] += 1

    def timing(self, name, value, tags=None):
        self.calls[(name,)] += 1


@pytest.fixture
def counted(monkeypatch):
    counted = Counted()
    monkeypatch.setattr(metrics, "stats", lambda: counted)
    return counted


async def test_many_waits_count_their_requests_and_not_themselves(make_batches, emulator, asked, counted):
    ids = make_batches(80)
    counted.calls.clear()

    assert await fire_all(ids, emulator, poll_interval=0.2) == ["completed"] * 80

    polls = {key: count for key, count in counted.calls.items() if key[0] == "llamabatch.polls"}
    assert polls == {
        ("llamabatch.polls", ("request", "list_page"), ("result", "ok")): asked(LIST),
    }
    assert counted.calls.total() == asked(LIST) + 2 * 80


async def test_a_poll_that_fails_is_counted_as_an_error(make_batches, emulator, counted):
    ids = make_batches(1)
    emulator.control.add_fault(kind="status", status=503, method="GET", times=2)

    assert await fire_all(ids, emulator) == ["completed"]
    assert counted.calls[("llamabatch.polls", ("request", "get"), ("result", "error"))] == 2
    assert counted.calls[("llamabatch.waits.ended", ("kind", "batch"), ("reason", "completed"))] == 1
