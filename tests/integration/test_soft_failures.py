"""A sensor that is told not to fail is skipped also where it could not begin, whichever way it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("connection")

WAYS: list[dict[str, Any]] = [
    {"deferrable": True},
    {"deferrable": False, "mode": "poke"},
    {"deferrable": False, "mode": "reschedule"},
]


def batch_sensor(**arguments: Any) -> BatchSensor:
    return BatchSensor(task_id="wait", **{"batch_id": "bat-1", **arguments})


def jobs_sensor(**arguments: Any) -> BatchJobsSensor:
    return BatchJobsSensor(task_id="wait", **{"job_references": [], **arguments})


WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (
        batch_sensor,
        {"llamabatch_conn_id": "nope"},
        "llamabatch_conn_id: there is no Airflow connection 'nope'",
    ),
    (batch_sensor, {"batch_id": "None"}, "batch_id: is the text 'None'"),
    (batch_sensor, {"batch_id": ["bat-1"]}, "batch_id: must be an id as a string, not "),
    (batch_sensor, {"batch_id": None}, "batch_id: must be an id"),
    (
        jobs_sensor,
        {"llamabatch_conn_id": "nope"},
        "llamabatch_conn_id: there is no Airflow connection 'nope'",
    ),
    (jobs_sensor, {"job_references": "bat-1"}, "job_references: must be the list"),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(("make", "wrong", "said"), WRONG)
@pytest.mark.parametrize("told", ["soft_fail", "never_fail"])
def test_a_sensor_that_cannot_begin_is_skipped_where_it_is_told_so(
    context: Any, way: dict[str, Any], make: Callable[..., Any], wrong: dict[str, Any], said: str, told: str
):
    with pytest.raises(AirflowSkipException) as skipped:
        make(**way, **wrong, **{told: True}).execute(context)
    assert said in f"{skipped.value} {skipped.value.__cause__}"


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(("make", "wrong", "said"), WRONG)
def test_it_fails_where_it_is_not(
    context: Any, way: dict[str, Any], make: Callable[..., Any], wrong: dict[str, Any], said: str
):
    with pytest.raises(RequestRefusedError, match=f"^{said}"):
        make(**way, **wrong).execute(context)
