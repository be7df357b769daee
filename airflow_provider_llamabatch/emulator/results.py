"""What a completed parse job gives, by the names that ``expand`` takes. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.emulator.documents import Document, Page

Json = dict[str, Any]

PAGED = ("text", "markdown", "items", "metadata", "forms")
"""Results that come page by page."""
FULL = ("text_full", "markdown_full")
"""Results that are one string."""
STORED = ("text", "markdown", "items", "metadata")
"""Results that can be downloaded; ``<name>_content_metadata`` describes the download."""
CONTENT_METADATA = tuple(
    f"{name}_content_metadata"
    for name in ("text", "markdown", "items", "metadata", "forms", "raw_words", "xlsx", "output_pdf")
) + tuple(f"{name}_content_metadata" for name in FULL)
RESULTS = frozenset({*PAGED, *FULL, *CONTENT_METADATA, "images_content_metadata"})
"""Everything that exists only once a job has completed."""
ABOUT_THE_JOB = frozenset({"usage", "job_metadata", "raw_parameters"})

_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_A4_POINTS = (595.0, 842.0)


def pages(document: Document, kind: str, failed_pages: tuple[int, ...]) -> Json:
    """Return one of the PAGED results; ``failed_pages`` are shown as pages that could not be parsed."""
    return {
        "pages": list(_pages(document, kind, failed_pages)),
        **({"document": {}} if kind == "metadata" else {}),
    }


def full(document: Document, failed_pages: tuple[int, ...]) -> str:
    """Return the text of all pages that were parsed (text and markdown are the same here)."""
    good = (
        page.text
        for number, page in enumerate(document.pages, 1)
        if _failure(number, page, failed_pages) is None
    )
    return "\n\n".join(good)


def stored(document: Document, kind: str, failed_pages: tuple[int, ...]) -> bytes:
    """Return the bytes of a STORED result, as its download gives them."""
    if kind in {"text", "markdown"}:
        return full(document, failed_pages).encode()
    return json.dumps(pages(document, kind, failed_pages)).encode()


def _pages(document: Document, kind: str, failed_pages: tuple[int, ...]) -> Iterator[Json]:
    for number, page in enumerate(document.pages, 1):
        failure = _failure(number, page, failed_pages)
        if failure is None:
            yield {"page_number": number, **_page(kind, page.text)}
        elif kind in {"markdown", "items", "forms"}:  # the other two have no shape for a failed page
            yield {"page_number": number, "success": False, "error": failure}


def _failure(number: int, page: Page, failed_pages: tuple[int, ...]) -> str | None:
    return "Page could not be parsed" if number in failed_pages else page.error


def _page(kind: str, text: str) -> Json:
    width, height = _A4_POINTS
    if kind == "text":
        return {"text": text}
    if kind == "metadata":
        return {"confidence": 1.0}
    if kind == "forms":
        return {"success": True, "forms": [], "page_width": width, "page_height": height}
    if kind == "items":
        return {"success": True, "items": _items(text), "page_width": width, "page_height": height}
    return {"success": True, "markdown": text, "header": None, "footer": None, "line_numbers": None}


def _items(text: str) -> list[Json]:
    return [_item(block.strip()) for block in re.split(r"\n\s*\n", text) if block.strip()]


def _item(block: str) -> Json:
    heading = _HEADING.fullmatch(block)
    if heading:
        return {"type": "heading", "level": len(heading[1]), "value": heading[2], "md": block}
    return {"type": "text", "value": block, "md": block}
