"""Parse and extract jobs: where they stand and what they show. Pure, the time is passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.clock import iso
from airflow_provider_llamabatch.emulator.extraction import fill, named_values, row_values

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.records import Job
    from airflow_provider_llamabatch.emulator.settings import Settings

Json = dict[str, Any]

CREDITS_PER_PAGE = {"fast": 1, "cost_effective": 3, "agentic": 10, "agentic_plus": 45, "turbo": 35}
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


def status(job: Job, now: float) -> str:
    """Say where a job stands."""
    if job.cancelled_at is not None and now >= job.cancelled_at:
        return "CANCELLED"
    if now < job.running_at:
        return "PENDING"
    if now < job.ended_at:
        return "RUNNING"
    return "FAILED" if job.blob.document.error else "COMPLETED"


def cancel(job: Job, at: float) -> None:
    """Stop a job at a moment, unless it has ended by then."""
    if job.ended_at > at and job.cancelled_at is None:
        job.cancelled_at = at


def parse_job_json(job: Job, project_id: str, now: float) -> Json:
    """Show a parse job without its results."""
    return {
        "id": job.id,
        "project_id": project_id,
        "status": status(job, now),
        "error_message": _error(job, now),
        "name": None,
        "tier": tier(job),
        "user_metadata": job.user_metadata,
        "usage": None,
        "created_at": iso(job.created_at),
        "updated_at": iso(_changed_at(job, now)),
    }


def extract_job_json(
    job: Job, project_id: str, now: float, expand: frozenset[str], settings: Settings
) -> Json:
    """Show an extract job with its result, and what is asked for beside it."""
    completed = status(job, now) == "COMPLETED"
    return {
        "id": job.id,
        "project_id": project_id,
        "file_input": job.file_input,
        "status": status(job, now),
        "error_message": _error(job, now),
        "configuration_id": job.configuration_id,
        "configuration": _plain_configuration(job) if "configuration" in expand else None,
        "extract_result": _extracted(job) if completed else None,
        "extract_metadata": _extract_metadata(job) if completed and "extract_metadata" in expand else None,
        "metadata": {"usage": _pages_used(job)} if completed else None,
        "usage": _extract_usage(job, now, settings) if "usage" in expand else None,
        "created_at": iso(job.created_at),
        "updated_at": iso(_changed_at(job, now)),
    }


def credits_billed(job: Job, now: float, settings: Settings) -> float | None:
    """Return what a job cost, None until that has been recorded. Failed and cancelled jobs cost nothing."""
    if status(job, now) not in ENDED or now < job.ended_at + settings.usage_delay_seconds:
        return None
    pages = len(job.blob.document.pages) if status(job, now) == "COMPLETED" else 0
    return float(pages * CREDITS_PER_PAGE.get(tier(job), 1))


def tier(job: Job) -> str:
    """Return the tier a job runs on."""
    return str(job.parameters.get("tier") or "agentic")


def _error(job: Job, now: float) -> str | None:
    return job.blob.document.error if status(job, now) == "FAILED" else None


def _changed_at(job: Job, now: float) -> float:
    word = status(job, now)
    if word == "CANCELLED" and job.cancelled_at is not None:
        return job.cancelled_at
    return {"PENDING": job.created_at, "RUNNING": job.running_at}.get(word, job.ended_at)


def _plain_configuration(job: Job) -> Json:
    return {name: value for name, value in job.parameters.items() if name != "product_type"}


def _extracted(job: Job) -> Json | list[Json]:
    schema = job.parameters.get("data_schema", {})
    document = job.blob.document
    target = job.parameters.get("extraction_target", "per_doc")
    if target == "per_page":
        return [fill(schema, named_values(page.text)) for page in document.pages]
    if target == "per_table_row":
        return [fill(schema, row) for row in row_values(document.text)]
    return fill(schema, named_values(document.text))


def _extract_metadata(job: Job) -> Json:
    found = named_values(job.blob.document.text)
    fields = fill(job.parameters.get("data_schema", {}), found)
    citations = {
        name: {"citation": [], "confidence": 1.0} for name, value in fields.items() if value is not None
    }
    return {
        "field_metadata": {"document_metadata": citations, "page_metadata": None, "row_metadata": None},
        "parse_job_id": None,
        "parse_tier": job.parameters.get("parse_tier") or tier(job),
    }


def _pages_used(job: Job) -> Json:
    pages = len(job.blob.document.pages)
    return {"num_pages_billed": pages, "num_pages_extracted": pages}


def _extract_usage(job: Job, now: float, settings: Settings) -> Json:
    billed = credits_billed(job, now, settings)
    return {"credits": billed, "extract_credits": billed, "parse_credits": None if billed is None else 0.0}
