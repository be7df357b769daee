"""
One real Airflow for all system tests, and one emulator that its tasks talk to over a socket.

A test that needs DAGs of its own puts them into ``tests/system/dags``. The emulator's clock and switches belong to
whoever runs: ``emulator`` is reset before each module, so a module can prepare it once.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from tests.support.airflow_processes import READ_DAGS_ONCE, RealAirflow
from tests.support.llamacloud import LlamaCloud

if TYPE_CHECKING:
    from collections.abc import Iterator

AIRFLOW_3 = importlib.util.find_spec("airflow.sdk") is not None
ON_AIRFLOW_2 = "test_on_airflow_2.py"
HERE = Path(__file__).parent
collect_ignore = (
    [ON_AIRFLOW_2] if AIRFLOW_3 else [p.name for p in HERE.glob("test_*.py") if p.name != ON_AIRFLOW_2]
)

ROOT = HERE.parents[1]
USER_INTERFACE = "https://llamacloud.example.com"
API_KEY = "llx-system-tests-5f2c9d71b8e64a03"


@pytest.fixture(scope="session")
def emulator_for_all() -> Iterator[LlamaCloudEmulator]:
    with LlamaCloudEmulator(api_key=API_KEY) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(
    emulator_for_all: LlamaCloudEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAirflow]:
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    dags.mkdir()
    for folder in (ROOT / "dags_examples", HERE / "dags"):
        for file in folder.glob("*.py"):
            shutil.copy(file, dags)
    environment = {
        **READ_DAGS_ONCE,
        "AIRFLOW_VAR_DOCUMENTS_FOLDER": str(ROOT / "dags_examples" / "documents"),
        "AIRFLOW_VAR_MARKDOWN_FOLDER": str(home / "markdown"),
        "AIRFLOW__LLAMABATCH__UI_HOST": USER_INTERFACE,
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    }
    connection = {"conn_type": "llamabatch", "password": API_KEY, "host": emulator_for_all.url}
    with RealAirflow(
        home, dags, env={"AIRFLOW_CONN_LLAMABATCH_DEFAULT": json.dumps(connection), **environment}
    ) as airflow:
        yield airflow


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End Airflow after the last of these tests: it would slow down all that this process runs after them."""
    airflow = item.funcargs.get("airflow")  # type: ignore[attr-defined]
    if isinstance(airflow, RealAirflow) and (nextitem is None or HERE not in nextitem.path.parents):
        airflow.stop()


@pytest.fixture(scope="module")
def emulator(emulator_for_all: LlamaCloudEmulator) -> LlamaCloudEmulator:
    emulator_for_all.control.reset()
    return emulator_for_all


@pytest.fixture(scope="module")
def llamacloud(emulator: LlamaCloudEmulator) -> Iterator[LlamaCloud]:
    """What a person would do to the emulator: upload documents, send calls."""
    llamacloud = LlamaCloud("the emulator", {"password": API_KEY, "host": emulator.url})
    yield llamacloud
    llamacloud.close()
