"""What a contributor and a release rely on: the project's own files agree with each other."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider_llamabatch import PROJECT_URL, get_provider_info
from tests.matrix.__main__ import CELLS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_metadata_is_what_airflows_schema_wants():
    schema = Path(airflow.__file__).parent / "provider_info.schema.json"
    jsonschema.validate(get_provider_info(), json.loads(schema.read_text(encoding="utf-8")))


def test_all_addresses_are_below_the_projects_own():
    assert all(url.startswith(PROJECT_URL) for url in PROJECT["urls"].values())


def test_every_extra_is_on_the_page():
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert [extra for extra in PROJECT["optional-dependencies"] if f"| `{extra}` |" not in page] == []


def test_every_cell_of_the_matrix_is_on_the_page_and_in_the_workflow():
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w., -]+) \| ([\d.]+) \|", page, re.MULTILINE))
    on_the_page = {name: airflow for names, airflow in rows.items() for name in names.split(", ")}
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    in_the_workflow = dict(re.findall(r'cell: "?([\w.-]+)"?, python: "([\d.]+)"', workflow))
    assert {cell.name: cell.airflow for cell in CELLS}.items() <= on_the_page.items()
    assert in_the_workflow == {cell.name: cell.python for cell in CELLS}


def test_every_supported_python_has_its_classifier_and_a_cell():
    prefix = "Programming Language :: Python :: 3."
    classified = {each.removeprefix(prefix) for each in PROJECT["classifiers"] if each.startswith(prefix)}
    assert classified == {cell.python.removeprefix("3.") for cell in CELLS}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_unless_a_job_says_more_and_run_what_the_makefile_has(workflow):
    text = workflow.read_text(encoding="utf-8")
    targets = set(
        re.findall(r"^([\w.$()/-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert "\npermissions:\n  contents: read\n" in text
    assert "pull_request_target" not in text
    for target in re.findall(r"make ([a-z-]+)", text):
        assert target in targets


def test_publishing_needs_no_stored_secret():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert "id-token: write" in text
    assert "secrets." not in text
