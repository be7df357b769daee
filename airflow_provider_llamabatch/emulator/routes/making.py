"""Making files and jobs, and what may keep somebody from it: rates, credits, sizes."""

from collections import deque
from typing import Any

from fastapi import HTTPException, UploadFile
from starlette.concurrency import run_in_threadpool

from airflow_provider_llamabatch.emulator.models.requests import JobType, Purpose
from airflow_provider_llamabatch.emulator.routes.base import ApiRequest, refuse_when, sure
from airflow_provider_llamabatch.emulator.state import jobs
from airflow_provider_llamabatch.emulator.state.batches import JobTimes
from airflow_provider_llamabatch.emulator.state.outcomes import outcome
from airflow_provider_llamabatch.emulator.state.records import NEVER, Job, StoredFile

PREFIXES: dict[JobType, str] = {"parse_v2": "pjb", "extract_v2": "ext"}
MAX_NAME = 3000


async def store_upload(
    request: ApiRequest, upload: UploadFile, purpose: Purpose, external_file_id: str | None = None
) -> StoredFile:
    """Keep an upload. Refuses a file without a name (400) and what is over a limit (402, 429)."""
    service, name = request.service, (upload.filename or "")[:MAX_NAME]
    with service.lock:
        refuse_when(not name, 400, "The uploaded file has no name")
        check_rate(request, "uploads", request.settings.uploads_per_second, 1, "uploads per second")
        most = request.settings.max_files_per_project
        refuse_when(
            most is not None and len(request.project.files) >= most, 402, f"The plan allows {most} files"
        )
    # Reading a large document takes seconds: not on the loop, and not while holding the lock.
    arrival = await run_in_threadpool(service.blobs.receive, name, upload.file)
    with service.lock:
        blob, now, content_type = service.blobs.keep(arrival), request.now, upload.content_type
        id_, order = service.ids.uuid(), service.order()
        file = StoredFile(id_, order, now, name, blob, purpose, external_file_id, content_type)
        request.project.files.add(file)
        return file


def input_of(request: ApiRequest, id_: str) -> tuple[str, str | None]:
    """Return the bytes that a job is to read, and their name: of a file, a directory's file, or a parse job."""
    project = request.project
    file = project.files.get(id_)
    if file is not None:
        return file.blob, file.name
    job = project.jobs["parse_v2"].get(id_)
    if job is not None:
        return job.blob, job.name
    in_directories = (files.get(id_) for files in project.directory_files.values())
    found = next((one for one in in_directories if one is not None and one.deleted_at is None), None)
    entry = sure(found, "File", id_)
    return entry.blob, entry.display_name


def new_job(
    request: ApiRequest,
    type_: JobType,
    blob: str,
    *,
    name: str | None,
    file_input: str,
    parameters: dict[str, Any],
    configuration_id: str | None = None,
    times: JobTimes | None = None,
) -> Job:
    """Make a job and keep it; ``times`` are its own unless a batch fixed them."""
    service, settings, now = request.service, request.settings, request.now
    if times is None:
        running_at = now + settings.job_pending_seconds
        times = JobTimes(now, running_at, running_at + settings.job_running_seconds)
    end = outcome(settings, service.blobs.summary(blob), parameters, name or "")
    job = Job(
        service.ids.new(PREFIXES[type_]),
        service.order(),
        times.created_at,
        times.running_at,
        NEVER if end.result is not None and end.result.never_ends else times.ended_at,
        type_,
        blob,
        file_input,
        parameters,
        name=name,
        configuration_id=configuration_id,
        error=end.error,
        pages=end.pages,
        failed_pages=end.failed_pages,
        result=end.result,
    )
    if type_ == "extract_v2" and job.error is None:
        job.extracted, job.error = request.extractions(parameters).of(blob, end)
    request.project.jobs[type_].add(job)
    return job


def get_job(request: ApiRequest, type_: JobType, id_: str) -> Job:
    """Return a job that has been made by now."""
    found = request.project.jobs[type_].get(id_)
    return sure(found if found is not None and found.created_at <= request.now else None, "Job", id_)


def cancel_job(request: ApiRequest, type_: JobType, id_: str) -> Job:
    """Cancel a job at once; one that has ended is refused."""
    job = get_job(request, type_, id_)
    status = jobs.status(job, request.now)
    detail = f"Job is already {status} and cannot be cancelled"
    refuse_when(status in jobs.ENDED, request.settings.terminal_cancel_code, detail)
    jobs.cancel(job, request.now)
    return job


def delete_job(request: ApiRequest, type_: JobType, id_: str, *, force: bool = False) -> Job:
    """Delete a job; one that has not ended is refused unless forced."""
    job = get_job(request, type_, id_)
    status = jobs.status(job, request.now)
    refuse_when(status not in jobs.ENDED and not force, 409, "The job has not ended and cannot be deleted")
    if status == "COMPLETED":
        request.project.credits_of_deleted_jobs += jobs.cost(job, request.settings)
    request.project.jobs[type_].remove(id_)
    return job


def check_rate(request: ApiRequest, what: str, most: float | None, seconds: float, unit: str) -> None:
    """Count an event against a limit in a sliding window, and refuse it (429) when there is no room."""
    if most is None:
        return
    times = request.service.limits.setdefault(f"{request.project.id} {what}", deque())
    while times and times[0] <= request.now - seconds:
        times.popleft()
    refuse_when(len(times) >= most, 429, f"Rate limit exceeded: {most:g} {unit}")
    times.append(request.now)


def check_credits(request: ApiRequest) -> None:
    """Refuse (402) when all credits have been used."""
    available = request.settings.credits_available
    if available is not None and credits_used(request) >= available:
        raise HTTPException(402, "You have used all credits of your plan")


def credits_used(request: ApiRequest) -> float:
    """Return what the jobs of the key's organization that have completed cost."""
    projects = request.service.projects.values()
    mine = [one for one in projects if one.organization_id == request.project.organization_id]
    every = (job for project in mine for job in project.all_jobs())
    completed = (job for job in every if jobs.status(job, request.now) == "COMPLETED")
    spent = sum(one.credits_of_deleted_jobs for one in mine)
    return spent + sum(jobs.cost(job, request.settings) for job in completed)
