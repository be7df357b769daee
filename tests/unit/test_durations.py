"""Timeouts and intervals end within ten years: dates and clocks have an end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_llamabatch.defaults import MAX_SECONDS
from airflow_provider_llamabatch.execution.arguments import checked_seconds
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor

WRONG = [
    0,
    -1,
    float("inf"),
    float("nan"),
    1e14,
    1e15,
    1e300,
    10**400,
    timedelta.max,
    timedelta(0),
    "1h",
    True,
]


def create(**arguments):
    return CreateBatchOperator(task_id="a", source_directory_id="d", configuration_id="c", **arguments)


def batch_sensor(**arguments):
    return BatchSensor(task_id="a", batch_id="b", **arguments)


def jobs_sensor(**arguments):
    return BatchJobsSensor(task_id="a", job_references=[], **arguments)


@pytest.mark.parametrize("value", WRONG, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("argument", ["timeout", "poll_interval"])
@pytest.mark.parametrize("make", [create, batch_sensor, jobs_sensor])
def test_a_duration_without_an_end_is_refused_where_the_dag_is_read(make, argument, value):
    with pytest.raises(InvalidInputError) as raised:
        make(**{argument: value})

    wanted = "must be a number of seconds above 0 and up to ten years, or a timedelta"
    assert str(raised.value) == f"{argument}: {wanted}, not {value!r:.100}"


@pytest.mark.parametrize("value", [0, float("inf"), timedelta.max])
def test_the_timeout_that_a_dag_gives_all_its_sensors_is_checked_as_well(value):
    with pytest.raises(InvalidInputError, match=r"^timeout: must be a number of seconds above 0"):
        batch_sensor(default_args={"timeout": value})


@pytest.mark.parametrize("value", [0.001, 1, timedelta(days=3650), MAX_SECONDS])
def test_ten_years_are_long_enough(value):
    assert 0 < checked_seconds("timeout", value) <= MAX_SECONDS
    assert batch_sensor(timeout=value).timeout
