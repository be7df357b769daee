"""What a completed parse job gives, by the names that ``expand`` takes. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.documents.items import items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_llamabatch.emulator.documents.reading import Page

Json = dict[str, Any]

PAGED = ("text", "markdown", "items", "metadata", "forms")
"""Results that come page by page."""
FULL = ("text_full", "markdown_full")
"""Results that are one string."""
STORED = ("text", "markdown", "items", "metadata")
"""Results that can be downloaded; ``<name>_content_metadata`` describes the download."""
CONTENT_METADATA = tuple(
    f"{name}_content_metadata"
    for name in ("text", "markdown", "items", "metadata", "forms", "raw_words", "xlsx", "output_pdf", *FULL)
)
RESULTS = frozenset({*PAGED, *FULL, *CONTENT_METADATA, "images_content_metadata"})
"""Everything that exists only once a job has completed."""
ABOUT_THE_JOB = frozenset({"usage", "job_metadata", "raw_parameters"})

_A4_POINTS = (595.0, 842.0)
_SHOW_FAILED = frozenset({"markdown", "items", "forms"})
"""The other results have no shape for a failed page."""


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page that a job was asked for; ``error`` when the job could not read it."""

    number: int
    page: Page
    error: str | None


def pages(chosen: Iterable[JobPage], kind: str) -> Json:
    """Return one of the PAGED results."""
    shown = {"pages": list(_pages(chosen, kind))}
    return {**shown, "document": {}} if kind == "metadata" else shown


def full(chosen: Iterable[JobPage], kind: str) -> str:
    """Return the text or the markdown of all pages that were parsed."""
    good = (one.page for one in chosen if one.error is None)
    return "\n\n".join(page.text if kind == "text" else page.markdown for page in good)


def stored(chosen: Iterable[JobPage], kind: str) -> bytes:
    """Return the bytes of a STORED result, as its download gives them."""
    if kind in {"text", "markdown"}:
        return full(chosen, kind).encode()
    return json.dumps(pages(chosen, kind)).encode()


def _pages(chosen: Iterable[JobPage], kind: str) -> Iterator[Json]:
    for one in chosen:
        if one.error is None:
            yield {"page_number": one.number, **_page(kind, one.page)}
        elif kind in _SHOW_FAILED:
            yield {"page_number": one.number, "success": False, "error": one.error}


def _page(kind: str, page: Page) -> Json:
    width, height = _A4_POINTS
    if kind == "text":
        return {"text": page.text}
    if kind == "metadata":
        return {"confidence": 1.0}
    if kind == "forms":
        return {"success": True, "forms": [], "page_width": width, "page_height": height}
    if kind == "items":
        return {"success": True, "items": items(page.markdown), "page_width": width, "page_height": height}
    return {"success": True, "markdown": page.markdown, "header": None, "footer": None, "line_numbers": None}
