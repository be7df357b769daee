"""``/api/v2/extract``: create, list, get, cancel, delete; validate and generate schemas."""

import contextlib
from typing import Annotated, Any

from fastapi import HTTPException, Query

from airflow_provider_llamabatch.emulator.documents.extracted import field_metadata
from airflow_provider_llamabatch.emulator.documents.extraction import schema_of
from airflow_provider_llamabatch.emulator.documents.schemas import check_schema
from airflow_provider_llamabatch.emulator.models.requests import (
    ExtractCreate,
    ExtractList,
    SchemaGenerate,
    SchemaValidate,
    Words,
)
from airflow_provider_llamabatch.emulator.models.responses import (
    ExtractJobResponse,
    GeneratedConfiguration,
    Page,
    SchemaResponse,
)
from airflow_provider_llamabatch.emulator.routes import making
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, refuse_when
from airflow_provider_llamabatch.emulator.routes.paging import newest_page
from airflow_provider_llamabatch.emulator.state import jobs
from airflow_provider_llamabatch.emulator.state.clock import iso
from airflow_provider_llamabatch.emulator.state.outcomes import pages_of
from airflow_provider_llamabatch.emulator.state.records import Configuration, Job
from airflow_provider_llamabatch.emulator.webhooks import targets, watch_job

Json = dict[str, Any]

EXPANDABLE = frozenset({"configuration", "extract_metadata", "usage"})

api = Api("/api/v2/extract", "Extract")


@api.route("POST", "/schema/validation", SchemaResponse)
def validate_schema(request: ApiRequest, body: SchemaValidate) -> Json:
    """Return the schema when it can be used: a JSON Schema of an object with properties."""
    try:
        return {"data_schema": check_schema(body.data_schema)}
    except ValueError as error:
        raise HTTPException(400, f"data_schema is {error}") from None


@api.route("POST", "/schema/generate", GeneratedConfiguration)
def generate_schema(request: ApiRequest, body: SchemaGenerate) -> Json:
    """Return a configuration to save: the given schema, grown by the ``Name: value`` lines of the file."""
    nothing = not (body.prompt or body.file_id or body.data_schema)
    refuse_when(nothing, 400, "At least one of prompt, file_id and data_schema is required")
    given = body.data_schema or {}
    found: Json = {}
    if body.file_id:
        blob, _ = making.input_of(request, body.file_id)
        found = schema_of(request.service.blobs.document(blob).text)
    schema = {"type": "object", **given, "properties": {**found, **given.get("properties", {})}}
    parameters = {"product_type": "extract_v2", "data_schema": schema}
    return {"name": body.name or "generated", "parameters": parameters}


def _extract_ahead(request: ApiRequest, body: ExtractCreate) -> None:
    """Extract for the job to be; what is wrong with the request, its handler says."""
    with contextlib.suppress(HTTPException):
        with request.service.lock:
            parameters = _parameters(request, body)
            document = making.input_of(request, body.file_input)
        request.extractions(parameters).prepare([document])


@api.route("POST", "", ExtractJobResponse, refusals=[402], prepare=_extract_ahead)
def create_job(request: ApiRequest, body: ExtractCreate) -> Json:
    """Extract from a file or from what a parse job read."""
    parameters = _parameters(request, body)
    blob, name = making.input_of(request, body.file_input)
    making.check_credits(request)
    told = targets(request, body)
    job = making.new_job(
        request,
        "extract_v2",
        blob,
        name=name,
        file_input=body.file_input,
        parameters=parameters,
        configuration_id=body.configuration_id,
    )
    watch_job(request.service, request.project.id, job, told)
    return _job_json(request, job)


@api.route("GET", "", Page[ExtractJobResponse])
def list_jobs(request: ApiRequest, query: Annotated[ExtractList, Query()]) -> Json:
    """List jobs, newest first."""
    expand, now, ids = request.expand(query.expand, EXPANDABLE), request.now, {*query.job_ids}

    def keep(job: Job) -> bool:
        return (
            (not ids or job.id in ids)
            and query.holds(job.created_at)
            and query.configuration_id in {None, job.configuration_id}
            and query.file_input in {None, job.file_input}
            and query.document_input_value in {None, job.file_input}
            and query.document_input_type in {None, _input_type(job)}
            and query.status in {None, jobs.status(job, now)}
        )

    table = request.project.jobs["extract_v2"]
    return newest_page(
        table, query, request.settings, lambda job: _job_json(request, job, expand), now=now, keep=keep
    )


@api.route("GET", "/{job_id}", ExtractJobResponse)
def get_job(request: ApiRequest, job_id: str, expand: Annotated[Words, Query()] = []) -> Json:  # noqa: B006 - FastAPI copies it
    """Show a job with its result."""
    expanded = request.expand(expand, EXPANDABLE)
    return _job_json(request, making.get_job(request, "extract_v2", job_id), expanded)


@api.route("POST", "/{job_id}/cancel", ExtractJobResponse)
def cancel_job(request: ApiRequest, job_id: str) -> Json:
    """Cancel a job at once."""
    return _job_json(request, making.cancel_job(request, "extract_v2", job_id))


@api.route("DELETE", "/{job_id}", refusals=[409])
def delete_job(request: ApiRequest, job_id: str, force: bool = False) -> Json:
    """Delete a job; one that has not ended only with ``force``."""
    making.delete_job(request, "extract_v2", job_id, force=force)
    return {}


def _parameters(request: ApiRequest, body: ExtractCreate) -> Json:
    if body.configuration is not None:
        parameters = body.configuration.model_dump(exclude_unset=True)
    elif body.configuration_id is not None:
        parameters = _configuration(request, body.configuration_id, "extract_v2").parameters
    else:
        raise HTTPException(400, "Either configuration_id or configuration is required")
    if parameters.get("parse_config_id") is not None:
        _configuration(request, parameters["parse_config_id"], "parse_v2")
    return parameters


def _configuration(request: ApiRequest, id_: str, product: str) -> Configuration:
    found = request.configuration(id_)
    mismatch = found.product_type != product
    refuse_when(mismatch, request.settings.type_mismatch_code, f"The configuration is not for {product}")
    return found


def _input_type(job: Job) -> str:
    return "parse_job_id" if job.file_input.startswith("pjb-") else "file_id"


def _job_json(request: ApiRequest, job: Job, expand: frozenset[str] = frozenset()) -> Json:
    now, settings = request.now, request.settings
    word = jobs.status(job, now)
    completed = word == "COMPLETED"
    pages = len(job.pages) - len(job.failed_pages)
    plain = {name: value for name, value in job.parameters.items() if name != "product_type"}
    asked = any(job.parameters.get(name) for name in ("cite_sources", "confidence_scores"))
    return {
        "id": job.id,
        "project_id": request.project.id,
        "file_input": job.file_input,
        "status": word,
        "error_message": job.error if word == "FAILED" else None,
        "configuration_id": job.configuration_id,
        "configuration": plain if "configuration" in expand else None,
        "extract_result": job.extracted if completed else None,
        "extract_metadata": _metadata(request, job)
        if completed and (asked or "extract_metadata" in expand)
        else None,
        "metadata": {"usage": {"num_pages_billed": pages, "num_pages_extracted": pages}}
        if completed
        else None,
        "usage": _usage(job, now, settings) if "usage" in expand else None,
        "created_at": iso(job.created_at),
        "updated_at": iso(jobs.changed_at(job, word)),
    }


def _metadata(request: ApiRequest, job: Job) -> Json:
    chosen = pages_of(job, request.service.blobs.document(job.blob))
    return {
        "field_metadata": field_metadata(job, chosen),
        "parse_job_id": job.file_input if _input_type(job) == "parse_job_id" else None,
        "parse_tier": job.parameters.get("parse_tier") or jobs.tier(job),
    }


def _usage(job: Job, now: float, settings: Any) -> Json:
    billed = jobs.credits_billed(job, now, settings)
    return {"credits": billed, "extract_credits": billed, "parse_credits": None if billed is None else 0.0}
