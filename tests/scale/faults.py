"""The faults: how each one strikes, how it is healed, and at which moment of the runs."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.scale.pipelines import DAG_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scale.deployment import Deployment

CLOCK_OFF_SECONDS = 300
LIBFAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"
SMALL_DISK = "2m"
NEW_KEY = "llx-scale-rotated-5d10"


@dataclass(frozen=True)
class Moment:
    """When a fault strikes."""

    name: str
    has_come: Callable[[Deployment, int], bool]


def _some_run(deployment: Deployment, runs: int) -> bool:
    return deployment.database.task_states(DAG_ID).get("running", 0) >= min(2, runs)


def _all_wait(deployment: Deployment, runs: int) -> bool:
    return deployment.database.task_states(DAG_ID).get("deferred", 0) >= runs


WORKING = Moment("tasks run", _some_run)
WAITING = Moment("all wait", _all_wait)


def _nothing(deployment: Deployment) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Fault:
    """Something that breaks; it ``lasts`` for a while before it is healed, or is over at once."""

    name: str
    moment: Moment
    strike: Callable[[Deployment], None]
    heal: Callable[[Deployment], None] = _nothing
    lasts: bool = False
    at_least: float = 0.0  # seconds that it lasts, however short the others are
    cleared: bool = False  # a person clears what failed: the tries of its tasks were used up
    afterwards: Callable[[Deployment], None] = _nothing


def _killed(name: str, moment: Moment) -> Fault:
    """A process is killed, and started again after a while."""
    return Fault(
        f"{name} killed (SIGKILL), started again later",
        moment,
        lambda deployment: deployment.airflow.kill(name),
        lambda deployment: deployment.restart(name),
        lasts=True,
    )


def _stopped(name: str, moment: Moment) -> Fault:
    """A process and all it started stands still for a while."""
    return Fault(
        f"{name} stopped (SIGSTOP), goes on later",
        moment,
        lambda deployment: deployment.airflow.signal(name, signal.SIGSTOP),
        lambda deployment: deployment.airflow.signal(name, signal.SIGCONT),
        lasts=True,
        afterwards=lambda deployment: _revive(deployment, name),
    )


def _cut(wire: str, what: str, moment: Moment) -> Fault:
    """Nothing gets through a wire for a while."""
    return Fault(
        what,
        moment,
        lambda deployment: deployment.wires[wire].cut(),
        lambda deployment: deployment.wires[wire].mend(),
        lasts=True,
        afterwards=lambda deployment: _revive(deployment, wire),
    )


def _clock(name: str, moment: Moment) -> Fault:
    """A process is started again with its clock ahead, and keeps it till the runs are over."""
    return Fault(
        f"{name}'s clock five minutes ahead",
        moment,
        lambda deployment: deployment.restart(name, _off_by(CLOCK_OFF_SECONDS)),
        afterwards=lambda deployment: deployment.restart(name),
    )


def _off_by(seconds: int) -> dict[str, str]:
    [library] = Path("/").glob(LIBFAKETIME.lstrip("/"))
    return {"LD_PRELOAD": str(library), "FAKETIME": f"+{seconds}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _restart_redis(deployment: Deployment) -> None:
    deployment.redis.stop()
    deployment.sleep(5)
    deployment.redis.start()


def _restart_postgres(deployment: Deployment) -> None:
    deployment.postgres.stop()
    deployment.sleep(5)
    deployment.postgres.start()


def _revive_all(deployment: Deployment) -> None:
    for name in deployment.processes:
        _revive(deployment, name)


def _revive(deployment: Deployment, name: str) -> None:
    """Start a process that has ended by itself, as whatever runs Airflow does (systemd, Kubernetes)."""
    process = deployment.processes.get(name)
    if process is not None and process.exit_code is not None:
        process.start()


def _service_gone(deployment: Deployment) -> None:
    for name in ("workers", "triggerer", "triggerer-2"):
        deployment.wires[name].cut()


def _service_back(deployment: Deployment) -> None:
    for name in ("workers", "triggerer", "triggerer-2"):
        deployment.wires[name].mend()


def _rotate(deployment: Deployment) -> None:
    deployment.cloud.control.set_api_key(NEW_KEY)
    deployment.sleep(5)  # some requests meet the old key
    deployment.set_connection(NEW_KEY)


def _small_disk(deployment: Deployment) -> Path:
    return deployment.home / "small-disk"


def _fill_disk(deployment: Deployment) -> None:
    """Give a worker a small disk for its logs and temporary files, and fill it."""
    disk = _small_disk(deployment)
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(disk)], check=True)
    deployment.restart(
        "worker-2", {"TMPDIR": str(disk), "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(disk / "logs")}
    )
    deployment.sleep(20)
    with (disk / "full").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(os.urandom(4096))
        except OSError:
            pass


def _empty_disk(deployment: Deployment) -> None:
    (_small_disk(deployment) / "full").unlink(missing_ok=True)


def _remove_disk(deployment: Deployment) -> None:
    deployment.restart("worker-2")
    subprocess.run(["umount", "--lazy", str(_small_disk(deployment))], check=True)


FAULTS = (
    _killed("triggerer", WAITING),
    _killed("worker", WORKING),
    _killed("scheduler", WORKING),
    _stopped("triggerer", WAITING),
    _stopped("worker", WORKING),
    _stopped("scheduler", WORKING),
    Fault("Redis restarted", WORKING, _restart_redis, afterwards=_revive_all),
    Fault(
        "PostgreSQL restarted", WORKING, _restart_postgres, _revive_all, lasts=True, afterwards=_revive_all
    ),
    Fault(
        "service gone for ten minutes; what failed is cleared later",
        WORKING,
        _service_gone,
        _service_back,
        lasts=True,
        at_least=600.0,
        cleared=True,
    ),
    Fault("key rotated", WAITING, _rotate),
    _cut("worker", "network between a worker and the API server cut", WORKING),
    _cut("triggerer", "network between a triggerer and the service cut", WAITING),
    Fault(
        "disk of a worker full; what failed is cleared later",
        WORKING,
        _fill_disk,
        _empty_disk,
        lasts=True,
        cleared=True,
        afterwards=_remove_disk,
    ),
    _clock("worker-2", WORKING),
    _clock("triggerer-2", WAITING),
)
