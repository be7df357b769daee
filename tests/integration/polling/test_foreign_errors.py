"""What goes wrong outside of this package while a trigger waits: its event says of it no more than what kind it is."""

from __future__ import annotations

import time

from airflow_provider_llamabatch.hooks import connections
from tests.support.firing import a_trigger, fire


async def test_what_a_secrets_backend_says_is_in_no_event(monkeypatch):
    async def refuse(*_):
        raise RuntimeError("vault: {'password': 'llx-never-shown'}")

    monkeypatch.setattr(connections, "get_connection", refuse)

    event = await fire(a_trigger("bat-1", deadline=time.time() + 1.0))

    assert event["reason"] == "timed_out"
    assert event["message"] == "the connection could not be read (RuntimeError)"
