"""The file in which an emulator's state lies between two runs."""

from __future__ import annotations

import contextlib
import io
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from airflow_provider_llamabatch.emulator.__main__ import main
from airflow_provider_llamabatch.emulator.documents import aside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECTORIES = "/api/v1/beta/directories"
OPEN_JOURNAL = bytes.fromhex("d9d505f920a163d7")  # SQLite's mark of a transaction that is not over


def client(emulator: LlamaCloudEmulator) -> httpx.Client:
    headers = {"Authorization": f"Bearer {emulator.api_key}", "Content-Type": "application/json"}
    return httpx.Client(base_url=emulator.url, headers=headers)


def make_directory(emulator: LlamaCloudEmulator) -> str:
    with client(emulator) as http:
        return str(http.post(DIRECTORIES, json={"name": "x"}).json()["id"])


@contextlib.contextmanager
def program(file: Path, *before: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Run the emulator as a program with a state file, and a client for it."""
    command = [
        *before,
        sys.executable,
        "-m",
        "airflow_provider_llamabatch.emulator",
        "--state-file",
        str(file),
    ]
    of_this_process = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGHUP, of_this_process)
    with running:
        assert running.stdout is not None
        headers = {"Authorization": "Bearer llx-emulator"}
        url = running.stdout.readline().strip()
        try:
            with httpx.Client(base_url=url, headers=headers) as http:
                yield running, http
        finally:
            running.kill()


def is_written(file: Path, id_: str) -> bool:
    """Whether a record is in the file of an emulator that runs."""
    copy, journal = file.with_name("copy"), file.with_name(f"{file.name}-journal")
    shutil.copy(file, copy)
    if journal.exists() and journal.read_bytes().startswith(OPEN_JOURNAL):  # which a kill would undo
        return False
    with contextlib.closing(sqlite3.connect(copy)) as database, contextlib.suppress(sqlite3.DatabaseError):
        return any(id_ in records.decode() for (records,) in database.execute("SELECT records FROM state"))
    return False


def ids_in(file: Path) -> list[str]:
    with LlamaCloudEmulator(state_file=file) as emulator:
        return [one["id"] for one in emulator.control.state()["directories"]]


def test_a_process_that_is_killed_leaves_what_was_written_while_it_ran(tmp_path: Path) -> None:
    file = tmp_path / "state"
    with program(file) as (running, http):
        id_ = http.post(DIRECTORIES, json={"name": "x"}).json()["id"]
        while not is_written(file, id_):
            time.sleep(0.1)
        running.kill()
    assert ids_in(file) == [id_]


def test_a_process_whose_terminal_is_closed_writes_its_file(tmp_path: Path) -> None:
    file = tmp_path / "state"
    with program(file) as (running, http):
        id_ = http.post(DIRECTORIES, json={"name": "x"}).json()["id"]
        running.send_signal(signal.SIGHUP)
        assert running.wait() == 0
    assert ids_in(file) == [id_]


def test_a_process_under_nohup_goes_on_without_its_terminal(tmp_path: Path) -> None:
    with program(tmp_path / "state", "nohup") as (running, http):
        running.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(1)
        assert http.get(DIRECTORIES).status_code == 200


def test_a_second_emulator_on_one_file_says_so_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "state"
    with program(file) as (_, http):
        id_ = http.post(DIRECTORIES, json={"name": "x"}).json()["id"]
        capsys.readouterr()  # Airflow 3.0 logs the request there
        for _ in range(2):
            assert main(["--state-file", str(file)]) == 1
            said = capsys.readouterr()
            assert (said.out, said.err.count("\n")) == ("", 1)
            assert f"{file} is in use by another emulator" in said.err
        assert [one["id"] for one in http.get(DIRECTORIES).json()["items"]] == [id_]


def test_a_port_in_use_gives_the_file_free_again(tmp_path: Path) -> None:
    file = tmp_path / "state"
    with LlamaCloudEmulator() as other:
        port = httpx.URL(other.url).port
        with pytest.raises(OSError, match="in use"):
            LlamaCloudEmulator(port=port or 0, state_file=file).__enter__()
    assert ids_in(file) == []


def test_what_was_read_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, csv = tmp_path / "state", io.BytesIO(b"name,total\nx,12")
    with LlamaCloudEmulator(state_file=file) as emulator, client(emulator) as http:
        del http.headers["Content-Type"]
        stored = http.post("/api/v1/beta/files", files={"file": ("a.csv", csv)}, data={"purpose": "parse"})
    monkeypatch.setattr(aside, "read", None)
    with LlamaCloudEmulator(state_file=file) as again, client(again) as http:
        asked = {"file_id": stored.json()["id"], "tier": "fast", "version": "latest"}
        job = http.post("/api/v2/parse", json=asked).json()["id"]
        again.control.advance(60)
        shown = http.get(f"/api/v2/parse/{job}?expand=text").json()
        assert "| x | 12 |" in shown["text"]["pages"][0]["text"]


def test_one_seed_gives_no_id_of_an_earlier_run_again(tmp_path: Path) -> None:
    file, ids = tmp_path / "llamacloud", []
    for _ in range(3):
        with LlamaCloudEmulator(seed=7, state_file=file) as emulator:
            ids.append(make_directory(emulator))
            assert {one["id"] for one in emulator.control.state()["directories"]} == {*ids}
    assert len({*ids}) == 3


def test_the_runs_of_one_seed_and_one_file_are_the_same_every_time(tmp_path: Path) -> None:
    def runs(file: Path) -> list[str]:
        ids = []
        for _ in range(2):
            with LlamaCloudEmulator(seed=7, state_file=file) as emulator:
                ids.append(make_directory(emulator))
        return ids

    assert runs(tmp_path / "one") == runs(tmp_path / "another")


def test_the_deepest_record_that_is_accepted_is_there_again(tmp_path: Path) -> None:
    def body(depth: int) -> str:
        return '{"name":"x","system_metadata":' + '{"a":' * depth + "1" + "}" * (depth + 1)

    file = tmp_path / "state"
    with LlamaCloudEmulator(state_file=file) as emulator, client(emulator) as http:
        codes = [http.post(DIRECTORIES, content=body(depth)).status_code for depth in range(180, 210)]
        listed = http.get(DIRECTORIES).json()["items"]
    assert {*codes} == {201, 422}
    with LlamaCloudEmulator(state_file=file) as again, client(again) as http:
        assert http.get(DIRECTORIES).json()["items"] == listed


def test_a_file_that_is_no_state_is_named_in_one_line_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn, other = tmp_path / "torn", tmp_path / "other"
    torn.write_bytes(b"SQLite format 3\0 and then the disk was full")
    with contextlib.closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE holidays (weather TEXT)")
    for path in (torn, other):
        before = path.read_bytes()
        assert main(["--state-file", str(path)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert f"{path} holds no state of an emulator" in said.err
        assert path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_told_at_the_beginning(tmp_path: Path) -> None:
    emulator = LlamaCloudEmulator(state_file=tmp_path / "no such folder" / "state")
    with pytest.raises(OSError, match="state cannot be used: unable to open"):
        emulator.__enter__()  # and not at the end, when all that was made is lost
