"""A batch that has completed is not said to run on where its results cannot be read."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch import defaults, exceptions
from airflow_provider_llamabatch.sensors.batch import BatchSensor


def test_results_that_stay_unreadable_are_missing_and_nothing_is_cancelled(
    hook, make_directory, emulator, context, monkeypatch
):
    monkeypatch.setattr(defaults, "RESULTS_GRACE", 0.05)
    batch = hook.create_batch(source_directory_id=make_directory(1), configuration_id="cfg-PARSE_AGENTIC")
    emulator.control.advance(3600)
    sensor = BatchSensor(task_id="wait", batch_id=batch.id, cancel_on_timeout=True)
    emulator.control.add_fault(kind="malformed", method="GET", path=f"/batches/{batch.id}$")

    with pytest.raises(exceptions.ResultsMissingError, match="is COMPLETED, but its results could not be"):
        sensor.execute_complete(context, {"batch_id": batch.id, "reason": "completed"})
    assert emulator.control.counters()["cancels"] == 0
