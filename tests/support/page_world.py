"""A world for the page: an emulator with batches of many days, XComs of the runs that made them, users, an Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from airflow_provider_llamabatch.emulator.state.records import Timeline
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import Client
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
KEY = "llx-page-tests-8c1f04e7a9b35d26"
CONNECTION = "llamabatch_default"
PREFIX = f"/llamabatch/connections/{CONNECTION}"
DAY = 86400.0
DAGS = ("invoices_to_parquet", "inbox_daily", "folder_to_markdown")
SECRET_DAG = "payroll"  # not everybody may see it

NAMES = [
    "invoice-2026-118.txt",
    "tram-annual-report.pdf",
    "lab-notes-clay.pdf",
    "letter-to-the-council.txt",
    "safety-data-sheet.pdf",
    "meeting-minutes.md",
]
ERRORS = {
    "broken-*": "PDF_IS_BROKEN: the cross-reference table cannot be read",
    "protected-*": "PDF_IS_PROTECTED: a password is needed",
    "*.xyz": "UNSUPPORTED_FILE_TYPE: .xyz",
}


@dataclass
class PageWorld:
    """The emulator, a client for it, and the XComs that tasks would have pushed."""

    emulator: LlamaCloudEmulator
    client: Client
    rows: list[dict[str, Any]] = field(default_factory=list)

    def directory(self, name: str, files: Mapping[str, str]) -> str:
        """Make a directory with files and return its id."""
        made = self.client.send(calls.create_directory(name=name, type="ephemeral"))
        for file, content in files.items():
            self.client.send(calls.upload_directory_file(made.id, content.encode(), display_name=file))
        return made.id

    def large_directory(self, name: str, names: Sequence[str]) -> str:
        """Make a directory with many files of the same content, at once: an upload for each would take a while."""
        directory_id = self.directory(name, {names[0]: "# A document\n\nIts first line.\n"})
        with self._state.lock:
            project = next(iter(self._state.projects.values()))
            table = project.directory_files[directory_id]
            first = next(iter(table))
            for number, other in enumerate(names[1:], 1):
                file_id = f"dfl-{number:08}"
                table.add(
                    replace(
                        first, id=file_id, order=first.order + number, display_name=other, unique_id=other
                    )
                )
        return directory_id

    def another_batch(self, batch_id: str, seconds: float, status: str = "COMPLETED") -> str:
        """Make a batch like another one at once, so many seconds later."""
        with self._state.lock:
            project = next(iter(self._state.projects.values()))
            like = project.batches.get(batch_id)
            assert like is not None
            was = like.timeline
            later = Timeline(
                was.created_at + seconds,
                was.throttled_at + seconds,
                was.running_at + seconds,
                was.ended_at + seconds,
                status,
            )
            made = replace(like, id=f"bat-{self._state.ids.uuid()}", order=like.order, timeline=later)
            project.add_batch(made)
        return made.id

    def batch(
        self,
        directory_id: str,
        dag_id: str | None = None,
        *,
        action: str = "submit",
        reason: str = "no earlier submission is recorded",
        usage: Mapping[str, Any] | None = None,
    ) -> str:
        """Make a batch now, with the XComs of the DAG run that made it."""
        call = calls.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
        made = self.client.send(call)
        now = self.emulator.control.now()
        if dag_id is not None:
            self.submitted(made.id, directory_id, dag_id, now, action=action, reason=reason, usage=usage)
        return made.id

    def submitted(
        self,
        batch_id: str,
        directory_id: str,
        dag_id: str,
        created_at: float,
        *,
        action: str = "submit",
        reason: str = "no earlier submission is recorded",
        usage: Mapping[str, Any] | None = None,
    ) -> None:
        """Note what the task that made a batch would have pushed."""
        entry = {
            "batch_id": batch_id,
            "connection_id": CONNECTION,
            "directory_id": directory_id,
            "configuration_id": "cfg-PARSE_AGENTIC",
            "job_type": "parse_v2",
            "action": action,
            "reason": reason,
        }
        at = datetime.fromtimestamp(created_at, UTC) + timedelta(seconds=1)
        run_id = f"scheduled__{at:%Y-%m-%dT%H:%M:%S}+00:00"
        self.xcom(dag_id, run_id, "create_batch", "submissions", [entry], at)
        if usage is not None:
            self.xcom(dag_id, run_id, "create_batch", "usage", usage, at + timedelta(minutes=3))

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, value: Any, at: datetime) -> None:
        """Note an XCom, for ``store``."""
        self.rows.append(
            {
                "dag_run_id": 100_000 + len(self.rows),
                "dag_id": dag_id,
                "run_id": run_id,
                "task_id": task_id,
                "map_index": -1,
                "key": key,
                "value": value,
                "timestamp": at,
            }
        )

    def store(self) -> None:
        """Write the XComs into Airflow's database; their runs and tasks are left out, which nothing here reads."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import delete, insert, text

        with create_session() as session:
            session.execute(text("PRAGMA foreign_keys=OFF"))
            session.execute(delete(XComModel))
            if self.rows:
                session.execute(insert(XComModel), self.rows)
            session.commit()
            session.execute(text("PRAGMA foreign_keys=ON"))

    @property
    def _state(self) -> Any:
        return self.emulator._service

    def settle(self) -> None:
        """Bring the emulator's clock to the present."""
        self.emulator.control.advance(max(0.0, time.time() - self.emulator.control.now()))
        self.emulator.control.freeze(False)


@contextmanager
def page_world(*, days: float = 13.0) -> Iterator[PageWorld]:
    """An emulator whose clock stands still some days ago, with the Airflow connection to it in the environment."""
    with LlamaCloudEmulator(api_key=KEY, seed=7, start_time=time.time() - days * DAY) as emulator:
        emulator.control.freeze()
        connection: dict[str, Any] = {"password": KEY, "host": emulator.url}
        name = f"AIRFLOW_CONN_{CONNECTION.upper()}"
        os.environ[name] = json.dumps({"conn_type": "llamabatch", **connection})
        client = Client(settings_from_connection(CONNECTION, **connection))
        try:
            yield PageWorld(emulator, client)
        finally:
            client.close()
            del os.environ[name]


def usage(
    files: int, failed: int, credits: float | None, reasons: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return the XCom ``usage`` of a wait for jobs."""
    return {
        "source": "jobs",
        "files": files,
        "failed": failed,
        "reasons": dict(reasons or {}),
        "credits": credits,
        "credits_by_directory": {},
    }


def fill(world: PageWorld, *, batches: int, files: int) -> str:
    """Make ``batches`` batches over some days, the last but one with ``files`` files; return that one's id."""
    control = world.emulator.control
    control.change(
        file_results={pattern: {"error_message": error} for pattern, error in ERRORS.items()},
        max_files_per_batch=max(files, 1),
        ephemeral_lifetime_seconds=60 * DAY,
    )
    small = world.directory("inbox of the morning", {name: f"# {name}\n\nText." for name in NAMES[:3]})
    began = control.now()
    first = world.batch(small)
    step = 12.9 * DAY / batches
    for number in range(1, batches - 2):
        batch_id = world.another_batch(first, number * step, "FAILED" if number % 31 == 11 else "COMPLETED")
        failed = number * 7 % 23 % 4
        reasons = {"PDF_IS_BROKEN": failed - failed // 2, "UNSUPPORTED_FILE_TYPE": failed // 2}
        files_of_batch = 40 + number * 13 % 260
        if number % 5:
            counts = usage(
                files_of_batch, failed, files_of_batch * 3.0, {k: v for k, v in reasons.items() if v}
            )
            dag_id = DAGS[number % len(DAGS)]
            world.submitted(batch_id, small, dag_id, began + number * step, usage=counts)
    control.advance(12.9 * DAY)
    large = world.large_directory("archive 2026", [_name(number) for number in range(files)])
    large_batch = world.batch(large, DAGS[0], action="rejoin", reason="it still runs ('RUNNING')")
    control.advance(600)
    control.change(batch_running_seconds=10 * DAY)
    world.settle()
    world.batch(small, DAGS[1])
    return large_batch


def _name(number: int) -> str:
    if number % 97 == 3:
        return f"broken-scan-{number:04}.pdf.txt"
    if number % 211 == 5:
        return f"drawing-{number:04}.xyz"
    stem, suffix = NAMES[number % len(NAMES)].rsplit(".", 1)
    return f"{stem}-{number:04}.{'txt' if suffix == 'pdf' else suffix}"


@contextmanager
def airflow_home() -> Iterator[None]:
    """Give this process an Airflow home of its own; before Airflow is imported."""
    with tempfile.TemporaryDirectory(prefix="llamabatch-page-") as home:
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONWARNINGS": "ignore",
        }
        yield


def prepare_airflow(dags: Sequence[Path] = ()) -> None:
    """Make the metadata database of this process's Airflow home, with DAGs in it."""
    folder = Path(os.environ["AIRFLOW_HOME"]) / "dags"
    folder.mkdir(exist_ok=True)
    for dag in dags:
        (folder / dag.name).write_bytes(dag.read_bytes())
    commands = [["db", "migrate"], *([["dags", "reserialize"]] if dags else [])]
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "airflow", *command],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def users_and_rights() -> None:
    """Set the environment for an Airflow whose users have different rights; before its API server is imported."""
    os.environ["AIRFLOW__CORE__AUTH_MANAGER"] = "tests.support.rights.RightsByName"
    os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = (
        "admin:admin,reader:viewer,clerk:user,nobody:viewer"
    )
    os.environ["AIRFLOW__API__SECRET_KEY"] = "page-tests"
    os.environ["AIRFLOW__API_AUTH__JWT_SECRET"] = (
        "page-tests-0123456789abcdef0123456789abcdef-0123456789abcdef"
    )


def airflow_application() -> Any:
    """Return a new API server's application."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.api_fastapi.app import create_app

        return create_app(apps="core")


def token_of(name: str, role: str = "viewer") -> str:
    """Return the token with which Airflow knows a user."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token: str = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role))
    return token


@contextmanager
def served(application: Any) -> Iterator[str]:
    """Serve an application on a socket of this process, and give its URL."""
    import uvicorn

    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(application, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
