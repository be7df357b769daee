"""The file in which an emulator's state lies between two runs."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import httpx
import pytest

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from airflow_provider_llamabatch.emulator.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORIES = "/api/v1/beta/directories"


def client(emulator: LlamaCloudEmulator) -> httpx.Client:
    headers = {"Authorization": f"Bearer {emulator.api_key}", "Content-Type": "application/json"}
    return httpx.Client(base_url=emulator.url, headers=headers)


def make_directory(emulator: LlamaCloudEmulator) -> str:
    with client(emulator) as http:
        return str(http.post(DIRECTORIES, json={"name": "x"}).json()["id"])


def test_one_seed_gives_no_id_of_an_earlier_run_again(tmp_path: Path) -> None:
    file, ids = tmp_path / "llamacloud.zip", []
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

    assert runs(tmp_path / "one.zip") == runs(tmp_path / "another.zip")


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
    torn, other = tmp_path / "torn.zip", tmp_path / "other.zip"
    torn.write_bytes(b"PK\x03\x04 and then the disk was full")
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("holiday.txt", "sun")
    for path in (torn, other):
        before = path.read_bytes()
        assert main(["--state-file", str(path)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert f"{path} holds no state of an emulator" in said.err
        assert path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_told_at_the_beginning(tmp_path: Path) -> None:
    emulator = LlamaCloudEmulator(state_file=tmp_path / "no such folder" / "state.zip")
    with pytest.raises(FileNotFoundError):
        emulator.__enter__()  # and not at the end, when all that was made is lost
