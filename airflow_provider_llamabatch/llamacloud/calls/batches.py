"""Batches: ``/api/v2/batches``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_llamabatch.defaults import (
    MAX_STATUS_BYTES,
    MAX_STATUS_PAGE_BYTES,
    MAX_WEBHOOK_IDS,
)
from airflow_provider_llamabatch.llamacloud import models
from airflow_provider_llamabatch.llamacloud.call import Call, check_job_type, checked_id, scoped
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_BATCHES = "/api/v2/batches"
MIN_URL_SECRET = 8  # characters; shorter words of a webhook's URL would be redacted wherever they stand
_ADVICE = (
    "A batch takes a directory with 1 to 1,000 files and a configuration of its own job type. Upload files first, or "
    "spread more over several directories, as UploadDirectoryOperator does."
)


def create_batch(
    *,
    source_directory_id: str,
    configuration_id: str,
    job_type: str = "parse_v2",
    webhook_configurations: Sequence[Mapping[str, Any]] | None = None,
    webhook_configuration_ids: Sequence[str] | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Batch]:
    """Start a batch over every file of a directory (at most 1,000). Not repeatable: each one is a batch and a bill."""
    try:
        query = scoped(project_id, organization_id)
        body = _body(
            source_directory_id, configuration_id, job_type, webhook_configurations, webhook_configuration_ids
        )
    except InvalidInputError as error:
        problem = error.with_traceback(None)
    else:
        secrets = webhook_secrets(webhook_configurations)
        return Call(
            "POST",
            _BATCHES,
            models.PlainBatch,
            query,
            body=body,
            repeatable=False,
            secrets=secrets,
            advice=_ADVICE,
        )
    del webhook_configurations  # a traceback that shows local variables must not show its secrets
    raise problem


def _body(
    source_directory_id: str,
    configuration_id: str,
    job_type: str,
    webhook_configurations: Sequence[Mapping[str, Any]] | None,
    webhook_configuration_ids: Sequence[str] | None,
) -> dict[str, Any]:
    check_job_type(job_type)
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
        if not isinstance(webhook_configuration_ids, (list, tuple)):
            raise InvalidInputError(
                "webhook_configuration_ids", f"must be a list of ids, not {webhook_configuration_ids!r:.100}"
            )
        ids = [checked_id("webhook_configuration_ids", value) for value in webhook_configuration_ids]
        if len(ids) > MAX_WEBHOOK_IDS:
            raise InvalidInputError(
                "webhook_configuration_ids", f"at most {MAX_WEBHOOK_IDS} are allowed, not {len(ids)}"
            )
        body["webhook_configuration_ids"] = ids
    if webhook_configurations is not None:
        body["webhook_configurations"] = _checked_webhooks(webhook_configurations)
    return body


def list_batches(
    *,
    source_directory_id: str | None = None,
    status: str | None = None,
    created_at_on_or_after: datetime | str | None = None,
    created_at_on_or_before: datetime | str | None = None,
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Page[models.Batch]]:
    """List batches, without their results; both dates are inclusive."""
    if source_directory_id is not None:
        checked_id("source_directory_id", source_directory_id)
    query = scoped(
        project_id,
        organization_id,
        created_at_on_or_after=created_at_on_or_after,
        created_at_on_or_before=created_at_on_or_before,
        page_size=page_size,
        source_directory_id=source_directory_id,
        status=status,
    )
    return Call("GET", _BATCHES, models.Page[models.PlainBatch], query, max_bytes=MAX_STATUS_PAGE_BYTES)


def list_batch_statuses(
    *,
    status: str | None = None,
    created_at_on_or_after: datetime | str | None = None,
    created_at_on_or_before: datetime | str | None = None,
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.BatchStatusPage]:
    """
    List batches, reading only ids, statuses and when they were made.

    A page of a hundred costs a fraction of a millisecond. A malformed row is left out.
    """
    query = scoped(
        project_id,
        organization_id,
        created_at_on_or_after=created_at_on_or_after,
        created_at_on_or_before=created_at_on_or_before,
        page_size=page_size,
        status=status,
    )
    return Call("GET", _BATCHES, models.BatchStatusPage, query, max_bytes=MAX_STATUS_PAGE_BYTES)


def list_directory_batches(
    *,
    source_directory_id: str | None = None,
    created_at_on_or_after: datetime | str | None = None,
    page_size: int | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.DirectoryBatchPage]:
    """List batches as ``list_batch_statuses`` does, and read the directory of each; of one directory where given."""
    call = list_batch_statuses(
        created_at_on_or_after=created_at_on_or_after,
        page_size=page_size,
        project_id=project_id,
        organization_id=organization_id,
    )
    if source_directory_id is not None:
        call = call.with_query(source_directory_id=checked_id("source_directory_id", source_directory_id))
    return replace(call, response=models.DirectoryBatchPage)  # type: ignore[return-value]  # another kind of page


def get_batch(
    batch_id: str,
    *,
    expand_results: bool = False,
    project_id: str | None = None,
    organization_id: str | None = None,
) -> Call[models.Batch]:
    """Get one batch, with ``expand_results`` its per-file results (null while it runs)."""
    path = f"{_BATCHES}/{checked_id('batch_id', batch_id)}"
    query = scoped(project_id, organization_id, expand="results" if expand_results else None)
    response = models.Batch if expand_results else models.PlainBatch
    return Call("GET", path, response, query, expected_id=batch_id)


def get_batch_status(
    batch_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[models.BatchStatusRow]:
    """Get one batch, reading only its id, its status and when it was made."""
    path = f"{_BATCHES}/{checked_id('batch_id', batch_id)}"
    query = scoped(project_id, organization_id)
    return Call("GET", path, models.BatchStatusRow, query, expected_id=batch_id, max_bytes=MAX_STATUS_BYTES)


def cancel_batch(
    batch_id: str, *, project_id: str | None = None, organization_id: str | None = None
) -> Call[models.Batch]:
    """Ask for a batch to be cancelled; CANCELLED follows once processing has stopped. Finished files stay."""
    path = f"{_BATCHES}/{checked_id('batch_id', batch_id)}/cancel"
    return Call("POST", path, models.PlainBatch, scoped(project_id, organization_id), expected_id=batch_id)


def webhook_secrets(webhooks: Sequence[Mapping[str, Any]] | None) -> tuple[str, ...]:
    """Return what must never be shown of webhook configurations: signing secrets, header values, parts of URLs."""
    found: list[str] = []
    for webhook in webhooks if isinstance(webhooks, (list, tuple)) else [webhooks]:
        if isinstance(webhook, dict):
            headers = webhook.get("webhook_headers")
            values = [
                webhook.get("webhook_signing_secret"),
                *(headers.values() if isinstance(headers, dict) else ()),
            ]
            # A number is echoed as JSON writes it; a boolean is no secret.
            numbers_too = [str(one) if type(one) in (int, float) else one for one in values]
            found += [value for value in numbers_too if isinstance(value, str) and value]
            found += _secrets_in_url(webhook.get("webhook_url"))
    return tuple(found)


def _secrets_in_url(url: Any) -> list[str]:
    """Return what may be a secret in a URL, as it is written and as it is meant: all but the host and short words."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
    except ValueError:
        return [url]
    behind_host = url.partition(parts.netloc)[2] if parts.netloc else ""
    words = [
        parts.username,
        behind_host,
        *parts.path.split("/"),
        *re.split("[&=]", parts.query),
        parts.fragment,
    ]
    written = [word for word in words if word and len(word) >= MIN_URL_SECRET]
    if parts.password:
        written.append(parts.password)
    return list(dict.fromkeys([*written, *map(unquote, written)]))


def _checked_webhooks(webhooks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    import json

    if not isinstance(webhooks, (list, tuple)) or not all(isinstance(entry, dict) for entry in webhooks):
        kind = type(webhooks).__name__
        raise InvalidInputError(
            "webhook_configurations",
            f"must be a list of dicts such as {{'webhook_url': ...}}, not this {kind}",
        )
    checked = [dict(webhook) for webhook in webhooks]
    try:
        json.dumps(checked, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        problem = "must be plain JSON: dicts with texts as keys, lists, texts, finite numbers, booleans, None"
    else:
        return checked
    raise InvalidInputError("webhook_configurations", problem)
