"""Parse and extract jobs: where they stand and what they cost. Pure, the time is passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.state.clock import iso

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.settings import Settings
    from airflow_provider_llamabatch.emulator.state.records import Job

Json = dict[str, Any]

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


def status(job: Job, now: float) -> str:
    """Say where a job stands."""
    if job.cancelled_at is not None and now >= job.cancelled_at:
        return "CANCELLED"
    if now < job.running_at:
        return "PENDING"
    if now < job.ended_at:
        return "RUNNING"
    return "FAILED" if job.error else "COMPLETED"


def cancel(job: Job, at: float) -> None:
    """Stop a job at a moment, unless it has ended by then."""
    if job.ended_at > at and job.cancelled_at is None:
        job.cancelled_at = at


def ended_at(job: Job) -> float:
    """Return when a job ends or ended."""
    return job.ended_at if job.cancelled_at is None else job.cancelled_at


def results_are_gone(job: Job, now: float, settings: Settings) -> bool:
    """Whether the results of a job have expired."""
    expires = settings.results_expire_seconds
    return expires is not None and now >= job.ended_at + expires


def parse_job_json(job: Job, project_id: str, now: float) -> Json:
    """Show a parse job without its results."""
    word = status(job, now)
    return {
        "id": job.id,
        "project_id": project_id,
        "status": word,
        "error_message": job.error if word == "FAILED" else None,
        "name": job.name,
        "tier": tier(job),
        "user_metadata": job.user_metadata,
        "usage": None,
        "created_at": iso(job.created_at),
        "updated_at": iso(changed_at(job, word)),
    }


def credits_billed(job: Job, now: float, settings: Settings) -> float | None:
    """Return what a job cost, None until that has been recorded. Failed and cancelled jobs cost nothing."""
    word = status(job, now)
    if word not in ENDED or now < ended_at(job) + settings.usage_delay_seconds:
        return None
    return cost(job, settings) if word == "COMPLETED" else 0.0


def cost(job: Job, settings: Settings) -> float:
    """Return what a job costs once it has completed: the price of its tier for every page it could read."""
    prices = settings.parse_credits if job.type == "parse_v2" else settings.extract_credits
    return float((len(job.pages) - len(job.failed_pages)) * prices.get(tier(job), 0))


def tier(job: Job) -> str:
    """Return the tier a job runs on."""
    return str(job.parameters.get("tier") or ("agentic" if job.type == "parse_v2" else "cost_effective"))


def changed_at(job: Job, word: str) -> float:
    """Return when a job got the status that it has."""
    if word == "CANCELLED" and job.cancelled_at is not None:
        return job.cancelled_at
    return {"PENDING": job.created_at, "RUNNING": job.running_at}.get(word, job.ended_at)
