"""``/api/v2/extract``: create, list, get, cancel, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict

from airflow_provider_llamabatch.emulator import jobs, samples
from airflow_provider_llamabatch.emulator.answers import Answer, Refusal
from airflow_provider_llamabatch.emulator.asking import (
    BatchStatus,
    CreatedBetween,
    Expand,
    Flag,
    Last,
    Word,
    Words,
)
from airflow_provider_llamabatch.emulator.paging import page
from airflow_provider_llamabatch.emulator.world import PROJECT_ID

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.records import Job
    from airflow_provider_llamabatch.emulator.world import World

EXPANDABLE = frozenset({"configuration", "extract_metadata", "usage"})


class ExtractConfiguration(BaseModel):
    """An inline configuration; options that the emulator does not act upon are kept and shown again."""

    model_config = ConfigDict(extra="allow")

    data_schema: dict[str, Any]


class ExtractCreate(BaseModel):
    """Body of a create."""

    file_input: str
    configuration_id: str | None = None
    configuration: ExtractConfiguration | None = None


class ExtractList(CreatedBetween, Expand):
    """Query of a list."""

    status: Annotated[BatchStatus | None, Last] = None
    configuration_id: Word = None
    file_input: Word = None
    job_ids: Words = ()

    def asks_for(self, job: Job) -> bool:
        """Whether a job passes the filters that its record answers."""
        return (
            self.holds(job.created_at)
            and self.configuration_id in {None, job.configuration_id}
            and self.file_input in {None, job.file_input}
        )


class ExtractDelete(BaseModel):
    """Query of a delete."""

    force: Flag = False


def create_job(world: World, ask: Ask) -> Answer:
    """Extract from a file or from what a parse job read."""
    asked = ask.body(ExtractCreate)
    parameters = _parameters(world, asked)
    job = world.new_job("extract_v2", world.input_blob(asked.file_input), asked.file_input, parameters)
    job.configuration_id = asked.configuration_id
    return Answer(_job_json(world, job))


def list_jobs(world: World, ask: Ask) -> Answer:
    """List jobs, newest first."""
    asked = ask.query(ExtractList)
    expand = world.check_expand(asked.expand, EXPANDABLE)
    made = (job for job in world.jobs_made("extract_v2", asked.job_ids, asked.status) if asked.asks_for(job))
    return Answer(page(made, asked, world.settings, lambda job: _job_json(world, job, expand)))


def get_job(world: World, ask: Ask) -> Answer:
    """Show a job with its result."""
    expand = world.check_expand(ask.query(Expand).expand, EXPANDABLE)
    return Answer(_job_json(world, world.job(ask.ids["job_id"], "extract_v2"), expand))


def cancel_job(world: World, ask: Ask) -> Answer:
    """Cancel a job at once."""
    return Answer(_job_json(world, world.cancel_job(ask.ids["job_id"], "extract_v2")))


def delete_job(world: World, ask: Ask) -> Answer:
    """Delete a job; one that has not ended only with ``force``."""
    world.delete_job(ask.ids["job_id"], "extract_v2", force=ask.query(ExtractDelete).force)
    return Answer({})


def _parameters(world: World, asked: ExtractCreate) -> dict[str, Any]:
    if asked.configuration is not None:
        return asked.configuration.model_dump()
    if asked.configuration_id is not None:
        configuration = world.configuration(asked.configuration_id, "extract_v2")
        world.refuse_when(
            configuration.product_type != "extract_v2", 400, "The configuration is not for extract_v2"
        )
        return configuration.parameters
    if world.settings.lenient_ids:
        return samples.PARAMETERS["extract_v2"]
    raise Refusal(400, "Either configuration_id or configuration is required")


def _job_json(world: World, job: Job, expand: frozenset[str] = frozenset()) -> dict[str, Any]:
    return jobs.extract_job_json(job, PROJECT_ID, world.now, expand, world.settings)


ROUTES = [
    ("POST", "/api/v2/extract", create_job),
    ("GET", "/api/v2/extract", list_jobs),
    ("GET", "/api/v2/extract/{job_id}", get_job),
    ("POST", "/api/v2/extract/{job_id}/cancel", cancel_job),
    ("DELETE", "/api/v2/extract/{job_id}", delete_job),
]
