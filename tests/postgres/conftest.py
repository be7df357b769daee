"""
One real Airflow with two triggerers over PostgreSQL for all of these tests, and the two services its tasks talk to.

``test_a_hostile_server.py`` comes first: it wants no process to have ended, which later tests kill.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from tests.postgres import hostile_world, pipeline_world
from tests.postgres.hostile_world import HostileWorld
from tests.postgres.pipeline_world import PipelineWorld
from tests.support.airflow_processes import READ_DAGS_ONCE, RealAirflow
from tests.support.hostile import HostileGateway, answer
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def hostile() -> Iterator[HostileWorld]:
    outage = answer(503, "no lists today")
    with (
        LlamaCloudEmulator(api_key=hostile_world.API_KEY) as emulator,
        HostileGateway(emulator.url, lists=outage) as gateway,
    ):
        world = HostileWorld(emulator, gateway)
        yield world
        world.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineWorld]:
    with LlamaCloudEmulator(api_key=pipeline_world.API_KEY) as emulator:
        world = PipelineWorld(tmp_path_factory.mktemp("airflow"), emulator)
        yield world
        world.cloud.close()


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(scope="session")
def airflow(hostile: HostileWorld, world: PipelineWorld, database: str) -> Iterator[RealAirflow]:
    dags = world.home / "dags"
    dags.mkdir()
    for folder in (HERE.parents[1] / "dags_examples", HERE / "dags"):
        for file in folder.glob("*.py"):
            shutil.copy(file, dags)
    environment = {
        **READ_DAGS_ONCE,
        **world.airflow_environment,
        **hostile.airflow_environment,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
    }
    with RealAirflow(world.home, dags, env=environment, triggerers=2) as airflow:
        yield airflow


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End Airflow after the last of these tests: it would slow down all that this process runs after them."""
    airflow = item.funcargs.get("airflow")  # type: ignore[attr-defined]
    if isinstance(airflow, RealAirflow) and (nextitem is None or HERE not in nextitem.path.parents):
        airflow.stop()
