"""The emulated service: its records, its settings, its clock and the lookups that every handler uses."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_llamabatch.emulator import jobs, samples
from airflow_provider_llamabatch.emulator.answers import Refusal, invalid, not_found
from airflow_provider_llamabatch.emulator.clock import Clock
from airflow_provider_llamabatch.emulator.faults import FaultBook
from airflow_provider_llamabatch.emulator.journal import Journal
from airflow_provider_llamabatch.emulator.records import Job
from airflow_provider_llamabatch.emulator.store import JOB_PREFIXES, Store, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_llamabatch.emulator.records import (
        Batch,
        Blob,
        Configuration,
        Directory,
        DirectoryFile,
        JobType,
        StoredFile,
    )
    from airflow_provider_llamabatch.emulator.settings import Settings

T = TypeVar("T")

PROJECT_ID = "prj-00000000-0000-4000-8000-000000000001"
ORGANIZATION_ID = "org-00000000-0000-4000-8000-000000000001"


class World:
    """
    Everything the handlers and the control share.

    Whoever reads or changes it holds ``lock``: requests are handled in the server's thread, the control is used from
    others. Lookups raise Refusal (404), or give a sample when ids are lenient.
    """

    def __init__(self, settings: Settings, api_key: str) -> None:
        self._first_settings = settings
        self._first_api_key = api_key
        self.lock = threading.RLock()
        self.download_secret = secrets.token_bytes(16)
        self.reset()

    def reset(self) -> None:
        """Forget everything: records, requests, faults, changed settings, a changed key, a moved clock."""
        self.settings = self._first_settings
        self.api_key = self._first_api_key
        self.clock = Clock()
        self.store = Store(self.clock.now())
        self.faults = FaultBook()
        self.journal = Journal()

    @property
    def now(self) -> float:
        """The emulator's time."""
        return self.clock.now()

    def check_scope(self, project_id: str | None, organization_id: str | None) -> None:
        """Refuse (403) a project or an organization that is not the key's own."""
        if self.settings.lenient_ids:
            return
        if project_id not in {None, "", PROJECT_ID}:
            raise Refusal(403, f"You do not have access to project {project_id}")
        if organization_id not in {None, "", ORGANIZATION_ID}:
            raise Refusal(403, f"You do not have access to organization {organization_id}")

    def check_expand(self, asked: Iterable[str], known: Iterable[str]) -> frozenset[str]:
        """Return what is to be expanded; refuse (422) names that are none."""
        unknown = sorted(set(asked) - set(known))
        if unknown and not self.settings.lenient_ids:
            raise invalid("query", "expand", f"Input should be one of {', '.join(sorted(known))}", unknown[0])
        return frozenset(asked) & frozenset(known)

    def directory(self, id_: str) -> Directory:
        """Return a directory that exists and has not expired."""
        found = self.store.directories.get(id_)
        live = found if found is not None and found.is_live(self.now) else None
        return self._sure(live, "Directory", id_, lambda: samples.directory(id_, self.now))

    def directory_file(self, directory_id: str, id_: str) -> DirectoryFile:
        """Return a file of a directory."""
        directory = self.directory(directory_id)
        found = self.store.directory_files.get(directory.id, {}).get(id_)
        live = found if found is not None and found.deleted_at is None else None
        return self._sure(live, "File", id_, lambda: samples.directory_file(id_, directory_id, self.now))

    def stored_file(self, id_: str) -> StoredFile:
        """Return a file of the files API."""
        return self._sure(self.store.files.get(id_), "File", id_, lambda: samples.stored_file(id_, self.now))

    def configuration(self, id_: str, job_type: JobType) -> Configuration:
        """Return a saved configuration or a preset; ``job_type`` is the type of a sample."""
        found = self.store.configurations.get(id_)
        return self._sure(found, "Configuration", id_, lambda: samples.configuration(id_, self.now, job_type))

    def batch(self, id_: str) -> Batch:
        """Return a batch; a new one may not be visible yet."""
        found = self.store.batches.get(id_)
        if found is not None and self.now < found.created_at + self.settings.new_batch_is_404_seconds:
            found = None
        return self._sure(found, "Batch", id_, lambda: samples.batch(id_, self.now))

    def job(self, id_: str, job_type: JobType) -> Job:
        """Return a job of a type that exists by now."""
        found = self.store.jobs.get(id_)
        made = (
            found if found is not None and found.type == job_type and found.created_at <= self.now else None
        )
        return self._sure(made, "Job", id_, lambda: samples.job(id_, self.now, job_type))

    def jobs_made(self, job_type: JobType, ids: Iterable[str], status: str | None) -> list[Job]:
        """Return all jobs of a type that exist by now, or those of ``ids``, in one status or in any."""
        store = self.store.jobs
        candidates = [store[id_] for id_ in set(ids) if id_ in store] if ids else store.values()
        now = self.now
        made = (job for job in candidates if job.type == job_type and job.created_at <= now)
        return [job for job in made if status in {None, jobs.status(job, now)}]

    def new_job(self, job_type: JobType, blob: Blob, file_input: str, parameters: dict[str, Any]) -> Job:
        """Make a job outside a batch and keep it."""
        now, settings, store = self.now, self.settings, self.store
        running_at = now + settings.job_pending_seconds
        ended_at = running_at + settings.job_running_seconds
        id_ = new_id(JOB_PREFIXES[job_type])
        job = Job(id_, store.order(), now, running_at, ended_at, job_type, blob, file_input, parameters)
        store.jobs[id_] = job
        return job

    def cancel_job(self, id_: str, job_type: JobType) -> Job:
        """Cancel a job at once; one that has ended is refused."""
        job = self.job(id_, job_type)
        status = jobs.status(job, self.now)
        detail = f"Job is already {status} and cannot be cancelled"
        self.refuse_when(status in jobs.ENDED, self.settings.terminal_cancel_code, detail)
        jobs.cancel(job, self.now)
        return job

    def delete_job(self, id_: str, job_type: JobType, *, force: bool) -> Job:
        """Delete a job; one that has not ended is refused unless forced."""
        job = self.job(id_, job_type)
        running = jobs.status(job, self.now) not in jobs.ENDED
        self.refuse_when(running and not force, 409, "The job has not ended and cannot be deleted")
        self.store.jobs.pop(id_, None)
        return job

    def input_blob(self, id_: str) -> Blob:
        """Return what a job is to read: a file, a file of a directory, or the input of a parse job."""
        file = self.store.files.get(id_)
        if file is not None:
            return file.blob
        job = self.store.jobs.get(id_)
        if job is not None:
            return job.blob
        in_directories = (files.get(id_) for files in self.store.directory_files.values())
        found = next((one.file.blob for one in in_directories if one and one.deleted_at is None), None)
        return self._sure(found, "File", id_, lambda: samples.BLOB)

    def refuse_when(self, wrong_state: bool, code: int, detail: Any) -> None:
        """Refuse what the state of a thing does not allow; with lenient ids everything is allowed."""
        if wrong_state and not self.settings.lenient_ids:
            raise Refusal(code, detail)

    def _sure(self, found: T | None, kind: str, id_: str, sample: Callable[[], T]) -> T:
        if found is not None:
            return found
        if self.settings.lenient_ids:
            return sample()
        raise not_found(kind, id_)
