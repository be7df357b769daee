from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import (
    Interrupted,
    Interrupts,
    ManagedProcess,
    ProcessFailedError,
    end_all,
    tail,
)

if TYPE_CHECKING:
    from pathlib import Path

WITH_CHILDREN = """
import subprocess, sys, time
wait = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
subprocess.Popen(wait)
subprocess.Popen(wait, start_new_session=True)
time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def started(program: str, log: Path) -> ManagedProcess:
    process = ManagedProcess("sample", [sys.executable, "-c", program], os.environ, log)
    process.start()
    return process


def wait_for_lines(log: Path, count: int) -> None:
    while log.read_text().count("\n") < count:
        Interrupts().sleep(0.02)


def test_ending_a_process_ends_what_it_started_even_in_another_session(tmp_path: Path):
    process = started(WITH_CHILDREN, tmp_path / "log")
    wait_for_lines(tmp_path / "log", 2)
    assert len(process.members()) == 3
    end_all([process], grace_seconds=5)
    assert process.members() == []
    assert process.exit_code == -signal.SIGTERM


def test_a_process_that_ignores_the_request_to_end_is_killed(tmp_path: Path):
    process = started(DEAF, tmp_path / "log")
    wait_for_lines(tmp_path / "log", 1)
    end_all([process], grace_seconds=0.2)
    assert process.exit_code == -signal.SIGKILL


def test_a_process_of_somebody_else_is_left_alone(tmp_path: Path):
    mine, other = started(DEAF, tmp_path / "mine"), started(DEAF, tmp_path / "other")
    mine.kill()
    assert (mine.exit_code, other.exit_code) == (-signal.SIGKILL, None)
    other.kill()


def test_an_early_end_is_an_error_that_shows_the_end_of_the_output(tmp_path: Path):
    process = started("print('first'); raise SystemExit('no database')", tmp_path / "log")
    while process.exit_code is None:
        Interrupts().sleep(0.02)
    with pytest.raises(ProcessFailedError, match=r"sample ended with exit code 1(.|\n)*no database"):
        process.check()


def test_the_tail_of_a_log_is_short(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    assert tail(log, lines=2) == "    line 98\n    line 99"


def test_a_signal_is_noted_and_ends_the_next_sleep():
    interrupts = Interrupts()
    with interrupts.caught():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as interrupted:
            interrupts.sleep(60)
    assert interrupted.value.exit_code == 143


def test_a_process_that_wrote_over_its_environment_is_ended_all_the_same(tmp_path: Path):
    process = ManagedProcess("sample", ["env", "-i", "sleep", "600"], os.environ, tmp_path / "log")
    process.start()
    assert [member.pid for member in process.members()] == [process.pid]
    process.kill()
    assert process.exit_code == -signal.SIGKILL
