"""Fetches the results of many jobs and writes them to a storage: concurrent, bounded, resumable."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.batches.evidence import unless_gone
from airflow_provider_llamabatch.defaults import (
    DOWNLOAD_ATTEMPTS,
    INLINE_RESULT_BYTES,
    MAX_LISTED_FILES,
    RESULT_PAUSES,
    ROWS_PER_CHECKPOINT,
)
from airflow_provider_llamabatch.documents import manifest, reuse
from airflow_provider_llamabatch.documents.progress import Progress
from airflow_provider_llamabatch.documents.result_plan import STATE_FOLDER, SUFFIXES
from airflow_provider_llamabatch.documents.results import (
    JobResult,
    credits_in,
    of_extract_job,
    of_parse_job,
    outputs_for,
)
from airflow_provider_llamabatch.exceptions import StorageError
from airflow_provider_llamabatch.execution.concurrency import Failures, for_each
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import (
    InvalidInputError,
    InvalidResponseError,
    LlamaCloudError,
    NoResponseError,
    NotFoundError,
    RefusedError,
    ResponseTooLargeError,
)
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES
from airflow_provider_llamabatch.storage import chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.sdk.types import Logger
    from typing_extensions import TypeIs

    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.models import ExtractJob, ParseResult
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient
    from airflow_provider_llamabatch.storage import Storage, Written


@dataclass(slots=True)
class Checkpoints:
    """
    What a killed save has done: rows in files of a folder, a few dozen each. Object storages cannot append.

    They are there until the manifest is written.
    """

    target: Storage
    folder: str
    files: list[str] = field(default_factory=list)
    _waiting: list[Row] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """Return the rows of an earlier try."""
        self.files = self.target.names_in(self.folder)
        return rows_at(self.target, self.files)

    async def add(self, row: Row) -> None:
        """Note a row; every so many of them are written."""
        self._waiting.append(row)
        if len(self._waiting) >= ROWS_PER_CHECKPOINT:
            await self.write()

    async def write(self) -> None:
        """Write the rows that are waiting."""
        if not self._waiting:
            return
        rows, self._waiting = self._waiting, []
        path = f"{self.folder}/{len(self.files):06}.jsonl"
        self.files.append(path)
        try:
            await asyncio.to_thread(self.target.write, path, manifest.to_lines(rows))
        except BaseException:  # another one's failure cancels this one
            self._waiting += rows  # the next writing takes them along
            raise

    def clear(self) -> None:
        """Delete them, where the storage lets files be deleted; what stays does no harm."""
        for path in self.files:
            with contextlib.suppress(StorageError):
                self.target.delete(path)


@dataclass(slots=True)
class Saver:
    """
    Saves results below ``target``, at most ``limit`` documents at once.

    A document whose result cannot be had or written holds up none of the others; what went wrong is in ``failures``.
    Where so many as are under way at once fail one after another it is not the documents' fault, and the save ends.
    """

    client: AsyncClient
    target: Storage
    checkpoints: Checkpoints
    log: Logger
    limit: int
    outputs: tuple[str, ...]
    failures: Failures = field(init=False)

    def __post_init__(self) -> None:
        self.failures = Failures(self.limit)

    async def save(
        self, rows: Sequence[Row], stems: Mapping[str, str], done: Mapping[str | None, Row]
    ) -> list[Row]:
        """
        Return the rows with what became of them; each names its job.

        ``done`` are rows of an earlier try, by job; ``stems`` are the paths of what is left, without suffix, by file.
        """
        finished = [self._again(row, done[row.job_id]) for row in rows if row.job_id in done]
        remaining = [row for row in rows if row.job_id not in done]
        if finished:
            self.log.info("Going on after %s results that an earlier try saved", len(finished))
        progress = Progress(len(remaining), time.monotonic)

        async def one(row: Row) -> None:
            try:
                saved = await self._save(row, stems[row.file])
            except (StorageError, LlamaCloudError) as error:
                saved = self._failed(row, error)
            else:
                self.failures.succeed()
                await self.checkpoints.add(saved)
            finished.append(saved)
            if line := progress.add(failed=not saved.is_saved):
                self.log.info("Results: %s", line)

        try:
            await for_each(remaining, one, limit=self.limit)
        finally:
            await self.checkpoints.write()
        unknown = [row for row in finished if row.credits is None and row.status != manifest.NO_RESULT]
        try:
            await for_each(unknown, self._ask_for_credits, limit=self.limit)
        except LlamaCloudError as error:
            self.log.warning("What some jobs cost stays unknown: %s", error)
        return finished

    def _failed(self, row: Row, error: Exception) -> Row:
        """Return the row of a document that has to wait for another try; raise where it is not alone."""
        self.failures.add(error)
        self.log.warning("There is no result of %s yet: %s", row.file, error)
        return replace(row, status=manifest.NO_RESULT, error=str(error))

    def _again(self, row: Row, done: Row) -> Row:
        done = replace(done, attempt=row.attempt, configuration=row.configuration)
        wanted = outputs_for(row.job_type or "", self.outputs)
        return done.with_first(wanted[0]) if wanted else done

    async def _save(self, row: Row, stem: str) -> Row:
        wanted = outputs_for(row.job_type or "", self.outputs)
        try:
            result, written = await self._written(row, wanted, stem)
        except (NotFoundError, RefusedError) as error:
            if not error.from_api:
                raise
            result, written = JobResult(manifest.NO_RESULT, str(error)), {}
        return self._row(row, result, written, wanted, stem)

    async def _written(
        self, row: Row, wanted: tuple[str, ...], stem: str
    ) -> tuple[JobResult, dict[str, Written]]:
        try:
            result = await self._fetch(row, wanted)
        except ResponseTooLargeError:
            return await self._stream(row, wanted, stem)
        return result, {
            output: await asyncio.to_thread(self.target.write, stem + SUFFIXES[output], [content])
            for output, content in result.contents.items()
        }

    def _row(
        self, row: Row, result: JobResult, written: Mapping[str, Written], wanted: Sequence[str], stem: str
    ) -> Row:
        row = replace(
            row,
            status=result.status,
            error=result.error,
            pages=result.pages,
            pages_failed=result.pages_failed,
            confidence=result.confidence,
            credits=row.credits if result.credits is None else result.credits,
        )
        for output in wanted:
            if output not in written:
                continue
            size, sha256 = written[output].bytes, written[output].sha256
            path = self.target.url_of(stem + SUFFIXES[output])
            if row.path is None:
                row.path, row.bytes, row.sha256 = path, size, sha256
            else:
                row.other_outputs[output] = {"path": path, "bytes": size, "sha256": sha256}
        if row.status == manifest.COMPLETED and row.path is None:
            row.status, row.error = (
                manifest.NO_RESULT,
                row.error or f"the job has none of {', '.join(wanted)}",
            )
        return row

    async def _fetch(self, row: Row, wanted: tuple[str, ...]) -> JobResult:
        """Return a job's result; one that is not there just after the job completed is asked for again."""
        failed = row.status in FAILED_STATUSES  # a job that the wait left behind may have ended since
        for pause in (*RESULT_PAUSES, None):
            try:
                return await self._ask(row, () if failed else wanted)
            except NotFoundError as error:
                if not error.from_api:
                    raise
                result = JobResult(manifest.NO_RESULT, str(error))
                with unless_gone():
                    result = await self._ask(row, ())
                if result.status not in {manifest.COMPLETED, manifest.NO_RESULT}:
                    return result
                if pause is None:
                    result.status, result.error = manifest.NO_RESULT, str(error)
                    return result
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _ask(self, row: Row, wanted: tuple[str, ...]) -> JobResult:
        job = await self._job(row, wanted)
        return of_extract_job(job) if _is_extract_job(job) else of_parse_job(job, wanted)

    async def _job(self, row: Row, expand: tuple[str, ...]) -> ExtractJob | ParseResult:
        if row.job_type == "extract_v2":
            return await self.client.send(
                calls.get_extract_job(row.job_id or "", expand=("usage", "extract_metadata"))
            )
        call = calls.get_parse_job(row.job_id or "", expand=(*expand, "usage"))
        return await self.client.send(replace(call, max_bytes=INLINE_RESULT_BYTES))

    async def _stream(
        self, row: Row, wanted: tuple[str, ...], stem: str
    ) -> tuple[JobResult, dict[str, Written]]:
        """Fetch a large result through its presigned URLs; why pages failed is not told there."""
        written: dict[str, Written] = {}
        for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
            result, urls = await self._large(row, wanted)
            try:
                for output in wanted:
                    if output in urls and output not in written:
                        written[output] = await self._download(urls[output], stem + SUFFIXES[output])
            except (NoResponseError, InvalidResponseError) as error:
                if attempt == DOWNLOAD_ATTEMPTS:
                    raise
                self.log.warning("%s: %s; asking for another URL", row.file, error)
            else:
                break
        lacking = [output for output in wanted if output not in urls]
        if lacking:
            result.error = (
                f"{', '.join(lacking)} is too large for one response, and has no URL to download it from"
            )
        return result, written

    async def _large(self, row: Row, wanted: tuple[str, ...]) -> tuple[JobResult, dict[str, str]]:
        """Return a job without its contents, and the URL of each."""
        expand = (*(f"{output}_content_metadata" for output in wanted), "job_metadata")
        try:
            job = await self._job(row, (*expand, "metadata"))
        except ResponseTooLargeError:  # thousands of pages
            job = await self._job(row, expand)
        if _is_extract_job(job):
            return of_extract_job(job), {}
        result = of_parse_job(job, ())
        pages = (job.job_metadata or {}).get("pages")
        result.pages = pages if isinstance(pages, int) else None
        read = (job.metadata or {}).get("pages")
        if result.pages is not None and isinstance(read, list):  # it has no entry for a page that failed
            result.pages_failed = max(0, result.pages - len(read))
        contents = job.result_content_metadata or {}
        urls = {output: (contents.get(output) or {}).get("presigned_url") for output in wanted}
        return result, {output: url for output, url in urls.items() if url}

    async def _download(self, url: str, path: str) -> Written:
        with tempfile.TemporaryFile(
            prefix="llamabatch-"
        ) as spool:  # too large for memory: that is why it has a URL
            await self.client.download(url, spool)
            spool.seek(0)
            return await asyncio.to_thread(self.target.write, path, chunks_of(spool))

    async def _ask_for_credits(self, row: Row) -> None:
        """Ask once more what a job cost: billing may record it a moment after the job has completed."""
        try:
            job = await self._job(row, ())
        except (NotFoundError, RefusedError):
            return
        row.credits = credits_in(job.usage if _is_extract_job(job) else job.job.usage)


def _is_extract_job(job: ExtractJob | ParseResult) -> TypeIs[ExtractJob]:
    from airflow_provider_llamabatch.llamacloud.models import ExtractJob

    return isinstance(job, ExtractJob)


def configuration_of(
    hook: LlamaBatchHook,
    configuration_id: str,
    project_id: str | None,
    organization_id: str | None,
    *,
    must_exist: bool = False,
) -> str:
    """
    Return what a manifest calls a configuration; built-in presets, which the API may not show, are their id.

    With ``must_exist`` it raises ``NotFoundError`` for one that is no preset and that the API does not know.
    """
    scope = {"project_id": project_id, "organization_id": organization_id}
    try:
        version = hook.send(calls.get_configuration(configuration_id, **scope)).version
    except (NotFoundError, RefusedError) as error:
        is_unknown = must_exist and isinstance(error, NotFoundError) and not calls.is_preset(configuration_id)
        # With a wrong name nothing would be reused, and everything paid for again.
        if is_unknown or not error.from_api:
            raise
        version = None
    return reuse.configuration_key(configuration_id, version)


def write_upload(target: Storage, rows: Iterable[Row], identity: str) -> str:
    """Write down what a task instance has uploaded, for the save; returns where that is below the target."""
    path = f"{STATE_FOLDER}/uploads/{identity}.jsonl"
    target.write(path, manifest.to_lines(rows))
    return path


def rows_in(target: Storage, path: str) -> list[Row] | None:
    """Return the rows of a manifest, None where there is none; ``InvalidInputError`` where it cannot be read."""
    content = target.read_bytes(path)
    try:
        return None if content is None else manifest.from_lines(content)
    except manifest.ManifestUnreadableError as error:
        raise InvalidInputError(
            target.argument,
            f"{target.url_of(path)}: {error}; correct that line, or move the file away: what only it tells of is then "
            "processed again",
        ) from error


def rows_at(target: Storage, paths: Iterable[str]) -> list[Row]:
    """Return the rows of checkpoints; one that somebody has changed is as good as none."""
    rows: list[Row] = []
    for path in paths:
        with contextlib.suppress(manifest.ManifestUnreadableError):
            rows += manifest.from_lines(target.read_bytes(path) or b"")
    return rows


def unsaved(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of documents that were to have a result and have none."""
    return [row for row in rows if not row.is_saved and not row.reused and row.status != manifest.SKIPPED]


def report_unsaved(log: Logger, rows: Sequence[Row], documents: int) -> None:
    """Warn of documents that were to have a result and have none."""
    if rows:
        named = "\n".join(f"  {row.file}: {row.status} {row.error or ''}" for row in rows[:MAX_LISTED_FILES])
        log.warning("%s of %s documents have no result:\n%s", len(rows), documents, named)
