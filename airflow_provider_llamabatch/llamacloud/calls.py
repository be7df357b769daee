"""
Each endpoint as a value: what to send, what comes back, and whether it may be sent twice.

Nothing here does I/O. Paths, parameters and bodies are those of the official Python client ``llama-cloud`` 2.19.0.
A call is sent with ``LlamaBatchHook.send`` (``asend``); a list of pages is walked with ``iterate`` (``aiterate``).
Every id is checked before it enters a path. ``page_size`` and the other options are left to the service unless given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.llamacloud import models
from airflow_provider_llamabatch.llamacloud.call import Call, Upload, checked_id, query_pairs
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

JOB_TYPES = ("parse_v2", "extract_v2")
MOST_WEBHOOK_IDS = 4

_BATCHES = "/api/v2/batches"
_DIRECTORIES = "/api/v1/beta/directories"
_PARSE = "/api/v2/parse"
_EXTRACT = "/api/v2/extract"
_CONFIGURATIONS = "/api/v1/beta/configurations"
_PROJECTS = "/api/v1/projects"


def create_batch(
    *,
    source_directory_id: str,
    configuration_id: str,
    job_type: str = "parse_v2",
    webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
    webhook_configuration_ids: Sequence[str] | None = None,
) -> Call[models.Batch]:
    """Start a batch over every file of a directory (at most 1,000). Not repeatable: each one is a batch and a bill."""
    if job_type not in JOB_TYPES:
        raise InvalidInputError("job_type", f"must be one of {', '.join(JOB_TYPES)}, not {job_type!r}")
    body: dict[str, Any] = {
        "config": {
            "job": {
                "type": job_type,
                "configuration_id": checked_id("configuration_id", configuration_id),
            }
        },
        "source_directory_id": checked_id("source_directory_id", source_directory_id),
    }
    if webhook_configuration_ids is not None:
        ids = [checked_id("webhook_configuration_ids", value) for value in webhook_configuration_ids]
        if len(ids) > MOST_WEBHOOK_IDS:
            raise InvalidInputError(
                "webhook_configuration_ids", f"at most {MOST_WEBHOOK_IDS} are allowed, not {len(ids)}"
            )
        body["webhook_configuration_ids"] = ids
    if webhook_configurations is not None:
        body["webhook_configurations"] = _checked_webhooks(webhook_configurations)
    return Call(
        "POST",
        _BATCHES,
        models.Batch,
        body=body,
        repeatable=False,
        secrets=webhook_secrets(webhook_configurations),
    )


def list_batches(
    *,
    source_directory_id: str | None = None,
    status: str | None = None,
    created_at_on_or_after: datetime | str | None = None,
    created_at_on_or_before: datetime | str | None = None,
    page_size: int | None = None,
) -> Call[models.Page[models.Batch]]:
    """List batches, without their results; both dates are inclusive."""
    if source_directory_id is not None:
        checked_id("source_directory_id", source_directory_id)
    query = {
        "created_at_on_or_after": created_at_on_or_after,
        "created_at_on_or_before": created_at_on_or_before,
        "page_size": page_size,
        "source_directory_id": source_directory_id,
        "status": status,
    }
    return Call("GET", _BATCHES, models.Page[models.Batch], query_pairs(query))


def list_batch_statuses(
    *, created_at_on_or_after: datetime, page_size: int | None
) -> Call[models.BatchStatusPage]:
    """List batches, reading only their ids and statuses: a page of a hundred costs a fraction of a millisecond."""
    query = query_pairs({"created_at_on_or_after": created_at_on_or_after, "page_size": page_size})
    return Call("GET", _BATCHES, models.BatchStatusPage, query)


def get_batch(batch_id: str, *, expand_results: bool = False) -> Call[models.Batch]:
    """Get one batch, with ``expand_results`` its per-file results (null while it runs)."""
    path = f"{_BATCHES}/{checked_id('batch_id', batch_id)}"
    return Call("GET", path, models.Batch, query_pairs({"expand": "results" if expand_results else None}))


def cancel_batch(batch_id: str) -> Call[models.Batch]:
    """Ask for a batch to be cancelled; CANCELLED follows once processing has stopped. Finished files stay."""
    return Call("POST", f"{_BATCHES}/{checked_id('batch_id', batch_id)}/cancel", models.Batch)


def create_directory(
    *, name: str, type: str | None = None, description: str | None = None
) -> Call[models.Directory]:
    """Create a directory: ``user`` (kept) or ``ephemeral`` (cleaned up by the service)."""
    given = {"name": name, "type": type, "description": description}
    body = {key: value for key, value in given.items() if value is not None}
    return Call("POST", _DIRECTORIES, models.Directory, body=body, repeatable=False)


def list_directories(
    *,
    name: str | None = None,
    type: str | None = None,
    types: Sequence[str] | None = None,
    include_deleted: bool | None = None,
    page_size: int | None = None,
) -> Call[models.Page[models.Directory]]:
    """List directories."""
    query = {
        "include_deleted": include_deleted,
        "name": name,
        "page_size": page_size,
        "type": type,
        "types": types,
    }
    return Call("GET", _DIRECTORIES, models.Page[models.Directory], query_pairs(query))


def get_directory(directory_id: str) -> Call[models.Directory]:
    """Get one directory."""
    return Call("GET", _directory(directory_id), models.Directory)


def delete_directory(directory_id: str) -> Call[None]:
    """Delete a directory for good."""
    return Call("DELETE", _directory(directory_id), None)


def upload_directory_file(
    directory_id: str,
    file: Path | str | bytes,
    *,
    display_name: str | None = None,
    unique_id: str | None = None,
    external_file_id: str | None = None,
    metadata: str | None = None,
) -> Call[models.DirectoryFile]:
    """
    Upload a file, read from a path or given as bytes (then ``display_name`` names it), into a directory.

    ``metadata`` is a JSON object as a string. Not repeatable: what a second upload of a file does is not documented.
    """
    given = {
        "display_name": display_name,
        "external_file_id": external_file_id,
        "metadata": metadata,
        "unique_id": unique_id,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    if isinstance(file, bytes):
        if not display_name:
            raise InvalidInputError("display_name", "is needed when the file is given as bytes")
        upload = Upload(display_name, file, fields)
    else:
        upload = Upload(Path(file).name, Path(file).read_bytes(), fields)
    path = f"{_directory(directory_id)}/files/upload"
    return Call("POST", path, models.DirectoryFile, upload=upload, repeatable=False)


def list_directory_files(
    directory_id: str,
    *,
    display_name: str | None = None,
    display_name_contains: str | None = None,
    unique_id: str | None = None,
    file_id: str | None = None,
    include_deleted: bool | None = None,
    expand: Sequence[str] | None = None,
    updated_at_on_or_after: datetime | str | None = None,
    updated_at_on_or_before: datetime | str | None = None,
    page_size: int | None = None,
) -> Call[models.Page[models.DirectoryFile]]:
    """List the files of a directory; ``expand`` may hold ``download_url``."""
    query = {
        "display_name": display_name,
        "display_name_contains": display_name_contains,
        "expand": expand,
        "file_id": file_id,
        "include_deleted": include_deleted,
        "page_size": page_size,
        "unique_id": unique_id,
        "updated_at_on_or_after": updated_at_on_or_after,
        "updated_at_on_or_before": updated_at_on_or_before,
    }
    path = f"{_directory(directory_id)}/files"
    return Call("GET", path, models.Page[models.DirectoryFile], query_pairs(query))


def get_directory_file(
    directory_id: str, directory_file_id: str, *, expand: Sequence[str] | None = None
) -> Call[models.DirectoryFile]:
    """Get one file of a directory."""
    path = f"{_directory(directory_id)}/files/{checked_id('directory_file_id', directory_file_id)}"
    return Call("GET", path, models.DirectoryFile, query_pairs({"expand": expand}))


def delete_directory_file(directory_id: str, directory_file_id: str) -> Call[None]:
    """Delete one file of a directory."""
    path = f"{_directory(directory_id)}/files/{checked_id('directory_file_id', directory_file_id)}"
    return Call("DELETE", path, None)


def list_parse_jobs(
    *,
    job_ids: Sequence[str] | None = None,
    status: str | None = None,
    created_at_on_or_after: datetime | str | None = None,
    created_at_on_or_before: datetime | str | None = None,
    page_size: int | None = None,
) -> Call[models.Page[models.ParseJob]]:
    """List parse jobs, without their results."""
    query = {
        "created_at_on_or_after": created_at_on_or_after,
        "created_at_on_or_before": created_at_on_or_before,
        "job_ids": job_ids,
        "page_size": page_size,
        "status": status,
    }
    return Call("GET", _PARSE, models.Page[models.ParseJob], query_pairs(query))


def get_parse_job(
    job_id: str, *, expand: Sequence[str] | None = None, image_filenames: str | None = None
) -> Call[models.ParseResult]:
    """Get one parse job with the parts named by ``expand`` (``markdown``, ``text``, ``items``, ...)."""
    query = query_pairs({"expand": expand, "image_filenames": image_filenames})
    return Call("GET", f"{_PARSE}/{checked_id('job_id', job_id)}", models.ParseResult, query)


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
) -> Call[models.Page[models.ExtractJob]]:
    """List extract jobs, newest first."""
    query = {
        "configuration_id": configuration_id,
        "created_at_on_or_after": created_at_on_or_after,
        "created_at_on_or_before": created_at_on_or_before,
        "document_input_type": document_input_type,
        "document_input_value": document_input_value,
        "expand": expand,
        "file_input": file_input,
        "job_ids": job_ids,
        "page_size": page_size,
        "status": status,
    }
    return Call("GET", _EXTRACT, models.Page[models.ExtractJob], query_pairs(query))


def get_extract_job(job_id: str, *, expand: Sequence[str] | None = None) -> Call[models.ExtractJob]:
    """Get one extract job with its result."""
    path = f"{_EXTRACT}/{checked_id('job_id', job_id)}"
    return Call("GET", path, models.ExtractJob, query_pairs({"expand": expand}))


def list_configurations(
    *,
    name: str | None = None,
    product_type: str | Sequence[str] | None = None,
    latest_only: bool | None = None,
    page_size: int | None = None,
) -> Call[models.Page[models.Configuration]]:
    """List saved configurations."""
    query = {
        "latest_only": latest_only,
        "name": name,
        "page_size": page_size,
        "product_type": product_type,
    }
    return Call("GET", _CONFIGURATIONS, models.Page[models.Configuration], query_pairs(query))


def get_configuration(configuration_id: str) -> Call[models.Configuration]:
    """Get one saved configuration."""
    path = f"{_CONFIGURATIONS}/{checked_id('configuration_id', configuration_id)}"
    return Call("GET", path, models.Configuration)


def list_projects(*, project_name: str | None = None) -> Call[list[models.Project]]:
    """List the projects that the key sees (not paged)."""
    query = query_pairs({"project_name": project_name})
    return Call("GET", _PROJECTS, list[models.Project], query, scope=("organization_id",))


def webhook_secrets(webhooks: Sequence[Mapping[str, Any]] | None) -> tuple[str, ...]:
    """Return what must never be shown of webhook configurations: signing secrets and header values."""
    found: list[str] = []
    for webhook in webhooks or ():
        if isinstance(webhook, dict):
            headers = webhook.get("webhook_headers")
            values = [
                webhook.get("webhook_signing_secret"),
                *(headers.values() if isinstance(headers, dict) else ()),
            ]
            found += [value for value in values if isinstance(value, str) and value]
    return tuple(found)


def _checked_webhooks(webhooks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(webhooks, (str, bytes, dict)) or not all(isinstance(entry, dict) for entry in webhooks):
        raise InvalidInputError(
            "webhook_configurations", "must be a list of dicts such as {'webhook_url': ...}"
        )
    return [dict(webhook) for webhook in webhooks]


def _directory(directory_id: str) -> str:
    return f"{_DIRECTORIES}/{checked_id('directory_id', directory_id)}"
