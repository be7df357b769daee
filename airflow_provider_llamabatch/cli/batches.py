"""``airflow llamabatch list``, ``show`` and ``cancel``."""

from __future__ import annotations

import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.cli.console import command, connected, show, show_document
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, NotFoundError
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.models import Batch, BatchResult, ExtractJob, ParseResult
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

_AGO = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@command
def list_batches(options: Namespace) -> int:
    """Print the batches that match."""
    with connected(options) as (hook, scope):
        listed = hook.list_batches(
            source_directory_id=options.directory,
            status=options.status,
            created_at_on_or_after=options.since,
            **scope,
        )
        show([_row_of(batch) for batch in islice(listed, options.limit)], options.output)
    return 0


@command
def show_batch(options: Namespace) -> int:
    """Print a batch and what became of each of its files."""
    with connected(options) as (hook, scope):
        batch = hook.get_batch(options.batch_id, expand_results=True, **scope)
        files = _files(hook, batch, scope, with_usage=not options.without_usage)
    ended = batch.updated_at.isoformat(timespec="seconds") if batch.is_terminal and batch.updated_at else None
    whole = _row_of(batch) | {"ended_at": ended, "project": batch.project_id} | _totals(files)
    if batch.results is None:
        whole["files"] = None  # nobody has told yet
    if options.output in ("json", "yaml"):
        show_document({"batch": whole, "files": files}, options.output)
    else:
        whole["jobs"] = ", ".join(f"{count} {status}" for status, count in whole["jobs"].items())
        show([{"batch": name, "": value} for name, value in whole.items()], options.output)
        print()
        if files:
            show(files, options.output)
        if not batch.is_terminal:
            print("The batch still runs; what became of each file is known once it has ended.")
    return int(
        batch.status in FAILED_STATUSES
        or any(file["error"] or file["status"] in FAILED_STATUSES for file in files)
    )


@command
def cancel_batch(options: Namespace) -> int:
    """Cancel a batch, once a person has said so."""
    with connected(options) as (hook, scope):
        batch = hook.get_batch(options.batch_id, **scope)
        if batch.is_terminal:
            print(f"Batch {batch.id} is {batch.status} already; there is nothing to cancel.")
            return 0
        if not options.yes and not _confirmed(batch):
            print(f"Batch {batch.id} was left alone.")
            return 1
        batch = hook.cancel_batch(batch.id, **scope)
    print(f"Batch {batch.id} is {batch.status}; it is CANCELLED once processing has stopped.")
    return 0


def since(text: str, now: datetime) -> datetime:
    """Read ``--since``: an ISO 8601 time, UTC where it has no zone, or how long ago (``90m``, ``24h``, ``7d``)."""
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        time = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise InvalidInputError(
            "--since",
            f"must be an ISO 8601 time such as 2026-01-31T06:00, or 90m, 24h or 7d, not {text!r:.100}",
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _confirmed(batch: Batch) -> bool:
    if not sys.stdin.isatty():
        raise InvalidInputError("--yes", "is needed where nobody can be asked")
    try:
        asked = input(f"Cancel batch {batch.id} over {batch.source_directory_id} ({batch.status})? [y/N] ")
    except EOFError:  # Ctrl-D
        print()
        return False
    return asked.strip().lower() in ("y", "yes")


def _row_of(batch: Batch) -> dict[str, Any]:
    job = batch.config.job if batch.config else None
    return {
        "id": batch.id,
        "status": batch.status,
        "directory": batch.source_directory_id,
        "job_type": job and job.type,
        "configuration": job and job.configuration_id,
        "created_at": batch.created_at and batch.created_at.isoformat(timespec="seconds"),
    }


def _totals(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Count what the files' rows hold; what nobody has told is None and not 0."""

    def total(name: str) -> float | None:
        known = [file[name] for file in files if file[name] is not None]
        return sum(known) if known else None

    statuses = Counter(file["status"] or ("unknown" if file["job"] else "without a job") for file in files)
    return {
        "files": len(files),
        "jobs": dict(statuses.most_common()),
        "pages": total("pages"),
        "credits": total("credits"),
    }


def _files(
    hook: LlamaBatchHook, batch: Batch, scope: dict[str, Any], *, with_usage: bool
) -> list[dict[str, Any]]:
    results = batch.results or []
    if not results:
        return []
    names = _names(hook, batch.source_directory_id, scope)
    jobs = _usages(hook, results, scope) if with_usage else _statuses(hook, results, scope)
    rows = [
        {
            "file": names.get(result.source_directory_file_id, result.source_directory_file_id),
            "job": result.job_reference and result.job_reference.id,
            "status": None,
            "pages": None,
            "credits": None,
            "error": result.error_message,
            **(jobs.get(result.job_reference.id, {}) if result.job_reference else {}),
        }
        for result in results
    ]
    return sorted(rows, key=lambda row: str(row["file"]))


def _names(hook: LlamaBatchHook, directory_id: str | None, scope: dict[str, Any]) -> dict[str, str]:
    """Return what the directory's files are called, nothing where it is gone."""
    from airflow_provider_llamabatch.batches.evidence import unless_gone
    from airflow_provider_llamabatch.defaults import PAGE_SIZE
    from airflow_provider_llamabatch.documents.upload_plan import SOURCE_PATH

    if directory_id is None:
        return {}
    call = calls.list_directory_files(directory_id, page_size=PAGE_SIZE, **scope)
    with unless_gone():
        return {
            file.id: str((file.metadata or {}).get(SOURCE_PATH) or file.display_name or file.id)
            for file in hook.iterate(call)
        }
    return {}


def _statuses(
    hook: LlamaBatchHook, results: Iterable[BatchResult], scope: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Ask for the jobs' statuses, a hundred at once."""
    from airflow_provider_llamabatch.batches.jobs import Jobs
    from airflow_provider_llamabatch.polling import sources

    found: dict[str, dict[str, Any]] = {}
    references = [result.model_dump() for result in results if result.job_reference]
    for job_type, ids in Jobs(references).requests():
        source = sources.Jobs(job_type, **scope)
        for row in hook.send(source.bulk(sources.Query(keys=tuple(ids)), len(ids))).items:
            found[row.id] = {"status": row.status, "error": row.error_message}
    return found


def _usages(
    hook: LlamaBatchHook, results: Iterable[BatchResult], scope: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Ask for each job, with its pages and credits, several at once."""
    from airflow_provider_llamabatch.configuration import max_concurrency
    from airflow_provider_llamabatch.execution.concurrency import for_each, run, settings_for
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

    settings, limit = settings_for(hook, scope["project_id"], scope["organization_id"]), max_concurrency()
    found: dict[str, dict[str, Any]] = {}

    async def work() -> None:
        async with AsyncClient(settings, max_connections=limit) as client:

            async def one(result: BatchResult) -> None:
                job = result.job_reference
                if job is None:
                    return
                try:
                    if job.type == "extract_v2":
                        extract = await client.send(calls.get_extract_job(job.id, expand=("usage",)))
                        found[job.id] = _of_extract_job(extract)
                    else:
                        found[job.id] = _of_parse_job(await _parse_job(client, job.id))
                except NotFoundError as error:
                    found[job.id] = {"error": str(error)}

            await for_each(results, one, limit=limit)

    run(work(), threads=1)
    return found


async def _parse_job(client: AsyncClient, job_id: str) -> ParseResult:
    """Get a job; one without results, as it still runs or they have expired, may be a 404 where they are asked for."""
    try:
        return await client.send(calls.get_parse_job(job_id, expand=("metadata", "usage")))
    except NotFoundError:
        return await client.send(calls.get_parse_job(job_id, expand=("usage",)))


def _of_parse_job(result: ParseResult) -> dict[str, Any]:
    from airflow_provider_llamabatch.documents.results import credits_in

    pages = (result.metadata or {}).get("pages")
    return {
        "status": result.job.status,
        "pages": len(pages) if isinstance(pages, list) and pages else None,
        "credits": credits_in(result.job.usage),
        "error": result.job.error_message,
    }


def _of_extract_job(job: ExtractJob) -> dict[str, Any]:
    from airflow_provider_llamabatch.documents.results import of_extract_job

    found = of_extract_job(job)
    return {"status": found.status, "pages": found.pages, "credits": found.credits, "error": found.error}
