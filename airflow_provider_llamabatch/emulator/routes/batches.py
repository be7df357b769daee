"""``/api/v2/batches``: create, list, get, cancel."""

import contextlib
from typing import Annotated, Any

from fastapi import HTTPException, Query

from airflow_provider_llamabatch.emulator.models.requests import (
    BatchConfiguration,
    BatchCreate,
    BatchList,
    Words,
)
from airflow_provider_llamabatch.emulator.models.responses import BatchResponse, Page
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, refuse_when, sure
from airflow_provider_llamabatch.emulator.routes.making import check_credits, check_rate, new_job
from airflow_provider_llamabatch.emulator.routes.paging import newest_page
from airflow_provider_llamabatch.emulator.state import batches, jobs
from airflow_provider_llamabatch.emulator.state.clock import iso
from airflow_provider_llamabatch.emulator.state.records import Batch, Configuration, DirectoryFile, Timeline
from airflow_provider_llamabatch.emulator.state.tables import Table
from airflow_provider_llamabatch.emulator.webhooks import forget, targets, targets_of, watch_batch, watch_job

Json = dict[str, Any]

api = Api("/api/v2/batches", "Batches")


def _extract_ahead(request: ApiRequest, body: BatchCreate) -> None:
    """Extract from the files of the batch to be; what is wrong with the request, its handler says."""
    if body.config.job.type != "extract_v2":
        return
    with contextlib.suppress(HTTPException):
        with request.service.lock:
            parameters = _configuration(request, body.config).parameters
            files = _source_files(request, body.source_directory_id)
        request.extractions(parameters).prepare((file.blob, file.display_name) for file in files)


@api.route("POST", "", BatchResponse, status=201, refusals=[402], prepare=_extract_ahead)
def create_batch(request: ApiRequest, body: BatchCreate) -> Json:
    """Create a batch; the same request twice makes two."""
    _check_allowance(request)
    files = _source_files(request, body.source_directory_id)
    configuration = _configuration(request, body.config)
    told = targets(request, body)
    batch = _new_batch(request, body, configuration, files)
    request.project.add_batch(batch)
    watch_batch(request.service, request.project.id, batch, told)
    return _batch_json(request, batch)


@api.route("GET", "", Page[BatchResponse])
def list_batches(request: ApiRequest, query: Annotated[BatchList, Query()]) -> Json:
    """List batches, newest first, without results."""
    now, project = request.now, request.project
    table: Table[Batch] | None = project.batches
    if query.source_directory_id is not None:
        table = project.batches_of.get(query.source_directory_id)

    def keep(batch: Batch) -> bool:
        return query.holds(batch.created_at) and query.status in {None, batches.snapshot(batch, now).status}

    return newest_page(
        table or Table(),
        query,
        request.settings,
        lambda batch: _batch_json(request, batch),
        now=now - request.settings.list_hides_new_batches_seconds,
        keep=keep,
    )


@api.route("GET", "/{batch_id}", BatchResponse)
def get_batch(request: ApiRequest, batch_id: str, expand: Annotated[Words, Query()] = []) -> Json:  # noqa: B006 - FastAPI copies it
    """Show a batch, with ``expand=results`` together with its results."""
    expanded = request.expand(expand, {"results"})
    batch = _batch(request, batch_id)
    shown = _batch_json(request, batch)
    if expanded:
        if batches.snapshot(batch, request.now).ended:
            batch.results_looks += 1
        shown["results"] = batches.results(batch, request.now, request.settings)
    return shown


@api.route("POST", "/{batch_id}/cancel", BatchResponse)
def cancel_batch(request: ApiRequest, batch_id: str) -> Json:
    """Begin to cancel a batch; what happens to its unfinished jobs is a switch."""
    batch = _batch(request, batch_id)
    service, made = request.service, request.project.jobs[batch.job_type]
    service.cancels_asked[batch.id] += 1
    state = batches.snapshot(batch, request.now)
    detail = f"Batch is already {state.status} and cannot be cancelled"
    refuse_when(state.ended, request.settings.terminal_cancel_code, detail)
    never_made = batches.ask_to_cancel(batch, request.now, request.settings)
    for job_id in never_made:
        made.remove(job_id)
    forget(service, never_made)
    if request.settings.cancel_stops_jobs and batch.cancelled_at is not None:
        for job in (made.get(entry.job_id or "") for entry in batch.entries):
            if job is not None:
                jobs.cancel(job, batch.cancelled_at)
    return _batch_json(request, batch)


def _batch(request: ApiRequest, id_: str) -> Batch:
    found = request.project.batches.get(id_)
    if found is not None and request.now < found.created_at + request.settings.new_batch_is_404_seconds:
        found = None
    return sure(found, "Batch", id_)


def _check_allowance(request: ApiRequest) -> None:
    settings = request.settings
    if not settings.plan_allows_batches:
        raise HTTPException(settings.plan_code, "Batches require a Pro or Enterprise plan")
    check_credits(request)
    check_rate(request, "batches", settings.batches_per_minute, 60, "batches per minute")


def _source_files(request: ApiRequest, directory_id: str) -> list[DirectoryFile]:
    settings = request.settings
    directory = request.project.directories.get(directory_id)
    if directory is None or not directory.is_live(request.now):
        raise HTTPException(settings.missing_directory_code, f"Directory {directory_id} not found")
    files = request.project.live_files(directory.id)
    if not files and settings.empty_directory_code is not None:
        raise HTTPException(settings.empty_directory_code, f"Directory {directory_id} contains no files")
    if len(files) > settings.max_files_per_batch:
        detail = f"Directory has {len(files)} files, a batch takes at most {settings.max_files_per_batch}"
        raise HTTPException(settings.too_many_files_code, detail)
    return files


def _configuration(request: ApiRequest, config: BatchConfiguration) -> Configuration:
    asked, settings = config.job, request.settings
    configuration = request.project.configurations.get(asked.configuration_id)
    if configuration is None:
        detail = f"Configuration {asked.configuration_id} not found"
        raise HTTPException(settings.missing_configuration_code, detail)
    detail = f"Configuration {configuration.id} is for {configuration.product_type}, not for {asked.type}"
    refuse_when(configuration.product_type != asked.type, settings.type_mismatch_code, detail)
    return configuration


def _new_batch(
    request: ApiRequest, body: BatchCreate, configuration: Configuration, files: list[DirectoryFile]
) -> Batch:
    service, settings = request.service, request.settings
    timeline = batches.plan(settings, request.now)
    job_type = body.config.job.type
    id_ = service.ids.new("bat")
    batch = Batch(id_, service.order(), body.source_directory_id, job_type, configuration.id, timeline)
    for index, file in enumerate(files):
        entry = batches.new_entry(settings, timeline, file.id, file.display_name, index / len(files))
        batch.entries.append(entry)
        if batches.takes_job(settings, entry, file.display_name):
            entry.job_id = _add_job(request, timeline, configuration, file, entry.mapped_at)
    return batch


def _add_job(
    request: ApiRequest,
    timeline: Timeline,
    configuration: Configuration,
    file: DirectoryFile,
    mapped_at: float,
) -> str:
    times = batches.job_times(request.settings, timeline, mapped_at)
    job = new_job(
        request,
        "extract_v2" if configuration.product_type == "extract_v2" else "parse_v2",
        file.blob,
        name=file.display_name,
        file_input=file.id,
        parameters=configuration.parameters,
        configuration_id=configuration.id,
        times=times,
    )
    watch_job(request.service, request.project.id, job, targets_of(request, configuration.parameters))
    return job.id


def _batch_json(request: ApiRequest, batch: Batch) -> Json:
    state, settings = batches.snapshot(batch, request.now), request.settings
    return {
        "id": batch.id,
        "project_id": request.project.id,
        "source_directory_id": batch.directory_id,
        "config": {"job": {"type": batch.job_type, "configuration_id": batch.configuration_id}},
        "status": settings.status_words.get(state.status, state.status),
        "results": None,
        "created_at": iso(batch.created_at),
        "updated_at": iso(state.since),
    }
