from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from airflow_provider_llamabatch import __version__, get_provider_info
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook


@pytest.fixture(scope="module")
def info():
    return get_provider_info()


@pytest.mark.parametrize("listing", ["list", "hooks"])
def test_airflows_own_command_shows_the_provider(listing):
    command = [sys.executable, "-m", "airflow", "providers", listing, "--output", "json"]

    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    rows = json.loads(shown[shown.index("[{") :])
    [row] = [row for row in rows if "airflow-provider-llamabatch" in row.values()]
    assert (__version__ if listing == "list" else LlamaBatchHook.hook_name) in row.values()


def test_every_module_that_is_announced_can_be_imported(info):
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
    for path in (*info["extra-links"], info["connection-types"][0]["hook-class-name"]):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


def test_the_form_asks_for_exactly_the_extras_that_are_read(info):
    form = info["connection-types"][0]["conn-fields"]

    assert set(form) == {
        "project_id",
        "organization_id",
        "timeout_seconds",
        "max_attempts",
        "requests_per_minute",
        "verify",
        "proxy",
        "allow_http",
    }
    json.dumps(info)


def test_old_and_new_airflow_show_the_same_form(info):
    new = info["connection-types"][0]["ui-field-behaviour"]
    old = LlamaBatchHook.get_ui_field_behaviour()

    assert {name.replace("_", "-"): value for name, value in old.items()} == new
    assert new["relabeling"]["password"] == "API key"


def test_reading_a_dag_file_loads_nothing_that_only_running_needs():
    code = (
        "import sys; from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator, TaskGroup;"
        "before = set(sys.modules);"
        "import airflow_provider_llamabatch.task_groups, airflow_provider_llamabatch.sensors.jobs;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.strip().splitlines()[-1].split()
    assert "airflow_provider_llamabatch.operators.batch" in loaded
    for package in ("httpx", "openlineage", "fastapi", "fsspec", "pyarrow"):
        assert not any(name.split(".")[0] == package for name in loaded), package
    for module in ("triggers", "emulator", "llamacloud.models", "llamacloud.transport", "polling.loop"):
        assert not any(name.startswith(f"airflow_provider_llamabatch.{module}") for name in loaded), module
