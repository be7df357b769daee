"""``/api/v2/batches``: create, list, get, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from airflow_provider_llamabatch.emulator import batches, jobs
from airflow_provider_llamabatch.emulator.answers import Answer, Refusal
from airflow_provider_llamabatch.emulator.asking import BatchStatus, CreatedBetween, Expand, Last, Word
from airflow_provider_llamabatch.emulator.clock import iso
from airflow_provider_llamabatch.emulator.paging import page
from airflow_provider_llamabatch.emulator.records import Batch, Configuration, DirectoryFile, Job, JobType
from airflow_provider_llamabatch.emulator.store import JOB_PREFIXES, new_id
from airflow_provider_llamabatch.emulator.world import PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World

T = TypeVar("T")

MAX_WEBHOOKS = 4


class JobConfig(BaseModel):
    """The job a batch runs for every file."""

    type: JobType
    configuration_id: str


class BatchConfig(BaseModel):
    """The configuration of a batch."""

    job: JobConfig


class BatchCreate(BaseModel):
    """Body of a create. Webhooks are accepted and never called."""

    source_directory_id: str
    config: BatchConfig
    webhook_configuration_ids: Annotated[list[str], Field(max_length=MAX_WEBHOOKS)] | None = None
    webhook_configurations: list[dict[str, Any]] | None = None


class BatchList(CreatedBetween):
    """Query of a list."""

    status: Annotated[BatchStatus | None, Last] = None
    source_directory_id: Word = None


def create_batch(world: World, ask: Ask) -> Answer:
    """Create a batch; the same request twice makes two."""
    asked = ask.body(BatchCreate)
    _check_allowance(world)
    files = _source_files(world, asked.source_directory_id)
    configuration = _configuration(world, asked.config.job)
    batch, made = _new_batch(world, asked, configuration, files)
    world.store.add_batch(batch, made)
    return Answer(_batch_json(world, batch), status=201)


def list_batches(world: World, ask: Ask) -> Answer:
    """List batches, newest first, without results."""
    asked = ask.query(BatchList)
    store, now = world.store, world.now
    known = store.batches.values() if asked.source_directory_id is None else _of_directory(world, asked)
    newest_shown = now - world.settings.list_hides_new_batches_seconds
    found = (batch for batch in known if batch.created_at <= newest_shown and asked.holds(batch.created_at))
    chosen = (batch for batch in found if asked.status in {None, batches.moment(batch, now).status})
    return Answer(page(chosen, asked, world.settings, lambda batch: _batch_json(world, batch)))


def get_batch(world: World, ask: Ask) -> Answer:
    """Show a batch, with ``expand=results`` together with its results."""
    expand = world.check_expand(ask.query(Expand).expand, {"results"})
    batch = world.batch(ask.ids["batch_id"])
    if not expand:
        return Answer(_batch_json(world, batch))
    if batches.moment(batch, world.now).ended:
        batch.results_looks += 1
    return Answer({**_batch_json(world, batch), "results": batches.results(batch, world.now, world.settings)})


def cancel_batch(world: World, ask: Ask) -> Answer:
    """Begin to cancel a batch; what happens to its unfinished jobs is a switch."""
    batch = world.batch(ask.ids["batch_id"])
    world.store.cancels_asked[batch.id] += 1
    state = batches.moment(batch, world.now)
    world.refuse_when(
        state.ended,
        world.settings.terminal_cancel_code,
        f"Batch is already {state.status} and cannot be cancelled",
    )
    for job_id in batches.ask_to_cancel(batch, world.now, world.settings):
        world.store.jobs.pop(job_id, None)
    if world.settings.cancel_stops_jobs and batch.cancelled_at is not None:
        _stop_jobs(world, batch, batch.cancelled_at)
    return Answer(_batch_json(world, batch))


def _stop_jobs(world: World, batch: Batch, at: float) -> None:
    for entry in batch.entries:
        job = world.store.jobs.get(entry.job_id or "")
        if job is not None:
            jobs.cancel(job, at)


def _check_allowance(world: World) -> None:
    settings = world.settings
    if not settings.plan_allows_batches:
        raise Refusal(settings.plan_code, "Batches require a Pro or Enterprise plan")
    if settings.batches_per_minute is None:
        return
    minute_ago = world.now - 60
    recent = sum(batch.created_at > minute_ago for batch in world.store.batches.values())
    if recent >= settings.batches_per_minute:
        raise Refusal(429, f"Rate limit exceeded: {settings.batches_per_minute} batches per minute")


def _source_files(world: World, directory_id: str) -> list[DirectoryFile]:
    settings = world.settings
    directory = _recoded(lambda: world.directory(directory_id), settings.missing_directory_code)
    files = world.store.live_files(directory.id)
    if not files and settings.empty_directory_code is not None:
        world.refuse_when(True, settings.empty_directory_code, f"Directory {directory_id} contains no files")
    if len(files) > settings.max_files_per_batch:
        limit = settings.max_files_per_batch
        raise Refusal(
            settings.too_many_files_code, f"Directory has {len(files)} files, a batch takes at most {limit}"
        )
    return files


def _configuration(world: World, job: JobConfig) -> Configuration:
    code = world.settings.missing_configuration_code
    configuration = _recoded(lambda: world.configuration(job.configuration_id, job.type), code)
    if configuration.product_type != job.type:
        detail = f"Configuration {configuration.id} is for {configuration.product_type}, not for {job.type}"
        raise Refusal(world.settings.type_mismatch_code, detail)
    return configuration


def _recoded(look_up: Callable[[], T], code: int) -> T:
    try:
        return look_up()
    except Refusal as refusal:
        raise Refusal(code, refusal.detail) from None


def _new_batch(
    world: World, asked: BatchCreate, configuration: Configuration, files: list[DirectoryFile]
) -> tuple[Batch, list[Job]]:
    settings, store = world.settings, world.store
    timeline = batches.plan(settings, world.now)
    job_type = asked.config.job.type
    batch = Batch(
        new_id("bat"), store.order(), asked.source_directory_id, job_type, configuration.id, timeline
    )
    made = []
    for index, file in enumerate(files):
        entry = batches.new_entry(settings, timeline, file.id, file.display_name, index / len(files))
        batch.entries.append(entry)
        if batches.takes_job(settings, entry, file.display_name):
            job = _new_job(world, batch, configuration, file, entry.mapped_at)
            entry.job_id = job.id
            made.append(job)
    return batch, made


def _new_job(
    world: World, batch: Batch, configuration: Configuration, file: DirectoryFile, mapped_at: float
) -> Job:
    times = batches.job_times(world.settings, batch.timeline, mapped_at)
    return Job(
        new_id(JOB_PREFIXES[batch.job_type]),
        world.store.order(),
        times.created_at,
        times.running_at,
        times.ended_at,
        batch.job_type,
        file.file.blob,
        file_input=file.id,
        parameters=configuration.parameters,
        configuration_id=configuration.id,
    )


def _of_directory(world: World, asked: BatchList) -> list[Batch]:
    return world.store.batches_of.get(asked.source_directory_id or "", [])


def _batch_json(world: World, batch: Batch) -> dict[str, Any]:
    now = world.now
    return {
        "id": batch.id,
        "project_id": PROJECT_ID,
        "source_directory_id": batch.directory_id,
        "config": {"job": {"type": batch.job_type, "configuration_id": batch.configuration_id}},
        "status": batches.shown_status(batch, now, world.settings),
        "results": None,
        "created_at": iso(batch.created_at),
        "updated_at": iso(batches.moment(batch, now).since),
    }


ROUTES = [
    ("POST", "/api/v2/batches", create_batch),
    ("GET", "/api/v2/batches", list_batches),
    ("GET", "/api/v2/batches/{batch_id}", get_batch),
    ("POST", "/api/v2/batches/{batch_id}/cancel", cancel_batch),
]
