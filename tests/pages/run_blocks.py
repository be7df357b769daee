"""
Runs every block of code of the documentation against the emulator; ``test_pages.py`` starts it in its own process.

What a page cannot know is put in its place: ids, folders, storages. A DAG has to end in success. Shell commands run as
they stand, but for ``pip``, which must name this project, and ``make``, whose target must exist.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls
from tests.pages.blocks import BLOCKS, OF_ITS_OWN, ROOT

FILES = {"one.md": "# One\n\nTotal: 12.50", "two.pdf.md": "# Two\n\nTotal: 7.00"}
SCHEMA = {"type": "object", "properties": {"Total": {"type": "number"}}, "required": ["Total"]}
FOLDERS = ("in", "na/in", "eu/in", "invoices")

DAGS = [pytest.param(block.code, id=block.name) for block in BLOCKS if block.is_dag]
SNIPPETS = [
    pytest.param(block.code, id=block.name)
    for block in BLOCKS
    if block.language == "python" and not block.is_dag and OF_ITS_OWN not in block.name
]
COMMANDS = [pytest.param(block.code, id=block.name) for block in BLOCKS if block.language == "sh"]

STAND_INS = f"""
pip() {{ [[ "$1" == install && "$2" =~ ^.?airflow-provider-llamabatch(\\[.*)?$ ]]; }}
make() {{ command make --dry-run --directory {ROOT} "$@" >/dev/null; }}
"""


@pytest.fixture
def known(llamacloud, llamacloud_directory, tmp_path, monkeypatch):
    """Return what stands for what a page cannot know."""
    data = tmp_path / "data"
    for folder in FOLDERS:
        (data / folder).mkdir(parents=True)
        for name, content in FILES.items():
            (data / folder / name).write_text(content)
    (data / "out").mkdir()
    (data / "out" / "manifest.jsonl").touch()
    for region in ("na", "eu"):
        monkeypatch.setenv(
            f"AIRFLOW_CONN_LLAMABATCH_{region.upper()}", os.environ["AIRFLOW_CONN_LLAMABATCH_DEFAULT"]
        )
    directory_id = llamacloud_directory(FILES)
    with LlamaBatchHook() as hook:
        batch_id = hook.create_batch(
            source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC"
        ).id
        extraction = hook.send(
            calls.create_configuration(
                name="invoices", parameters={"product_type": "extract_v2", "data_schema": SCHEMA}
            )
        )
    monkeypatch.setenv("AIRFLOW_VAR_INVOICES_CONFIGURATION_ID", extraction.id)
    return {
        "dir-...": directory_id,
        "bat-...": batch_id,
        "s3://documents/": f"{data}/",
        '"/data/': f'"{data}/',
        '"aws_default"': "None",
    }


def placed(code: str, known: dict[str, str]) -> str:
    for what, instead in known.items():
        code = code.replace(what, instead)
    return code


@pytest.mark.parametrize("code", DAGS)
def test_a_dag_of_a_page_ends_in_success(code, known, run_dag, tmp_path):
    path = tmp_path / "page.py"
    path.write_text(re.sub(r"^(\w+\(\))$", r"DAG = \1", placed(code, known), flags=re.MULTILINE))
    names: dict[str, object] = {"__file__": str(path), "__name__": "page"}
    exec(compile(path.read_text(), str(path), "exec"), names)  # a page's own code

    result = run_dag(names["DAG"])
    assert result.state == "success", result.tasks


@pytest.mark.parametrize("code", SNIPPETS)
def test_a_snippet_of_a_page_runs(code, known, llamacloud):
    names: dict[str, Any] = {"emulator": llamacloud}
    exec(compile(placed(code, known), "page", "exec"), names)  # a page's own code

    assert names.get("works", True) is True
    assert list(names.get("documents", [])) == []


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """Return the home of an Airflow whose database is there."""
    home = tmp_path_factory.mktemp("airflow")
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, env={**os.environ, "AIRFLOW_HOME": str(home)}, check=True, capture_output=True)
    return home


@pytest.fixture
def airflow_home(migrated, tmp_path):
    """Return a home that no other page has put connections into."""
    return shutil.copytree(migrated, tmp_path / "home", ignore=shutil.ignore_patterns("airflow.cfg"))


@pytest.mark.parametrize("code", COMMANDS)
def test_the_commands_of_a_page_run(code, known, airflow_home):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **dict.fromkeys(("LLAMA_CLOUD_API_KEY", "KEY_OF_NA", "KEY_OF_EU"), "llx-page"),
    }
    for name in [name for name in environment if name.startswith("AIRFLOW_CONN_")]:
        del environment[name]
    script = f"set -eu\n{STAND_INS}\n{placed(code, known)}"
    run = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env={**environment, "AIRFLOW_HOME": str(airflow_home)},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
