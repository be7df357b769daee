"""Files that LlamaCloud refuses, or that change while they are sent: named, counted as failed, never green alone."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest

from airflow_provider_llamabatch.exceptions import (
    DocumentsRefusedError,
    RequestRefusedError,
    ResultsMissingError,
    StorageError,
)
from airflow_provider_llamabatch.storage import Storage
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection", "no_waiting")

CONFIGURATION = "cfg-PARSE_AGENTIC"
MEGABYTE = 1024 * 1024


@pytest.fixture
def refusing(emulator: LlamaCloudEmulator) -> Callable[[], None]:
    def refuse() -> None:
        emulator.control.add_fault(
            kind="status", status=422, detail="metadata: not permitted", method="POST", path="/files/upload$"
        )

    return refuse


def test_an_upload_of_which_everything_is_refused_fails_with_what_the_service_said(
    line: Line, source: Path, refusing: Callable[[], None]
):
    fill(source, {f"{number:02}.txt": b"document %d" % number for number in range(30)})
    refusing()
    with pytest.raises(RequestRefusedError, match="metadata: not permitted"):
        line.upload(source=str(source))


def test_what_is_refused_beside_what_is_reused_counts_as_failed(
    new_line: Callable[[str], Line], source: Path, target: Path, refusing: Callable[[], None]
):
    reusing: dict[str, Any] = {"target": str(target), "reuse": True, "configuration_id": CONFIGURATION}
    fill(source, {"a.txt": b"alpha"})
    one, two = new_line("one"), new_line("two")
    one.process(one.upload(source=str(source), **reusing))
    one.save(target, configuration_id=CONFIGURATION)
    fill(source, {"b.txt": b"beta"})
    refusing()
    assert two.upload(source=str(source), **reusing) == []
    with pytest.raises(ResultsMissingError, match="1 of 2 documents have no result"):
        two.save(target, configuration_id=CONFIGURATION, fail_on_partial_error=True)
    assert {name: row.status for name, row in rows_of(target).items()} == {
        "a.txt": "COMPLETED", "b.txt": "NO_JOB"
    }  # fmt: skip


def test_a_file_that_is_refused_fails_the_upload_where_that_is_asked_for(
    line: Line, source: Path, emulator: LlamaCloudEmulator
):
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta"})
    emulator.control.add_fault(
        kind="status", status=413, detail="too large", method="POST", path="/files/upload$", times=1
    )
    with pytest.raises(DocumentsRefusedError, match=r"refused 1 files .*too large"):
        line.upload(source=str(source), on_unsupported="fail")


class _Stale(io.RawIOBase):
    def read(self, _size: int = -1) -> bytes:
        raise OSError(116, "Stale file handle")


@pytest.mark.parametrize("what", ["grows", "shrinks", "is stale"])
def test_a_large_file_that_changes_while_it_is_sent_is_named_and_holds_up_no_other(
    line: Line, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    fill(source, {f"{number}.txt": b"document %d" % number for number in range(5)})
    large = source / "large.txt"
    large.write_bytes(b"x" * 5 * MEGABYTE)
    open_file, opened = Storage.open, 0

    def opening(self: Storage, path: str) -> BinaryIO:
        nonlocal opened
        opened += path == "large.txt"
        if opened < 2 or path != "large.txt":  # the first time it is read for its SHA-256
            return open_file(self, path)
        if what == "is stale":
            return cast("BinaryIO", _Stale())
        large.write_bytes(b"y" * (6 if what == "grows" else 4) * MEGABYTE)
        return open_file(self, path)

    monkeypatch.setattr(Storage, "open", opening)
    ids = line.upload(source=str(source), target=str(target), max_concurrency=2)
    assert line.names_in(ids) == [f"{number}.txt" for number in range(5)]
    line.process(ids)
    line.save(target)
    row = rows_of(target)["large.txt"]
    assert (row.status, "large.txt cannot be sent" in (row.error or "")) == ("NO_JOB", True)


def test_a_storage_that_fails_while_pages_are_counted_does_not_open_the_budget(
    line: Line, source: Path, monkeypatch: pytest.MonkeyPatch, emulator: LlamaCloudEmulator
):
    fill(source, {"a.pdf": b"%PDF-1.4"})

    def failing(_self: Storage, _path: str) -> BinaryIO:
        raise StorageError("503 SlowDown")

    monkeypatch.setattr(Storage, "open", failing)
    with pytest.raises(StorageError, match="SlowDown"):
        line.upload(source=str(source), max_pages=10)
    assert not emulator.control.counters()["batches_by_directory"]


def test_a_pattern_beside_a_source_that_is_one_is_refused(line: Line, source: Path):
    fill(source, {"a.txt": b"alpha", "b.csv": b"1,2"})
    with pytest.raises(RequestRefusedError, match=r"pattern: '\*\*/\*\.csv' stands beside source="):
        line.upload(source=f"{source}/*", pattern="**/*.csv")
