"""What a finished job gives: the content of each output, pages, credits, what is wrong. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator

    from airflow_provider_llamabatch.llamacloud.models import ExtractJob, ParseResult

PARSE_OUTPUTS = ("markdown", "text", "items")
RECORDS = "records"
PARQUET = "parquet"
RECORD_FILE = "record_file"
OUTPUTS = (*PARSE_OUTPUTS, RECORDS)
ALL_OUTPUTS = (*OUTPUTS, PARQUET)  # what ``outputs`` may name

MAX_NAMED_PAGES = 5


@dataclass(slots=True)
class JobResult:
    """A job as the manifest shows it. ``contents`` are what is to be written, by output, in UTF-8."""

    status: str
    error: str | None = None
    pages: int | None = None
    pages_failed: int | None = None
    credits: float | None = None
    confidence: float | None = None
    contents: dict[str, bytes] = field(default_factory=dict)


def outputs_for(job_type: str, outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the outputs asked for a job of this type has: extraction gives records and nothing else."""
    if job_type == "extract_v2":
        return (RECORDS,)
    return tuple(output for output in outputs if output in PARSE_OUTPUTS)


def of_parse_job(result: ParseResult, outputs: tuple[str, ...]) -> JobResult:
    """Return what a parse job gave; pages that could not be read are left out of the contents and counted."""
    job = result.job
    found = JobResult(job.status, job.error_message, credits=credits_in(job.usage))
    parts = {"markdown": result.markdown, "text": result.text}
    for output in outputs:
        part = parts.get(output)
        if part is not None:
            good = [getattr(page, output) or "" for page in part.pages if page.success]
            found.contents[output] = "\n\n".join(good).encode()
            bad = [f"page {page.page_number}: {page.error}" for page in part.pages if not page.success]
            _count(found, len(part.pages), bad)
        elif output == "items" and result.items is not None:
            pages = result.items.get("pages") or []
            found.contents[output] = _json(result.items)
            bad = [
                f"page {page.get('page_number')}: {page.get('error')}"
                for page in pages
                if page.get("success") is False
            ]
            _count(found, len(pages), bad)
    return found


def of_extract_job(job: ExtractJob) -> JobResult:
    """Return what an extract job gave: an object, or a list of objects."""
    billed = (job.metadata or {}).get("usage") or {}
    pages = billed.get("num_pages_extracted") if isinstance(billed, dict) else None
    found = JobResult(job.status, job.error_message, pages=pages, credits=credits_in(job.usage))
    found.confidence = min(_confidences((job.extract_metadata or {}).get("field_metadata")), default=None)
    if job.extract_result is not None:
        found.contents[RECORDS] = _json(job.extract_result)
    return found


def _confidences(value: Any) -> Iterator[float]:
    """Give every confidence in the metadata of extracted fields, however deep it lies."""
    if isinstance(value, list):
        for part in value:
            yield from _confidences(part)
    elif isinstance(value, dict):
        score = value.get("confidence")
        if isinstance(score, (int, float)) and not isinstance(score, bool):
            yield float(score)
        for part in value.values():
            yield from _confidences(part)


def credits_in(usage: dict[str, Any] | None) -> float | None:
    """Return the credits that the API reports, None while billing has not recorded them."""
    value = (usage or {}).get("credits")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def records_in(content: bytes, file: str, fields: Collection[str] = ()) -> list[dict[str, Any]]:
    """
    Return the records of one document's written result, each with the document's path under ``file``.

    A field ``file`` of a record's own is called as ``name_beside_file`` says, with the ``fields`` of the schema.
    """
    value = json.loads(content)
    records = value if isinstance(value, list) else [value]
    return [
        {"file": file} | {name_beside_file(name, {*record, *fields}): held for name, held in record.items()}
        for record in records
    ]


def name_beside_file(name: str, names: Container[str]) -> str:
    """Return what a field of a schema is called where ``file`` is the document's path; ``names`` are all its fields."""
    if name != "file":
        return name
    other = RECORD_FILE
    while other in names:
        other += "_"
    return other


def _count(found: JobResult, pages: int, bad: list[str]) -> None:
    found.pages = max(found.pages or 0, pages)
    if found.pages_failed is None or len(bad) > found.pages_failed:
        found.pages_failed = len(bad)
        more = f"; and {len(bad) - MAX_NAMED_PAGES} more" if len(bad) > MAX_NAMED_PAGES else ""
        found.error = ("; ".join(bad[:MAX_NAMED_PAGES]) + more) if bad else found.error


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
