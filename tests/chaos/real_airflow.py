"""The real Airflow that processes are killed in: the harness's DAGs, quick to notice who is gone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.airflow_processes import READ_DAGS_ONCE, RealAirflow
from tests.support.processes import ProcessFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.cloud import Cloud

DAGS = Path(__file__).parent / "dags"
PARALLELISM = 16  # most tasks that search for a batch sleep most of the time
TRIGGERERS = ("triggerer", "triggerer-2")
SECONDS_UNTIL_A_WORKER_COUNTS_AS_LOST = 10
SECONDS_UNTIL_A_TRIGGERER_COUNTS_AS_LOST = 10


def real_airflow(home: Path, cloud: Cloud) -> RealAirflow:
    """Return an Airflow with two triggerers, not yet started, whose connection leads to ``cloud``."""
    env = {
        **READ_DAGS_ONCE,
        "AIRFLOW_CONN_LLAMABATCH_DEFAULT": cloud.connection(),
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
        "AIRFLOW__CORE__FERNET_KEY": "",  # the arguments of triggers can be read in the database
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(SECONDS_UNTIL_A_WORKER_COUNTS_AS_LOST),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(SECONDS_UNTIL_A_TRIGGERER_COUNTS_AS_LOST),
    }
    return RealAirflow(home, DAGS, env=env, triggerers=len(TRIGGERERS))


def wait_until(is_done: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Return when ``is_done``; raises ``ProcessFailedError`` with ``what`` when that takes too long."""
    give_up = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > give_up:
            raise ProcessFailedError(f"{what} (waited {seconds:.0f} s)")
        time.sleep(0.5)
