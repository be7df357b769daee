"""
One reader per process and connection: whatever the number of viewers, LlamaCloud is asked once per refresh.

A request to the page never waits for LlamaCloud longer than a moment: it shows what there is, with its age.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_llamabatch.batches.evidence import unless_gone
from airflow_provider_llamabatch.defaults import CONN_TYPE, PAGE_SIZE
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.call import Walk
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, NotFoundError
from airflow_provider_llamabatch.llamacloud.retries import ONCE
from airflow_provider_llamabatch.llamacloud.statuses import is_terminal
from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.cells import Cell, Cells
from airflow_provider_llamabatch.ui.views.batch import preview

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import (
        Batch,
        BatchResult,
        Directory,
        DirectoryFile,
        Page,
    )
    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings
    from airflow_provider_llamabatch.llamacloud.transport import Client
    from airflow_provider_llamabatch.ui.views.batch import Preview

T = TypeVar("T")

EXTRACT = "extract_v2"


@dataclass(frozen=True, slots=True)
class Batches:
    """
    The batches of the last days by id, and which statuses this process saw of each, when (epoch seconds).

    ``is_all`` says that there are not more than the page reads.
    """

    by_id: dict[str, Batch]
    seen: dict[str, tuple[tuple[str, float], ...]]
    read_in_full_at: float
    is_all: bool = True


@dataclass(frozen=True, slots=True)
class JobState:
    """What is known of a job: its status, its error, and what it calls its file."""

    status: str
    error: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """
    A batch with its files. ``files`` is None where the API does not show them (yet).

    ``files_are_old`` says that the last look showed none, so they are those of one before.
    """

    batch: Batch
    files: list[BatchResult] | None = None
    jobs: dict[str, JobState] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # by directory file
    directory_is_gone: bool = False
    files_are_old: bool = False

    @property
    def has_ended(self) -> bool:
        """Say whether nothing changes any more."""
        return (
            self.batch.is_terminal
            and self.files is not None
            and not self.files_are_old
            and all(is_terminal(job.status) for job in self.jobs.values())
        )


class Reader:
    """What the page knows of one connection."""

    def __init__(self, connection_id: str) -> None:
        self.connection_id = connection_id
        executor = ThreadPoolExecutor(limits.THREADS, thread_name_prefix="llamabatch-page")
        self._client: Client | None = None
        self._connecting = threading.Lock()

        def cells(read: Any, refresh: Any) -> Cells[Any]:
            return Cells(lambda key: Cell(lambda last: read(key, last), executor, refresh))

        self.batches: Cell[Batches] = Cell(self._read_batches, executor, lambda _: limits.REFRESH)
        self.directories: Cell[list[Directory]] = Cell(
            self._read_directories, executor, lambda _: limits.SLOW_REFRESH
        )
        self.details: Cells[Detail] = cells(
            self._read_detail, lambda one: limits.SLOW_REFRESH if one.has_ended else limits.REFRESH
        )
        self.files: Cells[list[DirectoryFile]] = cells(self._read_files, lambda _: limits.SLOW_REFRESH)
        self.results: Cells[Preview] = cells(  # whole results would take gigabytes
            self._read_result,
            lambda one: limits.RESULT_REFRESH if is_terminal(one.status) else limits.REFRESH,
        )

    def cancel(self, batch_id: str) -> Batch:
        """Ask for a batch to be cancelled, and show it so from the next look on. Raises ``LlamaCloudError``."""
        batch = self._send(calls.cancel_batch(batch_id))
        self.batches.expire()
        self.details[batch_id].expire()
        return batch

    # Reading, on the executor's threads

    def _read_batches(self, last: Batches | None) -> Batches:
        now = time.time()
        since, in_full = horizon(last, now)
        call = calls.list_batches(created_at_on_or_after=since, page_size=PAGE_SIZE)
        listed = list(islice(self._walk(call), limits.MAX_BATCHES + 1))
        return with_listed(last, listed, now, in_full=in_full)

    def _read_directories(self, _: list[Directory] | None) -> list[Directory]:
        call = calls.list_directories(page_size=PAGE_SIZE)
        return list(islice(self._walk(call), limits.MAX_DIRECTORIES))

    def _read_files(self, directory_id: str, _: list[DirectoryFile] | None) -> list[DirectoryFile]:
        call = calls.list_directory_files(directory_id, page_size=PAGE_SIZE)
        return list(islice(self._walk(call), limits.MAX_FILES))

    def _read_detail(self, batch_id: str, last: Detail | None) -> Detail:
        batch = self._send(calls.get_batch(batch_id, expand_results=True))
        results, batch = batch.results, batch.model_copy(update={"results": None})
        if last is not None and (last.names or last.directory_is_gone):
            names, gone = last.names, last.directory_is_gone
        else:
            names, gone = self._names(batch)
        jobs = {} if last is None else dict(last.jobs)
        if results is None:
            return Detail(batch, None if last is None else last.files, jobs, names, gone, files_are_old=True)
        open_jobs: dict[str, list[str]] = {}
        for result in results:
            job = result.job_reference
            if job is not None and not (job.id in jobs and is_terminal(jobs[job.id].status)):
                open_jobs.setdefault(job.type, []).append(job.id)
        for job_type, ids in open_jobs.items():
            for start in range(0, len(ids), PAGE_SIZE):
                jobs.update(self._job_states(job_type, ids[start : start + PAGE_SIZE]))
        return Detail(batch, results, jobs, names, gone)

    def _names(self, batch: Batch) -> tuple[dict[str, str], bool]:
        """Return the names of a batch's files, and whether the directory is gone."""
        with unless_gone(), suppress(InvalidInputError):
            files = self._read_files(batch.source_directory_id or "", None)
            return {file.id: file.display_name for file in files if file.display_name}, False
        return {}, True

    def _job_states(self, job_type: str, ids: list[str]) -> dict[str, JobState]:
        if job_type == EXTRACT:  # in full they would bring their results
            extracts = self._send(calls.list_extract_job_statuses(job_ids=ids, page_size=PAGE_SIZE)).items
            return {job.id: JobState(job.status, job.error_message) for job in extracts}
        parses = self._send(calls.list_parse_jobs(job_ids=ids, page_size=PAGE_SIZE)).items
        return {job.id: JobState(job.status, job.error_message, job.name) for job in parses}

    def _read_result(self, key: str, _: object) -> Preview:
        job_type, job_id = key.split("/", 1)
        if job_type == EXTRACT:
            return preview(self._send_bounded(calls.get_extract_job(job_id, expand=("usage",))))
        try:
            return preview(self._send_bounded(calls.get_parse_job(job_id, expand=("markdown", "usage"))))
        except NotFoundError:  # also said of a job whose results are not there yet, or have expired
            return preview(self._send_bounded(calls.get_parse_job(job_id, expand=("usage",))))

    # Sending

    def _walk(self, call: Call[Page[T]]) -> Iterator[T]:
        walk = Walk(call)
        while walk.call is not None:
            yield from walk.items(self._send(walk.call))

    def _send_bounded(self, call: Call[T]) -> T:
        return self._send(replace(call, max_bytes=limits.MAX_RESULT_BYTES))

    def _send(self, call: Call[T]) -> T:
        return self._connected().send(call, ONCE, within=limits.REQUEST)

    def _connected(self) -> Client:
        """Return the client for what the connection says now: a rotated key counts from the next request on."""
        from airflow_provider_llamabatch.llamacloud.transport import Client

        settings = settings_of(self.connection_id)
        with self._connecting:
            if self._client is None or self._client.settings != settings:
                if self._client is not None:
                    self._client.close()
                self._client = Client(settings)
            return self._client


class Readers:
    """The readers of this process."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self._lock = threading.Lock()

    def __getitem__(self, connection_id: str) -> Reader:
        with self._lock:
            if connection_id not in self._readers:
                self._readers[connection_id] = Reader(connection_id)
            return self._readers[connection_id]


def settings_of(connection_id: str) -> ClientSettings:
    """Return the settings in a connection of the type ``llamabatch``; raises ``InvalidInputError``."""
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    from airflow_provider_llamabatch.hooks.connections import mask, settings_in

    missing = InvalidInputError(
        "connection", f"there is no Airflow connection {connection_id!r} of the type {CONN_TYPE}"
    )
    try:
        connection = Connection.get_connection_from_secrets(connection_id)
    except AirflowNotFoundException:
        raise missing from None
    if connection.conn_type != CONN_TYPE:  # another service's password must not be sent to LlamaCloud
        raise missing
    read = settings_in(connection_id, connection)
    if isinstance(read, Exception):
        raise read
    mask(read)
    return read


def horizon(last: Batches | None, now: float) -> tuple[datetime, bool]:
    """
    Return since when batches are listed, and whether that is all of them.

    What has ended does not change, so between full reads a list since the oldest batch that still runs is enough. One
    that runs unusually long has to wait for the full read, or it would make each read as long as that.
    """
    first = datetime.fromtimestamp(now, UTC) - timedelta(days=limits.DAYS)
    if last is None or now - last.read_in_full_at >= limits.FULL_READ or not last.by_id:
        return first, True
    dated = [(batch.created_at, batch.is_terminal) for batch in last.by_id.values()]
    if any(at is None for at, _ in dated):
        return first, True
    newest = max(at for at, _ in dated if at)
    running = [
        at for at, ended in dated if at and not ended and at >= newest - timedelta(seconds=limits.LONG)
    ]
    since = min([*running, newest - timedelta(seconds=limits.OVERLAP)])
    return max(since, first), False


def with_listed(last: Batches | None, listed: Iterable[Batch], now: float, *, in_full: bool) -> Batches:
    """Return what is known after a list; a list of everything also says what is gone."""
    found = list(listed)
    fresh = {batch.id: batch for batch in found[: limits.MAX_BATCHES]}
    by_id = fresh if last is None or in_full else {**last.by_id, **fresh}
    seen = {} if last is None else last.seen
    new_seen = {}
    for batch_id, batch in by_id.items():
        before = seen.get(batch_id, ())
        if not before or before[-1][0] != batch.status:
            before = (*before, (batch.status, now))
        new_seen[batch_id] = before
    is_all = len(found) <= limits.MAX_BATCHES and (in_full or last is None or last.is_all)
    return Batches(by_id, new_seen, now if in_full or last is None else last.read_in_full_at, is_all)
