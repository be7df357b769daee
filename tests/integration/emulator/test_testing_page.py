"""The page on testing one's own DAGs: its files run as they stand, in a pytest of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "testing.md"


def test_the_files_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    conftest, tests = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_invoices.py").write_text(tests)
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--show-capture=no"],
        cwd=tmp_path,
        env=outside,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert f"{tests.count('def test_') + 1} passed" in run.stdout


def test_the_plugin_is_found_by_its_entry_point_and_imports_nothing_heavy() -> None:
    (point,) = entry_points(group="pytest11", name="llamabatch")
    code = f"import sys, pytest; known = {{*sys.modules}}; import {point.value}; print(*{{*sys.modules}} - known)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {name.partition(".")[0] for name in run.stdout.split()} == {"airflow_provider_llamabatch"}
