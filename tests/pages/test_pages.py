"""Every block of code of the documentation runs, in an Airflow of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.pages.blocks import BLOCKS, ROOT

RUN = {"python", "sh"}  # run_blocks.py runs these
SHOWN = {
    "json",
    "ini",
    "yaml",
    "toml",
    "toctree",
    "promql",
}  # these are looked at, and tested where they belong


def test_every_block_is_in_a_language_that_somebody_runs_or_reads():
    assert {block.language for block in BLOCKS} <= RUN | SHOWN


@pytest.mark.timeout(900)  # some thirty runs of DAGs and commands, in a process that imports Airflow anew
def test_every_block_runs():
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--show-capture=no"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/pages/run_blocks.py"],
        cwd=ROOT,
        env=outside,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-8000:]
    found = re.search(r"(\d+) passed", run.stdout)
    assert found is not None
    assert int(found[1]) > sum(block.language in RUN for block in BLOCKS) / 2
