"""What every test shares: an Airflow home of its own, made before Airflow is imported."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# For tests.matrix, which asks whether packages fit: the others look for what breaks the code itself.
settings.register_profile("brief", max_examples=20)

# A new one each time: an airflow.cfg that Airflow once wrote may say default_deferrable = false.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="llamabatch-tests-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
    os.environ.pop(name, None)  # tests talk to loopback only

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Airflow warns of while it is imported is not about this package
    import airflow.providers.common.compat.sdk
    import airflow.triggers.base  # noqa: F401

    if importlib.util.find_spec("airflow.sdk") is None:  # Airflow 2 imports these with its providers
        for name in (
            "airflow.hooks.filesystem",
            "airflow.hooks.package_index",
            "flask_appbuilder.fieldwidgets",
        ):
            importlib.import_module(name)

HERE = Path(__file__).parent
# Folders whose tests mostly wait for other processes. The one that starts no Airflow of its own is among the first, so
# that fewer of them start at once.
LONG = ("system", "pages", "postgres", "chaos")
SHARING = ("tests/system/", "tests/postgres/")  # all files of each share a real Airflow
SPREAD = "tests/simulation/test_simulation.py"  # its tests share nothing


def pytest_collection_finish() -> None:
    """Leave Airflow and thousands of tests, which stay, out of every later search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no process is left alone with it in the end."""
    place = {folder: number for number, folder in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.relative_to(HERE).parts[0], len(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each file but one to one process, and all files that share a real Airflow to the same."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # untyped
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            if file == SPREAD:
                return nodeid
            return next((folder for folder in SHARING if file.startswith(folder)), file)

    return Scheduling(config, log)
