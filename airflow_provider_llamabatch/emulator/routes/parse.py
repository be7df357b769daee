"""``/api/v2/parse``: create, upload, list, get with results, cancel, delete, versions."""

import io
from typing import Annotated, Any

from fastapi import File, Form, HTTPException, Query, UploadFile
from pydantic import ValidationError

from airflow_provider_llamabatch.emulator.documents import results
from airflow_provider_llamabatch.emulator.errors import invalid, invalid_all
from airflow_provider_llamabatch.emulator.models.requests import (
    ParseCreate,
    ParseList,
    ParseUpload,
    Words,
    parse_json,
)
from airflow_provider_llamabatch.emulator.models.responses import (
    Page,
    ParseJobDeleted,
    ParseJobResponse,
    ParseResultResponse,
    ParseVersionsResponse,
)
from airflow_provider_llamabatch.emulator.routes import making
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, answer, refuse_when
from airflow_provider_llamabatch.emulator.routes.downloads import presigned
from airflow_provider_llamabatch.emulator.routes.paging import newest_page
from airflow_provider_llamabatch.emulator.state import jobs
from airflow_provider_llamabatch.emulator.state.outcomes import pages_of
from airflow_provider_llamabatch.emulator.state.records import Job
from airflow_provider_llamabatch.emulator.webhooks import targets, targets_of, watch_job

Json = dict[str, Any]

VERSIONS = {
    "fast": ["2026-06-15", "2025-12-11"],
    "cost_effective": ["2026-08-19", "2026-06-26"],
    "agentic": ["2026-08-19", "2026-07-24"],
    "agentic_plus": ["2026-08-19", "2026-07-08"],
}
NOT_FETCHED = "The emulator does not fetch source_url; upload the file instead"

api = Api("/api/v2/parse", "Parse")


@api.route("GET", "/versions", ParseVersionsResponse, needs_key=False)
def list_versions(request: ApiRequest) -> Json:
    """List the versions of each tier; no key is needed."""
    return {**VERSIONS, "latest": {tier: versions[0] for tier, versions in VERSIONS.items()}}


@api.route("POST", "", ParseJobResponse, refusals=[402])
def create_job(request: ApiRequest, body: ParseCreate) -> Json:
    """Parse a file that was uploaded before."""
    parameters = _parameters(request, body)
    if body.file_id:
        blob, name = making.input_of(request, body.file_id)
        return _new_job(request, body, parameters, blob, name, body.file_id)
    refuse_when(not body.source_url, 400, "Either file_id or source_url is required")
    blob = request.service.blobs.store("", io.BytesIO())
    return _new_job(request, body, parameters, blob, name=None, file_input="")


@api.route("POST", "/upload", ParseJobResponse, refusals=[402])
async def upload_and_create_job(
    request: ApiRequest,
    file: Annotated[UploadFile, File()],
    configuration: Annotated[str, Form(description="The options of the job as a JSON object")],
) -> Any:
    """Parse a file that comes with the request."""
    asked = _uploaded(configuration)
    with request.service.lock:
        parameters = _parameters(request, asked)
    stored = await making.store_upload(request, file, "parse")
    with request.service.lock:
        blob, name = making.input_of(request, stored.id)  # a reset may have taken it away
        return answer(request, _new_job(request, asked, parameters, blob, name, stored.id))


@api.route("GET", "", Page[ParseJobResponse])
def list_jobs(request: ApiRequest, query: Annotated[ParseList, Query()]) -> Json:
    """List jobs, newest first."""
    now, ids = request.now, {*query.job_ids}

    def keep(job: Job) -> bool:
        return (
            (not ids or job.id in ids)
            and query.holds(job.created_at)
            and (query.status is None or query.status == jobs.status(job, now))
        )

    table = request.project.jobs["parse_v2"]
    return newest_page(
        table, query, request.settings, lambda job: _job_json(request, job), now=now, keep=keep
    )


@api.route("GET", "/{job_id}", ParseResultResponse)
def get_job(
    request: ApiRequest,
    job_id: str,
    expand: Annotated[Words, Query()] = [],  # noqa: B006 - FastAPI copies it
    image_filenames: str | None = None,
) -> Json:
    """Show a job and the results that are asked for; of an unfinished or failed job there are none."""
    job = making.get_job(request, "parse_v2", job_id)
    shown = _job_json(request, job)
    expanded = request.expand(expand, results.RESULTS | results.ABOUT_THE_JOB)
    if "usage" in expanded:
        shown["usage"] = {"credits": jobs.credits_billed(job, request.now, request.settings)}
    answered: Json = {"job": shown, **dict.fromkeys((*results.PAGED, *results.FULL))}
    answered |= dict.fromkeys(("result_content_metadata", "images_content_metadata"))
    answered["job_metadata"] = {"pages": len(job.pages)} if "job_metadata" in expanded else None
    answered["raw_parameters"] = job.parameters if "raw_parameters" in expanded else None
    if expanded & results.RESULTS and _has_results(request, job, expanded):
        answered |= _expanded(request, job, expanded)
    return answered


@api.route("POST", "/{job_id}/cancel", ParseJobResponse)
def cancel_job(request: ApiRequest, job_id: str) -> Json:
    """Cancel a job at once."""
    return _job_json(request, making.cancel_job(request, "parse_v2", job_id))


@api.route("DELETE", "/{job_id}", ParseJobDeleted, refusals=[409])
def delete_job(request: ApiRequest, job_id: str) -> Json:
    """Delete a job that has ended, with its results."""
    return {"id": making.delete_job(request, "parse_v2", job_id).id, "project_id": request.project.id}


def _uploaded(configuration: str) -> ParseUpload:
    try:
        return ParseUpload.model_validate(parse_json(configuration))
    except ValidationError as error:
        raise invalid_all(error, "body", "configuration") from None
    except ValueError as error:
        raise invalid("body", "configuration", f"JSON decode error: {error}", configuration) from None


def _parameters(request: ApiRequest, asked: ParseUpload) -> Json:
    """Return the options of a job: those that were sent, over those of the saved configuration."""
    sent = asked.model_dump(exclude_unset=True, exclude_none=True)
    for name in ("file_id", "source_url", "http_proxy", "user_metadata"):
        sent.pop(name, None)
    for name in ("tier", "version"):
        if sent.get(name) == "configured":
            del sent[name]
    if asked.configuration_id is not None:
        saved = request.project.configurations.get(asked.configuration_id)
        code = request.settings.missing_configuration_code
        refuse_when(saved is None, code, f"Configuration {asked.configuration_id} not found")
        if saved is not None:
            mismatch = saved.product_type != "parse_v2"
            detail = f"Configuration {saved.id} is for {saved.product_type}, not for parse_v2"
            refuse_when(mismatch, request.settings.type_mismatch_code, detail)
            sent = {**saved.parameters, **sent}
    for name in ("tier", "version"):
        if name not in sent:
            raise invalid("body", name, "Field required", None)
    return sent


def _new_job(
    request: ApiRequest, asked: ParseUpload, parameters: Json, blob: str, name: str | None, file_input: str
) -> Json:
    making.check_credits(request)
    targets(request, asked)
    job = making.new_job(
        request,
        "parse_v2",
        blob,
        name=name,
        file_input=file_input,
        parameters=parameters,
        configuration_id=asked.configuration_id,
    )
    job.user_metadata = asked.user_metadata
    if not file_input:
        job.error = NOT_FETCHED
    watch_job(request.service, request.project.id, job, targets_of(request, parameters))
    return _job_json(request, job)


def _has_results(request: ApiRequest, job: Job, expand: frozenset[str]) -> bool:
    settings = request.settings
    if jobs.status(job, request.now) != "COMPLETED":
        code = settings.unfinished_results_code
        if code is not None:
            detail = "Result not found. Check the job status; results exist once the job is COMPLETED"
            raise HTTPException(code, detail)
        return False
    gone = jobs.results_are_gone(job, request.now, settings)
    refuse_when(gone, 404, "Result not found. The results of this job have expired")
    no_markdown = jobs.tier(job) == "fast" and any(name.startswith("markdown") for name in expand)
    refuse_when(no_markdown, 400, "Markdown is not available for jobs of the fast tier")
    return True


def _expanded(request: ApiRequest, job: Job, expand: frozenset[str]) -> Json:
    chosen = pages_of(job, request.service.blobs.document(job.blob))
    shown: Json = {kind: results.pages(chosen, kind) for kind in expand & {*results.PAGED}}
    shown |= {kind: results.full(chosen, kind.removesuffix("_full")) for kind in expand & {*results.FULL}}
    kinds = [name.removesuffix("_content_metadata") for name in sorted(expand & {*results.CONTENT_METADATA})]
    if kinds:
        shown["result_content_metadata"] = {kind: _stored_json(request, job, chosen, kind) for kind in kinds}
    if "images_content_metadata" in expand:
        shown["images_content_metadata"] = {"total_count": 0, "images": []}
    return shown


def _stored_json(request: ApiRequest, job: Job, chosen: list[results.JobPage], kind: str) -> Json:
    source = kind.removesuffix("_full")
    if source not in results.STORED:
        return {"size_bytes": 0, "exists": False, "presigned_url": None}
    size = len(results.stored(chosen, source))
    return {"size_bytes": size, "exists": True, "presigned_url": presigned(request, source, job.id)["url"]}


def _job_json(request: ApiRequest, job: Job) -> Json:
    return jobs.parse_job_json(job, request.project.id, request.now)
