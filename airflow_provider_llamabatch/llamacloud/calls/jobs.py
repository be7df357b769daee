"""The jobs that a batch makes: ``/api/v2/parse`` and ``/api/v2/extract``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_llamabatch.defaults import (
    MAX_EXTRACT_STATUS_BYTES,
    MAX_STATUS_BYTES,
    MAX_STATUS_PAGE_BYTES,
)
from airflow_provider_llamabatch.llamacloud import models
from airflow_provider_llamabatch.llamacloud.call import Call, checked_id, scoped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_PARSE = "/api/v2/parse"
_EXTRACT = "/api/v2/extract"


def list_parse_jobs(
    *,
    job_ids: Sequence[str] | None = None,
    status: str | None = None,
    created_at_on_or_after: datetime | str | None = None,
    created_at_on_or_before: datetime | str | None = None,
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Page[models.ParseJob]]:
    """List parse jobs, without their results."""
    query = scoped(
        project_id,
        organization_id,
        created_at_on_or_after=created_at_on_or_after,
        created_at_on_or_before=created_at_on_or_before,
        job_ids=job_ids,
        page_size=page_size,
        status=status,
    )
    return Call("GET", _PARSE, models.Page[models.ParseJob], query)


def list_parse_job_statuses(
    *,
    job_ids: Sequence[str],
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.JobStatusPage]:
    """List the parse jobs with these ids, reading only id, status and error message; malformed rows are left out."""
    query = scoped(project_id, organization_id, job_ids=_checked_ids(job_ids), page_size=page_size)
    return Call("GET", _PARSE, models.JobStatusPage, query, max_bytes=MAX_STATUS_PAGE_BYTES)


def get_parse_job(
    job_id: str,
    *,
    expand: Sequence[str] | None = None,
    image_filenames: str | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.ParseResult]:
    """Get one parse job with the parts named by ``expand`` (``markdown``, ``text``, ``items``, ``usage``, ...)."""
    query = scoped(project_id, organization_id, expand=expand, image_filenames=image_filenames)
    return Call("GET", _parse_path(job_id), models.ParseResult, query, expected_id=job_id)


def get_parse_job_status(
    job_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[models.ParseJobStatus]:
    """Get one parse job, reading only its id, its status and its error message."""
    path, query = _parse_path(job_id), scoped(project_id, organization_id)
    return Call("GET", path, models.ParseJobStatus, query, expected_id=job_id, max_bytes=MAX_STATUS_BYTES)


def cancel_parse_job(
    job_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[models.ParseJob]:
    """Cancel a parse job; one that has ended is refused."""
    path, query = f"{_parse_path(job_id)}/cancel", scoped(project_id, organization_id)
    return Call("POST", path, models.ParseJob, query, expected_id=job_id)


def delete_parse_job(
    job_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[None]:
    """Delete a parse job that has ended, with its result."""
    return Call("DELETE", _parse_path(job_id), None, scoped(project_id, organization_id))


def list_extract_jobs(
    *,
    job_ids: Sequence[str] | None = None,
    status: str | None = None,
    configuration_id: str | None = None,
    file_input: str | None = None,
    document_input_type: str | None = None,
    document_input_value: str | None = None,
    expand: Sequence[str] | None = None,
    created_at_on_or_after: datetime | str | None = None,
    created_at_on_or_before: datetime | str | None = None,
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Page[models.ExtractJob]]:
    """List extract jobs, newest first."""
    query = scoped(
        project_id,
        organization_id,
        configuration_id=configuration_id,
        created_at_on_or_after=created_at_on_or_after,
        created_at_on_or_before=created_at_on_or_before,
        document_input_type=document_input_type,
        document_input_value=document_input_value,
        expand=expand,
        file_input=file_input,
        job_ids=job_ids,
        page_size=page_size,
        status=status,
    )
    return Call("GET", _EXTRACT, models.Page[models.ExtractJob], query)


def list_extract_job_statuses(
    *,
    job_ids: Sequence[str],
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.JobStatusPage]:
    """
    List the extract jobs with these ids, reading only id, status and error message; malformed rows are left out.

    A page brings the results of what has ended along: one that is too long for that is refused.
    """
    query = scoped(project_id, organization_id, job_ids=_checked_ids(job_ids), page_size=page_size)
    return Call("GET", _EXTRACT, models.JobStatusPage, query, max_bytes=MAX_STATUS_PAGE_BYTES)


def get_extract_job(
    job_id: str,
    *,
    expand: Sequence[str] | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.ExtractJob]:
    """Get one extract job with its result; ``expand`` may hold ``usage``, ``extract_metadata``, ``configuration``."""
    query = scoped(project_id, organization_id, expand=expand)
    return Call("GET", _extract_path(job_id), models.ExtractJob, query, expected_id=job_id)


def get_extract_job_status(
    job_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[models.JobStatusRow]:
    """Get one extract job, reading only its id, its status and its error message; its result is passed over."""
    path, query = _extract_path(job_id), scoped(project_id, organization_id)
    return Call(
        "GET", path, models.JobStatusRow, query, expected_id=job_id, max_bytes=MAX_EXTRACT_STATUS_BYTES
    )


def cancel_extract_job(
    job_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[models.ExtractJob]:
    """Cancel an extract job; one that has ended is refused."""
    path, query = f"{_extract_path(job_id)}/cancel", scoped(project_id, organization_id)
    return Call("POST", path, models.ExtractJob, query, expected_id=job_id)


def delete_extract_job(
    job_id: str,
    *,
    force: bool | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[None]:
    """Delete an extract job, with its result; one that has not ended only with ``force``."""
    return Call("DELETE", _extract_path(job_id), None, scoped(project_id, organization_id, force=force))


def _parse_path(job_id: str) -> str:
    return f"{_PARSE}/{checked_id('job_id', job_id)}"


def _extract_path(job_id: str) -> str:
    return f"{_EXTRACT}/{checked_id('job_id', job_id)}"


def _checked_ids(job_ids: Sequence[str]) -> list[str]:
    return [checked_id("job_ids", value) for value in job_ids]
