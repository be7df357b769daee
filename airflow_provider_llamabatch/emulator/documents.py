"""Reading uploads: text formats as they are, PDFs page by page. Pure, apart from pypdf."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import PurePosixPath

from pypdf import PdfReader
from pypdf.errors import PyPdfError

TEXT_SUFFIXES = frozenset(
    {".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".log"}
    | {".html", ".htm", ".xml", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml"}
)


@dataclass(frozen=True, slots=True)
class Page:
    """One page; ``error`` is set when it could not be read."""

    text: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What was read from one upload; ``error`` is the reason why a job over it fails."""

    pages: tuple[Page, ...] = ()
    error: str | None = None

    @property
    def text(self) -> str:
        """The text of all pages."""
        return "\n\n".join(page.text for page in self.pages if page.error is None)


def read(name: str, content: bytes) -> Document:
    """Read an upload. Never raises: what cannot be read becomes a document with an error."""
    if not content.strip():
        return Document(error="NO_DATA_FOUND_IN_FILE: the file is empty")
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".pdf" or content.startswith(b"%PDF-"):
        return _read_pdf(content)
    if suffix in TEXT_SUFFIXES or (not suffix and _is_text(content)):
        return _read_text(content)
    return Document(error=f"UNSUPPORTED_FILE_TYPE: files of type {suffix or 'unknown'!r} cannot be parsed")


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _read_text(content: bytes) -> Document:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return _document([Page(page) for page in text.split("\f")])


def _read_pdf(content: bytes) -> Document:
    # pypdf reports every oddity of a broken file; the job's error message says what matters.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            return Document(error="PDF_IS_PROTECTED: the file needs a password")
        pages = [_pdf_page(reader, index) for index in range(len(reader.pages))]
    except Exception as error:  # a broken file makes pypdf raise nearly anything
        return Document(error=f"PDF_IS_BROKEN: {error or type(error).__name__}")
    return _document(pages)


def _pdf_page(reader: PdfReader, index: int) -> Page:
    try:
        return Page(reader.pages[index].extract_text().strip())
    except (PyPdfError, ValueError, KeyError, TypeError, IndexError) as error:
        return Page("", error=f"Page could not be parsed: {error}")


def _document(pages: list[Page]) -> Document:
    if not any(page.text.strip() for page in pages):
        return Document(error="NO_DATA_FOUND_IN_FILE: no text was found in the file")
    return Document(tuple(pages))
