"""Reading uploads: PDFs page by page, Office files, HTML, e-mail and tables as markdown, text as it is."""

from __future__ import annotations

import logging
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pypdf import PageObject

PLAIN = frozenset(
    {".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".log"}
    | {".xml", ".tsv", ".json", ".jsonl", ".yaml", ".yml"}
)
CONVERTED = frozenset({".html", ".htm", ".csv", ".docx", ".pptx", ".xlsx", ".xls", ".msg", ".epub", ".ipynb"})
ZIPPED = frozenset({".docx", ".pptx", ".xlsx", ".epub"})
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"})
MAX_BYTES = 50 * 1024 * 1024
"""No more is read of anything but a PDF: it would all have to be in memory at once."""
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


def read(name: str, path: Path) -> Document:
    """Read an upload. Never raises: what cannot be read becomes a document with an error."""
    suffix = PurePosixPath(name).suffix.lower()
    with path.open("rb") as file:
        head = file.read(4096)
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
    except Exception as error:
        reason = "PDF_IS_BROKEN" if reader is _read_pdf else "NO_DATA_FOUND_IN_FILE"
        return Document(error=f"{reason}: {_line(error)}")


def of_markdown(markdown: str) -> Document:
    """Return a document with this content; a form feed begins a new page."""
    return _document([_page(page) for page in markdown.split("\f")])


def _reader(suffix: str, head: bytes) -> Callable[[str, Path], Document] | None:
    if suffix == ".pdf" or head.startswith(b"%PDF-"):
        return _read_pdf
    if suffix in CONVERTED:
        return _convert
    if suffix in IMAGES:
        return _read_image
    if suffix == ".eml":
        return _read_mail
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
    if name.lower().endswith(".pptx"):
        pages = re.split(r"<!-- Slide number: \d+ -->\n?", markdown)[1:]
    elif name.lower().endswith((".xlsx", ".xls")):
        pages = re.split(r"(?m)^(?=## )", markdown)
    else:
        pages = [markdown]
    return _document([_page(page.strip()) for page in pages if page.strip()])


def _markdown(path: Path, suffix: str) -> str:
    # Imported here: it brings a file type detector, half a second and 100 MB that no other file needs.
    from markitdown import MarkItDown, StreamInfo

    with path.open("rb") as file:
        found = MarkItDown(enable_plugins=False).convert_stream(
            file, stream_info=StreamInfo(extension=suffix)
        )
    return found.markdown


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
    from pathlib import Path as FilePath

    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    head = [f"**{key}:** {message[key]}" for key in ("From", "To", "Cc", "Date", "Subject") if message[key]]
    part = message.get_body(("plain", "html"))
    body = part.get_content() if part is not None else ""
    if part is not None and part.get_content_type() == "text/html":
        with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as file:
            file.write(body)
            file.flush()
            body = _markdown(FilePath(file.name), ".html")
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
    return Document(tuple(pages))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate could not be sent


def _line(value: Any) -> str:
    text = " ".join(str(value).split()) or type(value).__name__
    return _clean(text if len(text) <= 300 else f"{text[:300]}...")
