"""``/api/v2/parse``: create, upload, list, get with results, cancel, delete, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Json

from airflow_provider_llamabatch.emulator import documents, jobs, results, samples
from airflow_provider_llamabatch.emulator.answers import Answer, Refusal
from airflow_provider_llamabatch.emulator.asking import CreatedBetween, Expand, JobStatus, Last, Words
from airflow_provider_llamabatch.emulator.downloads import presigned
from airflow_provider_llamabatch.emulator.paging import page
from airflow_provider_llamabatch.emulator.records import Blob
from airflow_provider_llamabatch.emulator.routes_files import store_upload
from airflow_provider_llamabatch.emulator.world import PROJECT_ID

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.records import Job
    from airflow_provider_llamabatch.emulator.world import World

VERSIONS = {
    "fast": ["2026-06-15", "2025-12-11"],
    "cost_effective": ["2026-09-28", "2026-08-19"],
    "agentic": ["2026-10-16", "2026-09-28"],
    "agentic_plus": ["2026-09-28", "2026-09-24"],
}
NO_FETCHING = documents.Document(error="The emulator does not fetch source_url; upload the file instead")


class ParseOptions(BaseModel):
    """Options of a job; those that the emulator does not act upon are kept and shown again."""

    model_config = ConfigDict(extra="allow")

    tier: str
    version: str


class ParseCreate(ParseOptions):
    """Body of a create."""

    file_id: str | None = None
    source_url: str | None = None
    configuration_id: str | None = None
    user_metadata: dict[str, str] | None = None


class ParseForm(BaseModel):
    """Text parts of an upload; the options come as JSON in a string."""

    configuration: Json[ParseOptions]


class ParseList(CreatedBetween):
    """Query of a list."""

    status: Annotated[JobStatus | None, Last] = None
    job_ids: Words = ()


def create_job(world: World, ask: Ask) -> Answer:
    """Parse a file that was uploaded before."""
    asked = ask.body(ParseCreate)
    job = world.new_job(
        "parse_v2", _input(world, asked), asked.file_id or "", asked.model_dump(exclude_none=True)
    )
    job.configuration_id, job.user_metadata = asked.configuration_id, asked.user_metadata
    return Answer(_job_json(world, job))


def upload_and_create_job(world: World, ask: Ask) -> Answer:
    """Parse a file that comes with the request."""
    options = ask.fields(ParseForm).configuration.model_dump(exclude_none=True)
    file = store_upload(world, ask, "file", purpose="parse", external_file_id=None)
    return Answer(_job_json(world, world.new_job("parse_v2", file.blob, file.id, options)))


def list_jobs(world: World, ask: Ask) -> Answer:
    """List jobs, newest first."""
    asked = ask.query(ParseList)
    made = (
        job for job in world.jobs_made("parse_v2", asked.job_ids, asked.status) if asked.holds(job.created_at)
    )
    return Answer(page(made, asked, world.settings, lambda job: _job_json(world, job)))


def get_job(world: World, ask: Ask) -> Answer:
    """Show a job and the results that are asked for."""
    job = world.job(ask.ids["job_id"], "parse_v2")
    expand = world.check_expand(ask.query(Expand).expand, results.RESULTS | results.ABOUT_THE_JOB)
    if expand & results.RESULTS:
        _check_results(world, job, expand)
    shown = _job_json(world, job)
    if "usage" in expand:
        shown["usage"] = {"credits": jobs.credits_billed(job, world.now, world.settings)}
    return Answer({"job": shown, **_expanded(world, ask, job, expand)})


def cancel_job(world: World, ask: Ask) -> Answer:
    """Cancel a job at once."""
    return Answer(_job_json(world, world.cancel_job(ask.ids["job_id"], "parse_v2")))


def delete_job(world: World, ask: Ask) -> Answer:
    """Delete a job that has ended, with its results."""
    job = world.delete_job(ask.ids["job_id"], "parse_v2", force=False)
    return Answer({"id": job.id, "project_id": PROJECT_ID})


def list_versions(_world: World, _ask: Ask) -> Answer:
    """List the versions of each tier; no key is needed."""
    latest = {tier: versions[0] for tier, versions in VERSIONS.items()}
    return Answer({**VERSIONS, "latest": latest})


def _input(world: World, asked: ParseCreate) -> Blob:
    if asked.file_id:
        return world.input_blob(asked.file_id)
    if asked.source_url:
        return Blob(b"", NO_FETCHING)
    if world.settings.lenient_ids:
        return samples.BLOB
    raise Refusal(400, "Either file_id or source_url is required")


def _check_results(world: World, job: Job, expand: frozenset[str]) -> None:
    expires = world.settings.results_expire_seconds
    if jobs.status(job, world.now) != "COMPLETED":
        raise Refusal(404, "Result not found. Check the job status; results exist once the job is COMPLETED")
    if expires is not None and world.now >= job.ended_at + expires:
        raise Refusal(404, "Result not found. The results of this job have expired")
    if jobs.tier(job) == "fast" and "markdown" in expand:
        raise Refusal(400, "Markdown is not available for jobs of the fast tier")


def _expanded(world: World, ask: Ask, job: Job, expand: frozenset[str]) -> dict[str, Any]:
    document, failed = job.blob.document, world.settings.failed_pages
    shown: dict[str, Any] = dict.fromkeys((*results.PAGED, *results.FULL))
    shown |= {kind: results.pages(document, kind, failed) for kind in expand & {*results.PAGED}}
    shown |= {kind: results.full(document, failed) for kind in expand & {*results.FULL}}
    shown["job_metadata"] = {"pages": len(document.pages)} if "job_metadata" in expand else None
    shown["raw_parameters"] = job.parameters if "raw_parameters" in expand else None
    shown["result_content_metadata"] = _content_metadata(world, ask, job, expand)
    no_images = {"total_count": 0, "images": []}
    shown["images_content_metadata"] = no_images if "images_content_metadata" in expand else None
    return shown


def _content_metadata(world: World, ask: Ask, job: Job, expand: frozenset[str]) -> dict[str, Any] | None:
    asked = sorted(expand & {*results.CONTENT_METADATA})
    kinds = [name.removesuffix("_content_metadata") for name in asked]
    return {kind: _stored_json(world, ask, job, kind) for kind in kinds} if kinds else None


def _stored_json(world: World, ask: Ask, job: Job, kind: str) -> dict[str, Any]:
    source = kind.removesuffix("_full")
    if source not in results.STORED:
        return {"size_bytes": 0, "exists": False, "presigned_url": None}
    size = len(results.stored(job.blob.document, source, world.settings.failed_pages))
    url = presigned(world, ask, source, job.id)["url"]
    return {"size_bytes": size, "exists": True, "presigned_url": url}


def _job_json(world: World, job: Job) -> dict[str, Any]:
    return jobs.parse_job_json(job, PROJECT_ID, world.now)


ROUTES = [
    ("POST", "/api/v2/parse", create_job),
    ("POST", "/api/v2/parse/upload", upload_and_create_job),
    ("GET", "/api/v2/parse", list_jobs),
    ("GET", "/api/v2/parse/{job_id}", get_job),
    ("POST", "/api/v2/parse/{job_id}/cancel", cancel_job),
    ("DELETE", "/api/v2/parse/{job_id}", delete_job),
]
OPEN_ROUTES = [("GET", "/api/v2/parse/versions", list_versions)]
