"""Pages are counted before anything is sent, whatever the size of the PDFs."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
from pypdf import PdfWriter

from airflow_provider_llamabatch.execution.pages import MAX_IN_MEMORY, pages_by_path
from airflow_provider_llamabatch.storage import Storage

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 5 * MAX_IN_MEMORY


@pytest.fixture
def large(source: Path) -> Path:
    """A folder with PDFs of two pages, most of each an attachment."""
    writer = PdfWriter()
    for _ in range(2):
        writer.add_blank_page(72, 72)
    writer.add_attachment("a.bin", bytes(SIZE))
    for name in ("a.pdf", "b.pdf"):
        writer.write(source / name)
    return source


def test_large_pdfs_are_not_held_in_memory(large: Path):
    storage = Storage(str(large))
    files = storage.files("*")
    tracemalloc.start()
    try:
        pages = pages_by_path(storage, files, threads=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pages == {"a.pdf": 2, "b.pdf": 2}
    assert peak < SIZE


@pytest.mark.parametrize("content", [b"", b"no PDF", b"%PDF-1.7 and nothing more"])
def test_what_is_no_pdf_has_no_pages(source: Path, content: bytes):
    (source / "a.pdf").write_bytes(content)
    storage = Storage(str(source))
    assert pages_by_path(storage, storage.files("*"), threads=1) == {"a.pdf": 0}
