"""A document whose result cannot be had or written holds up no other, and nothing that was saved is paid for again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.exceptions import StorageError
from airflow_provider_llamabatch.execution.saving import Checkpoints
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError, NotFoundError, UnavailableError
from tests.integration.documents.conftest import LATER, fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection", "no_waiting")

CONFIGURATION = "cfg-PARSE_AGENTIC"
REUSING = {"reuse": True, "configuration_id": CONFIGURATION}
A_PAGE_OF_A_GATEWAY = {"kind": "html", "status": 404}


def processed(line: Line, source: Path, target: Path, files: int = 20) -> list[str]:
    """Bring some documents as far as their jobs; return the ids of the jobs, by document."""
    fill(source, {f"{number:02}.txt": b"document %d" % number for number in range(files)})
    line.process(line.upload(source=str(source), target=str(target), **REUSING))
    return [reference["job_reference"]["id"] for reference in line.references]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 500}, UnavailableError),
        ({"kind": "malformed"}, LlamaCloudError),
        (A_PAGE_OF_A_GATEWAY, NotFoundError),
    ],
)
def test_a_result_that_cannot_be_had_is_asked_for_again_by_the_next_try_and_the_others_are_saved(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator, fault: dict[str, Any], error: Any
):
    job_id = processed(line, source, target)[7]
    trouble = emulator.control.add_fault(path=f"/api/v2/parse/{job_id}", **fault)

    with pytest.raises(error):
        line.save(target, configuration_id=CONFIGURATION)
    statuses = [row.status for row in rows_of(target).values()]
    assert sorted(statuses) == ["COMPLETED"] * 19 + ["NO_RESULT"]
    assert len(list(target.glob("*.md"))) == 19

    emulator.control.remove_fault(trouble)
    assert line.save(target, configuration_id=CONFIGURATION)["saved"] == 20
    assert not list((target / ".llamabatch" / "saves").rglob("*.jsonl"))


def test_a_next_try_that_has_more_documents_gives_none_the_place_of_a_result_that_is_there(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator
):
    names = ("a#.txt", "a?.txt", "b.txt")  # the first two would both be a_.txt.md
    fill(source, {name: name.encode() for name in names})
    line.process(line.upload(source=str(source), target=str(target), max_files_per_directory=1))
    all_of_them = line.references
    others = all_of_them[1:]
    job_id = others[1]["job_reference"]["id"]
    trouble = emulator.control.add_fault(path=f"/api/v2/parse/{job_id}", kind="status", status=500)
    line.references = others  # the batch of the first one failed
    with pytest.raises(UnavailableError):
        line.save(target)

    emulator.control.remove_fault(trouble)
    line.references = all_of_them  # it was cleared, and so is the save
    line.save(target)
    assert {row.file: (target / row.places[0]).read_text() for row in rows_of(target).values()} == {
        name: name for name in names
    }


def test_a_save_that_is_cleared_when_results_have_expired_keeps_those_that_are_there(
    new_line: Callable[[str], Line], source: Path, target: Path, emulator: LlamaCloudEmulator
):
    line = new_line("first")
    processed(line, source, target, files=3)
    line.save(target, configuration_id=CONFIGURATION)
    (target / "02.txt.md").write_text("edited")
    expired = emulator.control.add_fault(path="/api/v2/parse/", kind="status", status=404)
    line.save(target, configuration_id=CONFIGURATION)
    emulator.control.remove_fault(expired)

    assert [row.status for row in rows_of(target).values()] == ["COMPLETED", "COMPLETED", "NO_RESULT"]
    second = new_line("second")
    second.upload(source=str(source), target=str(target), **REUSING)
    assert second.context("upload")["ti"].xcoms["upload"]["reused"] == 2


def test_a_next_try_that_wants_other_outputs_has_them_of_every_document(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator
):
    job_id = processed(line, source, target, files=3)[1]
    trouble = emulator.control.add_fault(path=f"/api/v2/parse/{job_id}", kind="status", status=500)
    with pytest.raises(UnavailableError):
        line.save(target, outputs=("markdown",))

    emulator.control.remove_fault(trouble)
    line.save(target, outputs=("text", "markdown"))
    assert [row.places for row in rows_of(target).values()] == [
        [f"0{number}.txt.txt", f"0{number}.txt.md"] for number in range(3)
    ]


def test_a_result_that_cannot_be_written_is_written_by_the_next_try_and_the_others_at_once(
    line: Line, source: Path, target: Path
):
    processed(line, source, target)
    (target / "07.txt.md").mkdir()

    with pytest.raises(StorageError, match=r"07\.txt\.md could not be written"):
        line.save(target, configuration_id=CONFIGURATION)
    assert rows_of(target)["07.txt"].status == "NO_RESULT"
    assert len(list(target.glob("*.md"))) == 20

    (target / "07.txt.md").rmdir()
    assert line.save(target, configuration_id=CONFIGURATION)["saved"] == 20


def test_a_service_that_is_down_ends_the_save_soon(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator
):
    processed(line, source, target, files=60)
    emulator.control.add_fault(kind="status", status=500, path="/api/v2/parse/")
    before = len(emulator.control.requests())

    with pytest.raises(UnavailableError):
        line.save(target, configuration_id=CONFIGURATION, max_concurrency=2)
    assert len(emulator.control.requests()) - before <= 5 * 6  # attempts of each
    assert not (target / "manifest.jsonl").exists()


def test_what_a_save_that_was_given_up_has_saved_is_not_paid_for_by_a_later_run(
    new_line: Callable[[str], Line], source: Path, target: Path, emulator: LlamaCloudEmulator
):
    monday, tuesday = new_line("monday"), new_line("tuesday")
    job_ids = processed(monday, source, target)
    for job_id in job_ids[15:]:
        emulator.control.add_fault(kind="status", status=500, path=f"/api/v2/parse/{job_id}")
    with pytest.raises(UnavailableError):
        monday.save(target, configuration_id=CONFIGURATION, max_concurrency=1)
    assert not (target / "manifest.jsonl").exists()
    saved = len(list(target.glob("*.md")))
    assert saved >= 5

    sent = tuesday.names_in(tuesday.upload(source=str(source), target=str(target), **REUSING))
    assert len(sent) == 20 - saved


def test_costs_that_cannot_be_told_fail_nothing(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator, monkeypatch: pytest.MonkeyPatch
):
    processed(line, source, target)
    emulator.control.change(usage_delay_seconds=2 * LATER)
    write = Checkpoints.write

    async def written(self: Checkpoints) -> None:
        await write(self)  # the last thing before the costs are asked for
        emulator.control.add_fault(kind="status", status=500, path="/api/v2/parse/")

    monkeypatch.setattr(Checkpoints, "write", written)
    assert line.save(target, configuration_id=CONFIGURATION)["saved"] == 20
    assert {row.credits for row in rows_of(target).values()} == {None}


def test_a_storage_that_lets_nothing_be_deleted_is_a_target(
    line: Line, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
):
    from fsspec.implementations.local import LocalFileSystem

    def refused(self: Any, path: str) -> None:
        raise PermissionError(13, "Access Denied", path)

    monkeypatch.setattr(LocalFileSystem, "rm_file", refused)
    processed(line, source, target)
    assert line.save(target, configuration_id=CONFIGURATION)["saved"] == 20
    assert line.save(target, configuration_id=CONFIGURATION)["saved"] == 20
