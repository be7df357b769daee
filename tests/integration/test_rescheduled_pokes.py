"""A sensor that reschedules, of which each poke is a process of its own: what the API refuses ends it all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_llamabatch import defaults, exceptions
from airflow_provider_llamabatch.airflow_compat import AIRFLOW_3
from airflow_provider_llamabatch.batches import polling
from airflow_provider_llamabatch.sensors.batch import BatchSensor

REFUSALS: dict[str, dict[str, Any]] = {
    "not_found": {"status": 404, "detail": "no such batch"},
    "not_authenticated": {"status": 401, "detail": "no such key"},
    "not_permitted": {"status": 403, "detail": "not yours"},
    "refused": {"status": 422, "detail": "no"},
}

pytestmark = pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 asks its database when the first poke was")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "CONFIRM_AFTER", 0.2)
    monkeypatch.setattr(polling, "ROTATION_GRACE", 0.5)
    monkeypatch.setattr(defaults, "UNKNOWN_GRACE", 0.5)


@pytest.mark.parametrize("reason", REFUSALS)
@pytest.mark.parametrize("ago", [None, 60.0])
def test_what_the_api_repeats_ends_the_wait(hook, make_directory, emulator, context, reason, ago):
    batch = hook.create_batch(source_directory_id=make_directory(1), configuration_id="cfg-PARSE_AGENTIC")
    began = None if ago is None else datetime.now(UTC) - timedelta(seconds=ago)
    context["ti"].get_first_reschedule_date = lambda _: began
    emulator.control.add_fault(kind="status", path="batches/", **REFUSALS[reason])
    sensor = BatchSensor(task_id="wait", batch_id=batch.id, deferrable=False, mode="reschedule")
    with pytest.raises(exceptions.WaitFailedError, match=rf"\({reason}\)"):
        sensor.execute(context)


def test_what_the_api_does_not_repeat_ends_no_wait(hook, make_directory, emulator, context):
    batch = hook.create_batch(source_directory_id=make_directory(4), configuration_id="cfg-PARSE_AGENTIC")
    emulator.control.advance(60)
    emulator.control.add_fault(kind="status", path="batches/", times=1, **REFUSALS["not_permitted"])
    sensor = BatchSensor(task_id="wait", batch_id=batch.id, deferrable=False, mode="reschedule")
    assert len(sensor.execute(context)) == 4
