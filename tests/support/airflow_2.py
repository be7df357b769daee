"""A real Airflow 2: scheduler and triggerer over one home, driven by the command line, read through its database."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.processes import ManagedProcess, end_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMMAND_SECONDS = 120
GRACE_SECONDS = 10.0


class Airflow2:
    """Runs while its context is open; ``home`` becomes AIRFLOW_HOME, ``env`` is added to every process."""

    def __init__(self, home: Path, dags_folder: Path, env: Mapping[str, str]) -> None:
        self.home = home
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        self._env = {
            **inherited,
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
            ),  # of `airflow`
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor",  # the one for SQLite
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **env,
        }
        self.processes = [
            ManagedProcess(name, [sys.executable, "-m", "airflow", name, "--skip-serve-logs"], self._env, log)
            for name, log in (
                ("scheduler", home / "scheduler.out"),
                ("triggerer", home / "triggerer.out"),
            )
        ]

    def __enter__(self) -> Airflow2:
        try:
            self.command("db", "migrate")
            self.command("dags", "reserialize")
            for process in self.processes:
                process.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        end_all(self.processes, GRACE_SECONDS)

    def command(self, *arguments: str) -> str:
        """Run an ``airflow`` command to its end and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Unpause a DAG and start a run."""
        self.command("dags", "unpause", dag_id)
        self.command("dags", "trigger", dag_id, "--run-id", run_id, "--conf", json.dumps(conf))

    def wait(self, what: Callable[[], bool], seconds: float) -> None:
        """Return when ``what`` is true; a process that ended or a time that is up is an error."""
        give_up = time.monotonic() + seconds
        while not what():
            for process in self.processes:
                process.check()
            assert time.monotonic() < give_up, self.rows(
                "SELECT dag_id, run_id, task_id, state FROM task_instance"
            )
            time.sleep(0.5)

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state."""
        return str(
            self.rows("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag_id, run_id)[0][0]
        )

    def task_state(self, dag_id: str, run_id: str, task_id: str) -> str | None:
        """Return a task's state."""
        query = "SELECT state FROM task_instance WHERE dag_id = ? AND run_id = ? AND task_id = ?"
        found = self.rows(query, dag_id, run_id, task_id)
        return found[0][0] if found else None

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> Any:
        """Return the value of one XCom."""
        query = "SELECT value FROM xcom WHERE dag_id = ? AND run_id = ? AND task_id = ? AND key = ?"
        return json.loads(self.rows(query, dag_id, run_id, task_id, key)[0][0])

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return all that the tries of a task logged, on workers and in the triggerer."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "\n".join(path.read_text() for path in sorted(folder.iterdir()))

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Read the metadata database."""
        with closing(
            sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)
        ) as database:
            return database.execute(query, values).fetchall()
