"""Small uploads that unpack to more than anybody can read: their jobs fail, and nobody waits for them."""

from __future__ import annotations

import io
import re
import threading
from typing import TYPE_CHECKING, Any

import httpx
import openpyxl
import pytest
from PIL import Image

from airflow_provider_llamabatch.emulator.documents import aside, reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator


@pytest.fixture
def http(emulator: LlamaCloudEmulator) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    with httpx.Client(base_url=emulator.url, headers=headers, timeout=60) as plain:
        yield plain


@pytest.fixture
def far_cell() -> bytes:
    """A sheet of two cells at its corners, and nothing in the sixteen thousand millions between them."""
    book, target = openpyxl.Workbook(), io.BytesIO()
    book.active["A1"] = book.active["XFD1048576"] = "x"
    book.save(target)
    return target.getvalue()


@pytest.fixture
def picture() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (2, 1)).save(target, "png")
    return target.getvalue()


def upload(http: httpx.Client, name: str, content: bytes) -> str:
    form = {"file": (name, content)}
    answer = http.post("/api/v1/beta/files", files=form, data={"purpose": "parse"})
    return str(answer.raise_for_status().json()["id"])


def parsed(emulator: LlamaCloudEmulator, http: httpx.Client, file_id: str) -> dict[str, Any]:
    asked = {"file_id": file_id, "tier": "fast", "version": "latest"}
    job = http.post("/api/v2/parse", json=asked).json()["id"]
    emulator.control.advance(60)
    found: dict[str, Any] = http.get(f"/api/v2/parse/{job}").json()["job"]
    return found


@pytest.mark.timeout(120)
def test_a_document_without_end_fails_and_holds_nobody_up(
    emulator: LlamaCloudEmulator,
    http: httpx.Client,
    far_cell: bytes,
    picture: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aside, "SECONDS", 4.0)
    ids: list[str] = []
    uploading = threading.Thread(target=lambda: ids.append(upload(http, "far.xlsx", far_cell)))
    uploading.start()
    answered = 0
    while uploading.is_alive():
        answered += http.get("/api/v2/batches").status_code == 200
    assert answered > 10
    job = parsed(emulator, http, ids[0])
    assert (job["status"], job["error_message"].partition(":")[0]) == ("FAILED", "DOCUMENT_TOO_LARGE")
    monkeypatch.undo()
    assert parsed(emulator, http, upload(http, "small.png", picture))["status"] == "COMPLETED"


@pytest.mark.timeout(120)
def test_a_small_document_does_not_wait_for_large_ones(http: httpx.Client, picture: bytes) -> None:
    book, target = openpyxl.Workbook(), io.BytesIO()
    book.active["A1"] = "x" * 30_000
    for row in range(2, 60):
        book.active[f"A{row}"] = f"{row}" * 15_000
    book.save(target)
    ids: list[str] = []
    with aside._ROOM, aside._ROOM:  # as while two large ones are read
        large = threading.Thread(target=lambda: ids.append(upload(http, "large.xlsx", target.getvalue())))
        large.start()
        upload(http, "small.png", picture)
        assert ids == []
    large.join()
    assert len(ids) == 1


def test_a_batch_that_takes_long_to_extract_holds_nobody_up(http: httpx.Client) -> None:
    fields = {f"field_{one}": {"anyOf": [{"type": "string"}, {"type": "null"}]} for one in range(1500)}
    schema = {"type": "object", "properties": fields, "required": [*fields]}
    parameters = {"product_type": "extract_v2", "data_schema": schema}
    saved = http.post("/api/v1/beta/configurations", json={"name": "many", "parameters": parameters}).json()
    directory = http.post("/api/v1/beta/directories", json={"name": "many"}).json()["id"]
    for one in range(30):
        form = {"upload_file": (f"{one}.txt", f"Field 1: {one}".encode())}
        http.post(f"/api/v1/beta/directories/{directory}/files/upload", files=form).raise_for_status()
    job = {"type": "extract_v2", "configuration_id": saved["id"]}
    asked = {"source_directory_id": directory, "config": {"job": job}}
    made: list[httpx.Response] = []
    making = threading.Thread(target=lambda: made.append(http.post("/api/v2/batches", json=asked)))
    making.start()
    answered = 0
    while making.is_alive():
        answered += http.get("/api/v2/batches").json()["items"] == []
    assert made[0].status_code == 201
    assert answered > 10


def test_what_takes_more_memory_than_there_may_be_fails(
    tmp_path: Path, far_cell: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "far.xlsx"
    source.write_bytes(far_cell)
    aside.end_all()
    monkeypatch.setattr(aside, "MEMORY_BYTES", 700 * 1024 * 1024)
    found = aside.read(source.name, source, tmp_path / "pages")
    aside.end_all()
    assert re.search(
        "DOCUMENT_TOO_LARGE|MemoryError", str(found.error)
    )  # the converter says it in its own words


def test_a_reader_that_is_gone_is_replaced(tmp_path: Path, picture: bytes) -> None:
    source = tmp_path / "small.png"
    source.write_bytes(picture)
    for _ in range(2):
        found = aside.read(source.name, source, tmp_path / "pages")
        assert (found.pages, found.error) == (1, None)
        aside.end_all()


def test_more_pages_than_can_be_kept_fail(tmp_path: Path) -> None:
    source = tmp_path / "feeds.txt"
    source.write_bytes(b"x\f" * 1_000_000)
    assert str(reading.read(source.name, source).error).startswith("DOCUMENT_TOO_LARGE")
