"""A cancel that is not answered holds no task beyond its deadline, nor beyond the time that a kill may take."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.sensors.batch import BatchSensor

UNANSWERED = {"kind": "delay", "method": "POST", "path": "/cancel$", "seconds": 3.0, "times": 1}


@pytest.fixture
def sensor(hook, make_directory, emulator, monkeypatch):
    """A sensor whose batch is asked to cancel in vain the first time, and within a second in all."""
    monkeypatch.setattr(defaults, "CANCEL_TIMEOUT", 1.0)
    batch = hook.create_batch(source_directory_id=make_directory(1), configuration_id="cfg-PARSE_AGENTIC")
    emulator.control.add_fault(**UNANSWERED)
    return BatchSensor(
        task_id="wait", batch_id=batch.id, timeout=0.001, cancel_on_timeout=True, deferrable=False
    )


def test_at_the_deadline_it_is_given_up(sensor, context):
    with pytest.raises(AirflowSensorTimeout, match="cancelling it failed, so it may still run"):
        sensor.execute(context)


def test_when_killed_it_is_given_up(sensor, hook, caplog):
    polled = sensor.begin_poll(hook, sensor.batch_id, deadline=0.0)

    polled.kill(logging.getLogger("killed"))

    assert "was not cancelled, it may still run" in caplog.text


def test_one_that_comes_too_late_is_no_error(sensor, hook, emulator, caplog):
    emulator.control.clear_faults()
    emulator.control.advance(3600)
    caplog.set_level(logging.INFO)

    sensor.begin_poll(hook, sensor.batch_id, deadline=0.0).kill(logging.getLogger("killed"))

    assert "it is COMPLETED" in caplog.text
