"""
Reading uploads: PDFs page by page, Office files, HTML, e-mail and tables as markdown, text as it is.

Run as a program, it reads what its stdin names: ``aside.py`` starts it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import zipfile
from collections import Counter
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pypdf import PageObject

PLAIN = frozenset(
    {".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".log"}
    | {".xml", ".tsv", ".json", ".jsonl", ".yaml", ".yml"}
)
CONVERTED = frozenset({".html", ".htm", ".csv", ".docx", ".pptx", ".msg", ".epub", ".ipynb"})
SHEETS = frozenset({".xlsx", ".xls"})
MAILS = frozenset({".eml"})
ZIPPED = frozenset({".docx", ".pptx", ".epub"})
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"})
MAX_BYTES = 50 * 1024 * 1024
"""No more is read of anything but a PDF: it would all have to be in memory at once."""
SMALL_BYTES = 1024 * 1024
MAX_PAGES = 100_000
"""As many as the library for PDFs reads."""
HEADING_SIZE = 1.2
"""Text of a PDF so many times larger than most of it is a heading."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page as text and as markdown; ``error`` is set when it could not be read."""

    text: str
    markdown: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What was read from one upload; ``error`` is the reason why a job over it fails."""

    pages: tuple[Page, ...] = ()
    error: str | None = None

    @property
    def text(self) -> str:
        """The markdown of all pages that could be read."""
        return "\n\n".join(page.markdown for page in self.pages if page.error is None)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a document without its pages; ``failed`` are numbers of pages."""

    pages: int
    failed: tuple[int, ...]
    error: str | None


def is_plain(name: str, path: Path) -> bool:
    """Whether reading an upload takes no more than its size lets expect."""
    return _reader(PurePosixPath(name).suffix.lower(), _head(path)) in {_read_text, None}


def is_small(path: Path) -> bool:
    """Whether an upload is small, also once it is unpacked, by what it says of itself."""
    if path.stat().st_size > SMALL_BYTES:
        return False
    try:
        with zipfile.ZipFile(path) as packed:
            return sum(part.file_size for part in packed.infolist()) <= SMALL_BYTES
    except Exception:  # no zip at all, or a broken one, for which zipfile raises much
        return True


def save(document: Document, target: Path) -> Found:
    """Write the pages of a document to a file."""
    target.write_text(json.dumps([document.error, [astuple(page) for page in document.pages]]))
    failed = tuple(number for number, page in enumerate(document.pages, 1) if page.error)
    return Found(len(document.pages), failed, document.error)


def read(name: str, path: Path) -> Document:
    """Read an upload. Never raises: what cannot be read becomes a document with an error."""
    suffix, head = PurePosixPath(name).suffix.lower(), _head(path)
    if not head.strip() and path.stat().st_size <= len(head):
        return Document(error="NO_DATA_FOUND_IN_FILE: the file is empty")
    reader = _reader(suffix, head)
    if reader is None:
        return Document(
            error=f"UNSUPPORTED_FILE_TYPE: files of type {suffix or 'unknown'!r} cannot be parsed"
        )
    if reader is not _read_pdf and path.stat().st_size > MAX_BYTES:
        return Document(error=f"DOCUMENT_TOO_LARGE: at most {MAX_BYTES} bytes of such a file are read")
    try:
        return reader(name, path)
    except MemoryError:
        return Document(error="DOCUMENT_TOO_LARGE: reading it takes more memory than there is")
    except Exception as error:
        reason = "PDF_IS_BROKEN" if reader is _read_pdf else "NO_DATA_FOUND_IN_FILE"
        # What the library says names a file of the server, which is no file that the client knows.
        return Document(error=f"{reason}: {_line(error).replace(str(path), 'the file')}")


def of_markdown(markdown: str) -> Document:
    """Return a document with this content; a form feed begins a new page."""
    if markdown.count("\f") >= MAX_PAGES:
        return Document(error=f"DOCUMENT_TOO_LARGE: at most {MAX_PAGES} pages are read")
    return _document([_page(page) for page in markdown.split("\f")])


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _reader(suffix: str, head: bytes) -> Callable[[str, Path], Document] | None:
    if suffix == ".pdf" or head.startswith(b"%PDF-"):
        return _read_pdf
    readers = {CONVERTED: _convert, SHEETS: _read_sheets, IMAGES: _read_image, MAILS: _read_mail}
    for suffixes, reader in readers.items():
        if suffix in suffixes:
            return reader
    if suffix in PLAIN or (not suffix and b"\0" not in head):
        return _read_text
    return None


def _read_text(_name: str, path: Path) -> Document:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return of_markdown(text)


def _convert(name: str, path: Path) -> Document:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in ZIPPED and not zipfile.is_zipfile(path):
        raise ValueError("the file is broken")  # markitdown would show its bytes as text
    markdown = _markdown(path, suffix)
    pages = [markdown]
    if suffix == ".pptx":  # a blank slide is a page as well
        pages = re.split(r"(?m)^<!-- Slide number: \d+ -->$", markdown)[1:]
    return _document([_page(page.strip()) for page in pages])


def _markdown(path: Path, suffix: str) -> str:
    # Imported here: it brings a file type detector, half a second and 100 MB that no other file needs.
    from markitdown import MarkItDown, StreamInfo

    with path.open("rb") as file:
        found = MarkItDown(enable_plugins=False).convert_stream(
            file, stream_info=StreamInfo(extension=suffix)
        )
    return found.markdown


def _read_sheets(_name: str, path: Path) -> Document:
    import pandas as pd

    with pd.ExcelFile(path) as book:
        sheets = {
            name: book.parse(name, header=None, dtype=object, na_filter=False).to_numpy().tolist()
            for name in book.sheet_names
            if _is_visible(book.book, name)
        }
    return _document([_page("\n".join([f"## {name}", *_table(rows)])) for name, rows in sheets.items()])


def _is_visible(book: Any, name: str | int) -> bool:
    """Whether a workbook, as either library has read it, shows a sheet."""
    if hasattr(book, "sheet_by_name"):
        return bool(book.sheet_by_name(name).visibility == 0)
    return bool(book[name].sheet_state == "visible")


def _table(rows: list[list[Any]]) -> list[str]:
    """Return the lines of a markdown table whose head is the first row."""
    cells = [[_cell(value) for value in row] for row in rows]
    ruled = [*cells[:1], *(["---"] * len(row) for row in cells[:1]), *cells[1:]]
    return [f"| {' | '.join(row)} |" for row in ruled]


def _cell(value: Any) -> str:
    text = " ".join(str(value).split()).removesuffix(" 00:00:00")  # of a date
    return text.replace("|", "\\|")


def _read_image(name: str, path: Path) -> Document:
    from PIL import Image
    from PIL.ExifTags import TAGS

    with Image.open(path) as image:
        facts: dict[str, Any] = {"Format": image.format, "Width": image.width, "Height": image.height}
        facts["Color mode"] = image.mode
        facts |= {TAGS.get(tag, str(tag)): value for tag, value in image.getexif().items()}
    lines = [f"- {key}: {_line(value)}" for key, value in facts.items()]
    return _document([_page("\n".join([f"![{name}]({name})", "", *lines]))])


def _read_mail(_name: str, path: Path) -> Document:
    import email
    import tempfile
    from email import policy

    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    head = [f"**{key}:** {message[key]}" for key in ("From", "To", "Cc", "Date", "Subject") if message[key]]
    part = message.get_body(("plain", "html"))
    body = part.get_content() if part is not None else ""
    if part is not None and part.get_content_type() == "text/html":
        with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as file:
            file.write(body)
            file.flush()
            body = _markdown(Path(file.name), ".html")
    attached = [f"- Attachment: {one.get_filename()}" for one in message.iter_attachments()]
    return _document([_page("\n".join([*head, "", body.strip(), "", *attached]).strip())])


def _read_pdf(_name: str, path: Path) -> Document:
    from pypdf import PdfReader

    # pypdf reports every oddity of a broken file; the job's error message says what matters.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with path.open("rb") as file:
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            return Document(error="PDF_IS_PROTECTED: the file needs a password")
        return _document([_pdf_page(reader.pages[index]) for index in range(len(reader.pages))])


def _pdf_page(page: PageObject) -> Page:
    sizes: dict[str, float] = {}
    weights: Counter[float] = Counter()

    def visit(text: str, _cm: Any, matrix: list[float], _font: Any, size: float) -> None:
        line, height = text.strip(), round(abs(size * (matrix[3] or matrix[0])), 1)
        if line:
            sizes[line] = height
            weights[height] += len(line)

    try:
        text = _clean(page.extract_text(visitor_text=visit).strip())
    except Exception as error:
        return Page("", "", error=f"Page could not be parsed: {_line(error)}")
    usual = weights.most_common(1)[0][0] if weights else 0.0
    lines = [
        f"\n## {line.strip()}\n" if sizes.get(line.strip(), 0) > usual * HEADING_SIZE else line
        for line in text.splitlines()
    ]
    return Page(text, "\n".join(lines).strip())


def _page(markdown: str) -> Page:
    clean = _clean(markdown)
    return Page(clean, clean)


def _document(pages: list[Page]) -> Document:
    if not any(page.text.strip() or page.error for page in pages):
        return Document(error="NO_DATA_FOUND_IN_FILE: no text was found in the file")
    if sum(len(page.text) for page in pages) > MAX_BYTES:
        return Document(error=f"DOCUMENT_TOO_LARGE: at most {MAX_BYTES} characters of text are kept")
    return Document(tuple(pages))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate could not be sent


def _line(value: Any) -> str:
    text = " ".join(str(value).split()) or type(value).__name__
    return _clean(text if len(text) <= 300 else f"{text[:300]}...")


def _serve(memory: int) -> None:
    """Read what stdin names, one file a line, in no more memory than this, and answer on stdout what was found."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (ImportError, ValueError, OSError):
        pass  # there is no such limit on this system
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print is no answer
        for line in sys.stdin:
            name, source, target = json.loads(line)
            print(json.dumps(astuple(save(read(name, Path(source)), Path(target)))), file=answers, flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
