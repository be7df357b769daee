"""A sensor that pokes rarely, and whose deadline falls between two pokes."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_llamabatch.sensors.batch import BatchSensor


def test_it_ends_before_airflow_kills_it_and_so_its_batch(hook, make_directory, emulator, context):
    emulator.control.freeze()
    batch = hook.create_batch(source_directory_id=make_directory(4), configuration_id="cfg-PARSE_AGENTIC")
    limit, began = timedelta(seconds=3), time.monotonic()
    sensor = BatchSensor(
        task_id="wait",
        batch_id=batch.id,
        deferrable=False,
        mode="poke",
        poke_interval=20,
        execution_timeout=limit,
    )
    with pytest.raises(AirflowSensorTimeout, match="left running"):
        sensor.execute(context)
    assert time.monotonic() - began < limit.total_seconds()
