"""Reading uploads and filling schemas, without a server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from pypdf import PdfWriter

from airflow_provider_llamabatch.emulator.documents.extraction import extract, schema_of
from airflow_provider_llamabatch.emulator.documents.reading import Document, read
from airflow_provider_llamabatch.emulator.documents.values import values

if TYPE_CHECKING:
    from pathlib import Path


def read_bytes(folder: Path, name: str, content: bytes) -> Document:
    path = folder / "upload"
    path.write_bytes(content)
    return read(name, path)


def encrypted_pdf() -> bytes:
    writer, target = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(target)
    return target.getvalue()


def blank_pdf() -> bytes:
    writer, target = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    writer.write(target)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.txt", b"", "NO_DATA_FOUND_IN_FILE"),
        ("blank.md", b" \n\n", "NO_DATA_FOUND_IN_FILE"),
        ("blank.pdf", blank_pdf(), "NO_DATA_FOUND_IN_FILE"),
        ("broken.pdf", b"%PDF-1.7 and then nothing", "PDF_IS_BROKEN"),
        ("no.pdf", b"hello", "PDF_IS_BROKEN"),
        ("locked.pdf", encrypted_pdf(), "PDF_IS_PROTECTED"),
        ("photo.png", b"\x89PNG\r\n", "NO_DATA_FOUND_IN_FILE"),
        ("broken.docx", b"PK", "NO_DATA_FOUND_IN_FILE"),
        ("movie.mp4", b"\x00\x01", "UNSUPPORTED_FILE_TYPE"),
        ("noname", b"\x00\x01\x02", "UNSUPPORTED_FILE_TYPE"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    document = read_bytes(tmp_path, name, content)
    assert document.error is not None
    assert document.error.startswith(f"{reason}: ")
    assert document.pages == ()


@pytest.mark.parametrize(
    ("name", "content", "pages"),
    [
        ("a.txt", b"one\ftwo", ["one", "two"]),
        ("a.json", '\ufeff{"n\u00e4me": 1}'.encode(), ['{"n\u00e4me": 1}']),
        ("old.txt", "caf\u00e9".encode("latin-1"), ["caf\u00e9"]),
        ("upload", b"no suffix", ["no suffix"]),
    ],
)
def test_text_formats_are_taken_as_they_are(
    tmp_path: Path, name: str, content: bytes, pages: list[str]
) -> None:
    assert [page.text for page in read_bytes(tmp_path, name, content).pages] == pages


def test_a_schema_is_filled_from_the_lines_of_a_text() -> None:
    text = "- **Invoice Number**: 2026-118\nTotal: EUR 1,234.50\nItems: 3 boxes\nPaid: yes\nTags: red, green\nIBAN: 1:2"
    schema = {
        "properties": {
            "invoice_number": {"type": "string"},
            "total": {"type": ["number", "null"]},
            "items": {"anyOf": [{"type": "null"}, {"type": "integer"}]},
            "paid": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "account": {"type": "string", "title": "IBAN"},
            "seller": {"type": "object", "properties": {"total": {"type": "number"}}},
            "missing": {"type": "string"},
            "nothing": {"type": ["string", "null"]},
        }
    }
    assert extract(schema, values(text)) == {
        "invoice_number": "2026-118",
        "total": 1234.5,
        "items": 3,
        "paid": True,
        "tags": ["red", "green"],
        "account": "1:2",
        "seller": {"total": 1234.5},
        "nothing": None,
    }


def test_a_generated_schema_can_be_filled_from_its_own_text() -> None:
    text = "Invoice number: 7\nDue date: tomorrow"
    properties = schema_of(text)
    assert extract({"properties": properties}, values(text)) == {
        "invoice_number": "7",
        "due_date": "tomorrow",
    }
