"""
A real Airflow 3 of separate processes, all on the loopback interface.

``airflow standalone`` is not used: it listens on every interface and leaves processes behind when it ends.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.airflow_api import AirflowApi
from tests.support.processes import ManagedProcess, ProcessFailedError, end_all, free_port

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

USER = "admin"
MIGRATE_SECONDS = 180.0
HEALTHY_SECONDS = 180.0
DAG_SECONDS = 90.0
GRACE_SECONDS = 10.0

# For tests, whose DAG files never change: to read them again every half minute is a good part of what Airflow costs.
# Not where an asset is watched: Airflow makes the watcher of a DAG that was unpaused when it reads the file again.
READ_DAGS_ONCE = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600"}


class RealAirflow:
    """
    API server, scheduler, DAG processor and triggerers over one home directory.

    ``home`` becomes AIRFLOW_HOME (SQLite database, logs; what the processes print is in ``home/processes``).
    ``env`` is added to every process's environment: connections, or ``AIRFLOW__SECTION__KEY`` for another
    database, executor or option. ``sleep`` is called while waiting and may raise to break off. Raises
    ``ProcessFailedError`` with the end of the output when a process does not come up. Use it as a context
    manager, or ``start`` and ``stop`` it.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        triggerers: int = 1,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.home = home
        self.password = secrets.token_urlsafe(9)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.api = AirflowApi(self.url, USER, self.password)
        self._sleep = sleep
        self._env = self._environment(dags_folder, env or {})
        commands = {
            "api-server": ["api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            "scheduler": ["scheduler", "--skip-serve-logs"],
            "dag-processor": ["dag-processor"],
            **{name: ["triggerer", "--skip-serve-logs"] for name in _numbered("triggerer", triggerers)},
        }
        self.processes = {name: self._process(name, arguments) for name, arguments in commands.items()}

    def __enter__(self) -> RealAirflow:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make the database, start the processes and return when all of them say that they are healthy."""
        (self.home / "processes").mkdir(parents=True, exist_ok=True)
        self._passwords_file.write_text(json.dumps({USER: self.password}), encoding="utf-8")
        self._passwords_file.chmod(0o600)
        self._migrate()
        for process in self.processes.values():
            process.start()
        self.wait_until_healthy()

    def stop(self) -> None:
        """End every process and all that they started."""
        self.api.close()
        end_all(self.processes.values(), GRACE_SECONDS)

    def check(self) -> None:
        """Raise ``ProcessFailedError`` when a process has ended."""
        for process in self.processes.values():
            process.check()

    def wait_until_healthy(self) -> None:
        """Return when every component is healthy."""
        self._wait(HEALTHY_SECONDS, self._is_healthy, lambda: f"Airflow is not healthy: {self._health()}")

    def wait_for_dag(self, dag_id: str) -> None:
        """Return when the DAG can be triggered; on failure the message holds the import errors."""
        self._wait(
            DAG_SECONDS,
            lambda: self.api.dag_exists(dag_id),
            lambda: "\n".join([f"the DAG {dag_id} did not appear", *self.api.import_errors()]),
        )

    def wait_for_scheduled_run(self, dag_id: str) -> str:
        """Unpause a DAG with a schedule, and return the id of the run that its schedule makes."""
        self.wait_for_dag(dag_id)
        self.api.unpause(dag_id)
        self._wait(60.0, lambda: bool(self.api.run_ids(dag_id)), lambda: f"{dag_id} was not scheduled")
        return self.api.run_ids(dag_id)[0]

    def wait_for_run(self, dag_id: str, run_id: str, *, seconds: float) -> str:
        """Return the run's final state, ``success`` or ``failed``."""
        self._wait(
            seconds,
            lambda: self.api.run_state(dag_id, run_id) in ("success", "failed"),
            lambda: f"the run {run_id} did not end; its tasks: {self._task_states(dag_id, run_id)}",
        )
        return self.api.run_state(dag_id, run_id)

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, state: str, *, seconds: float, map_index: int = -1
    ) -> dict[str, Any]:
        """Return a task instance, with its trigger, as soon as it is in ``state``."""
        self._wait(
            seconds,
            lambda: self._task_states(dag_id, run_id).get((task_id, map_index)) == state,
            lambda: f"{task_id} did not become {state}; the tasks: {self._task_states(dag_id, run_id)}",
        )
        return self.api.task_instance(dag_id, run_id, task_id, map_index)

    def kill(self, name: str) -> None:
        """Kill a process and all it started, as a lost machine would (SIGKILL)."""
        self.processes[name].kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process and all it started, such as SIGSTOP and SIGCONT."""
        self.processes[name].signal(number)

    def restart(self, name: str) -> None:
        """End a process in the orderly way if it runs, and start it again."""
        end_all([self.processes[name]], GRACE_SECONDS)
        self.processes[name].start()

    def run_module(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m`` with the configuration of this Airflow, to its end."""
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(
            command, env=self._env, capture_output=True, text=True, check=False, timeout=120
        )

    @property
    def _passwords_file(self) -> Path:
        return self.home / "passwords.json"

    def _environment(self, dags_folder: Path, more: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        options = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            # A worker notices the end of its task at its next heartbeat: the default of 5 s holds up small tasks.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords_file),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        return {**inherited, **options, **more}

    def _process(
        self, name: str, arguments: list[str], env: Mapping[str, str] | None = None
    ) -> ManagedProcess:
        command, log = [sys.executable, "-m", "airflow", *arguments], self.home / "processes" / f"{name}.log"
        return ManagedProcess(name, command, {**self._env, **(env or {})}, log)

    def _migrate(self) -> None:
        migration = self._process("migration", ["db", "migrate"])
        migration.start()
        try:
            self._wait(
                MIGRATE_SECONDS, lambda: migration.exit_code is not None, lambda: "the migration hangs"
            )
        finally:
            migration.kill()
        if migration.exit_code != 0:
            raise migration.failure(f"ended with exit code {migration.exit_code}")

    def _wait(self, seconds: float, is_done: Callable[[], bool], what_is_wrong: Callable[[], str]) -> None:
        give_up = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > give_up:
                raise ProcessFailedError(f"{what_is_wrong()} (waited {seconds:.0f} s; logs: {self.home})")
            self._sleep(0.5)

    def _is_healthy(self) -> bool:
        self.check()
        health = self._health()
        return bool(health) and all(status == "healthy" for status in health.values())

    def _health(self) -> dict[str, str | None]:
        try:
            return self.api.health()
        except httpx.HTTPError:
            return {}

    def _task_states(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str | None]:
        instances = self.api.task_instances(dag_id, run_id)
        return {(task["task_id"], task["map_index"]): task["state"] for task in instances}


def _numbered(name: str, count: int) -> list[str]:
    return [name, *(f"{name}-{number}" for number in range(2, count + 1))]
