"""A command run within the test's process, or as one of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from airflow_provider_llamabatch.__main__ import main

KEY = "llx-integration-key"
COMMAND = [sys.executable, "-m", "airflow_provider_llamabatch"]


def started(*arguments, **options):
    """Run a command as a process and return what came of it."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=100, **options
    )


@pytest.fixture
def command(connection, monkeypatch, capsys):
    """Return a function that runs a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", os.environ.get("_AIRFLOW_PROCESS_CONTEXT", "client"))

    def run(*arguments):
        capsys.readouterr()  # what was printed before is none of its
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        assert KEY not in printed.out + printed.err
        return ended.value.code, printed.out, printed.err

    return run


@pytest.fixture
def batch(hook, make_directory):
    return hook.create_batch(source_directory_id=make_directory(2), configuration_id="cfg-PARSE_AGENTIC")
