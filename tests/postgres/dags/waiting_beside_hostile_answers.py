"""A DAG for the system tests: sensors that wait side by side, some on a connection whose server has lost its mind."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_llamabatch.sensors.batch import BatchSensor

with DAG("waiting_beside_hostile_answers", schedule=None, params={"waits": Param(type="array")}):

    @task
    def waits(params: dict[str, Any]) -> list[dict[str, str]]:
        """Hand ids and connections to a mapped task."""
        given: list[dict[str, str]] = params["waits"]
        return given

    BatchSensor.partial(task_id="wait", deferrable=True, poll_interval=2.0, timeout=600.0).expand_kwargs(
        waits()
    )
