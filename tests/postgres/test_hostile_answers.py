"""Two triggerers over PostgreSQL survive whatever a server answers, and so does every other wait that is in them."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from airflow_provider_llamabatch.llamacloud import calls
from tests.support.airflow_processes import READ_DAGS_ONCE, RealAirflow
from tests.support.hostile import Answer, HostileGateway, answer, bomb
from tests.support.llamacloud import LlamaCloud
from tests.support.postgres import postgres
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
DAG_ID = "waiting_beside_hostile_answers"
API_KEY = "llx-system-tests-7d15b0c2e94f8a36"
HEALTHY = 8  # half of them behind the gateway
SERVED = 1  # times that each hostile answer is given at least

RUNNING = {"id": "{id}", "status": "RUNNING"}
COMPLETED = {"id": "{id}", "status": "COMPLETED"}

# The API's own verdicts end a wait, in one error that can be stored and read.
VERDICTS: dict[str, Answer] = {
    "a refusal with NUL": answer(400, '{"detail": "no\\u0000pe"}'),
    "a refusal with half a character": answer(400, '{"detail": "no\\ud800pe"}'),
    "a refusal in colour": answer(422, {"detail": f"\x1b[31mred\x07\n{API_KEY}" + "y" * 100_000}),
}


@cache  # not at import: the bomb takes a second and the memory it threatens with
def trouble() -> dict[str, Answer]:
    """Return answers to a poll that leave a wait as it is: trouble that may pass. It ends well once they stop."""
    return {
        "status of a megabyte": answer(200, {**RUNNING, "status": "RUN\x00NING\n\x1b[31m" + "x" * 1_000_000}),
        "another batch": answer(200, {"id": "bat-somebody-elses", "status": "COMPLETED"}),
        "sixty megabytes": answer(500, b'{"detail": "' + b"x" * (60 << 20) + b'"}'),
        "nested": answer(200, b"[" * 200_000),
        "a bomb": bomb(300),
        "no numbers": answer(200, '{"id": NaN, "status": 1e999, "created_at": -Infinity}'),
        "many digits": answer(200, '{"id": ' + "9" * 10_000 + "}"),
        "the year one": answer(200, {**RUNNING, "created_at": "0001-01-01T00:00:00+14:00"}),
        "endless headers": Answer(b"HTTP/1.1 200 OK\r\n", drip=b"X-More: 1\r\n"),
        "endless hints": Answer(b"", drip=b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        "a dripping body": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", drip=b" "),
        "a key in the status line": Answer(f"HTTP/1.1 2xx Bearer {API_KEY}\x00\r\n\r\n".encode()),
        "a redirect with the key": answer(302, "", f"Location: http://127.0.0.1:9/{API_KEY}\r\n"),
        "a gateway's not found": answer(404, "<html>\x00not here</html>"),
        "a gateway's refusal": answer(403, "<html>no</html>"),
        "a pause that is no number": answer(429, {"detail": "\x00"}, "Retry-After: soon\r\n"),
        "a hang-up": Answer(b""),
        "bytes": Answer(bytes(range(256)) * 40),
    }


class World:
    """Batches that run, some of them behind a gateway that answers for them."""

    def __init__(self, emulator: LlamaCloudEmulator, gateway: HostileGateway) -> None:
        self.control, self.gateway = emulator.control, gateway
        self._cloud = LlamaCloud("the emulator", {"password": API_KEY, "host": emulator.url})
        emulator.control.freeze()
        emulator.control.change(batch_running_seconds=3600)
        directory = self._cloud.client.send(calls.create_directory(name="d", type="user")).id
        self._cloud.client.send(calls.upload_directory_file(directory, b"text", display_name="a.txt"))
        create = calls.create_batch(source_directory_id=directory, configuration_id="cfg-PARSE_AGENTIC")
        self.hostile: dict[str, str] = {}
        for name, written in (trouble() | VERDICTS).items():
            batch_id = self._cloud.client.send(create).id
            self.hostile[name] = batch_id
            gateway.answers[batch_id] = written
        self.healthy = [self._cloud.client.send(create).id for _ in range(HEALTHY)]

    def waits(self) -> list[dict[str, str]]:
        return [
            *({"batch_id": batch_id, "llamabatch_conn_id": "hostile"} for batch_id in self.hostile.values()),
            *({"batch_id": batch_id, "llamabatch_conn_id": "hostile"} for batch_id in self.healthy[::2]),
            *({"batch_id": batch_id, "llamabatch_conn_id": "healthy"} for batch_id in self.healthy[1::2]),
        ]

    def close(self) -> None:
        self._cloud.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    outage = answer(503, "no lists today")
    with (
        LlamaCloudEmulator(api_key=API_KEY) as emulator,
        HostileGateway(emulator.url, lists=outage) as gateway,
    ):
        world = World(emulator, gateway)
        yield world
        world.close()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(scope="module")
def airflow(world: World, database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAirflow]:
    home = tmp_path_factory.mktemp("airflow")
    shutil.copytree(HERE / "hostile_dags", home / "dags")
    hosts = {"hostile": world.gateway.url, "healthy": world.gateway.service}
    connections = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(
            {"conn_type": "llamabatch", "password": API_KEY, "host": host}
        )
        for name, host in hosts.items()
    }
    environment = {
        **READ_DAGS_ONCE,
        **connections,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    }
    with RealAirflow(home, home / "dags", env=environment, triggerers=2) as airflow:
        yield airflow


def test_no_answer_takes_a_triggerer_or_a_wait_beside_it_down(
    airflow: RealAirflow, world: World, database: str
):
    waits = world.waits()
    airflow.wait_for_dag(DAG_ID)
    run_id = airflow.api.trigger(DAG_ID, {"waits": waits})

    def states() -> dict[str, Any]:
        tasks = [task for task in airflow.api.task_instances(DAG_ID, run_id) if task["task_id"] == "wait"]
        return {waits[task["map_index"]]["batch_id"]: task["state"] for task in tasks}

    served = world.gateway.served
    until(lambda: all(served[world.hostile[name]] >= SERVED for name in trouble()), seconds=300)
    until(lambda: all(states()[world.hostile[name]] == "failed" for name in VERDICTS), seconds=200)
    airflow.check()  # no process has ended
    world.control.advance(7200)
    until(lambda: all(states()[batch_id] == "success" for batch_id in world.healthy), seconds=120)
    assert {name for name in trouble() if states()[world.hostile[name]] != "deferred"} == set()

    world.gateway.is_hostile = False
    airflow.wait_for_run(DAG_ID, run_id, seconds=240)
    airflow.check()
    assert {name: states()[world.hostile[name]] for name in trouble()} == dict.fromkeys(trouble(), "success")

    logs = "".join(path.read_text(errors="replace") for path in (airflow.home / "logs").rglob("*.log"))
    assert len(logs) < 3_000_000
    for name, text in (("logs", logs), ("database", _everything_in(database))):
        assert API_KEY not in text, name
        assert "\x1b[31m" not in text, name
        assert "\\u001b" not in text, name
        assert "\x00" not in text, name


def _everything_in(database: str) -> str:
    """Return what Airflow has stored of tasks: their results, errors and triggers."""
    engine = sqlalchemy.create_engine(database)
    with engine.connect() as connection:
        tables = ("xcom", "trigger", "task_instance", "rendered_task_instance_fields", "log")
        rows = [connection.execute(sqlalchemy.text(f"SELECT * FROM {table}")).all() for table in tables]
    engine.dispose()
    return repr(rows)
