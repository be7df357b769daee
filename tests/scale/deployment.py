"""A distributed Airflow on this machine: PostgreSQL, Redis, Celery workers, several schedulers and triggerers."""

from __future__ import annotations

import contextlib
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from tests.scale.database import Database
from tests.scale.services import Redis, Wire
from tests.support.airflow_processes import RealAirflow
from tests.support.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chaos.cloud import Cloud
    from tests.support.processes import ManagedProcess

DAGS = Path(__file__).parent / "dags"
CONN_ID = "llamabatch_default"
WORKERS = ("worker", "worker-2")
TRIGGERERS = ("triggerer", "triggerer-2")
SCHEDULERS = ("scheduler", "scheduler-2")
PARALLELISM = 64
SECONDS_UNTIL_LOST = (
    20  # with faults, a worker's task, a triggerer or a scheduler that says nothing for so long is given up
)
GIVES_UP_EARLY = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": str(SECONDS_UNTIL_LOST),
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": str(SECONDS_UNTIL_LOST),
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "90",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(SECONDS_UNTIL_LOST),
}


class Deployment:
    """
    Everything between the emulated service and the database, as a context manager.

    Each worker reaches the API server through a wire of its own, each triggerer the service (``wires``, by process
    name); the workers share the wire ``workers`` to the service. One that ``gives_up_early`` takes what is silent or
    queued for long as lost sooner than Airflow does by default: under a load, tasks are queued for minutes.
    """

    def __init__(
        self,
        home: Path,
        cloud: Cloud,
        *,
        worker_slots: int = 4,
        gives_up_early: bool = False,
        sleep: Callable[[float], None],
    ) -> None:
        self.home, self.cloud = home, cloud
        self.sleep, self._slots, self._gives_up_early = sleep, worker_slots, gives_up_early
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._opened.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def processes(self) -> Mapping[str, ManagedProcess]:
        """All processes of Airflow, by name."""
        return self.airflow.processes

    def set_connection(self, api_key: str, **extra: Any) -> None:
        """Write the connection that workers and triggerers read, each with its own way to the service."""
        self._files.mkdir(parents=True, exist_ok=True)
        for name in ("workers", *TRIGGERERS):
            connection = {
                "conn_type": "llamabatch",
                "password": api_key,
                "host": f"http://127.0.0.1:{self.wires[name].port}",
                "extra": json.dumps(extra),
            }
            file = self._connections_of(name)
            fresh = file.with_suffix(".new")
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps({CONN_ID: connection}), encoding="utf-8")
            fresh.replace(file)

    def restart(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Kill a process with all it started and start it again, with ``env`` besides its own environment."""
        self.airflow.kill(name)
        self.airflow.renew(name, {**self._own_env(name), **(env or {})})
        self.airflow.processes[name].start()

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.postgres = self._opened.enter_context(PostgresServer())
        self.redis = self._opened.enter_context(Redis(self.home / "redis"))
        service = urlsplit(self.cloud.emulator.url).port or 0
        self.wires = {name: self._opened.enter_context(Wire(service)) for name in ("workers", *TRIGGERERS)}
        self._files = self.home / "connections"
        self.set_connection(self.cloud.emulator.api_key)
        self.airflow = Distributed(self.home / "airflow", self._env(), self._slots, self.sleep)
        for name in WORKERS:
            self.wires[name] = self._opened.enter_context(Wire(urlsplit(self.airflow.url).port or 0))
        for name in (*WORKERS, *TRIGGERERS):
            self.airflow.renew(name, self._own_env(name))
        self._opened.callback(self.airflow.stop)
        self.airflow.start()
        self.database = Database(self.postgres.url)

    def _env(self) -> dict[str, str]:
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.postgres.url,
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
            "AIRFLOW__CORE__FERNET_KEY": "",
            "AIRFLOW__CELERY__BROKER_URL": self.redis.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{self.postgres.url}",
            "AIRFLOW__SCHEDULER__ENABLE_TRACEMALLOC": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            **(GIVES_UP_EARLY if self._gives_up_early else {}),
        }

    def _own_env(self, name: str) -> dict[str, str]:
        if name in WORKERS:
            url = f"http://127.0.0.1:{self.wires[name].port}/execution/"
            return {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": url, **self._secrets_env("workers")}
        return self._secrets_env(name) if name in TRIGGERERS else {}

    def _secrets_env(self, name: str) -> dict[str, str]:
        return {
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(
                {"connections_file_path": str(self._connections_of(name))}
            ),
        }

    def _connections_of(self, name: str) -> Path:
        return self._files / f"{name}.json"


class Distributed(RealAirflow):
    """The processes of Airflow with the CeleryExecutor."""

    def __init__(
        self, home: Path, env: Mapping[str, str], worker_slots: int, sleep: Callable[[float], None]
    ) -> None:
        super().__init__(home, DAGS, env=env, triggerers=len(TRIGGERERS), sleep=sleep)
        for name in SCHEDULERS[1:]:
            self.processes[name] = self._process(name, ["scheduler", "--skip-serve-logs"])
        self._worker = ["celery", "worker", "--skip-serve-logs", "--concurrency", str(worker_slots)]
        for name in WORKERS:
            self.renew(name, {})

    def renew(self, name: str, env: Mapping[str, str]) -> None:
        """Make a process anew, with ``env`` besides what all have; it has to be started."""
        kind = (
            ["triggerer", "--skip-serve-logs"] if name in TRIGGERERS else ["scheduler", "--skip-serve-logs"]
        )
        own = ["--celery-hostname", f"{name}@scale", "--pid", str(self.home / "processes" / f"{name}.pid")]
        arguments = [*self._worker, *own] if name in WORKERS else kind
        self.processes[name] = self._process(name, arguments, env)

    def stop(self) -> None:
        """Continue what was stopped, end everything."""
        import signal

        for process in self.processes.values():
            with contextlib.suppress(Exception):
                process.signal(signal.SIGCONT)
        super().stop()
