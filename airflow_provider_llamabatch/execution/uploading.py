"""Carries out what ``documents.upload_plan`` decides: every file once, whatever dies in between."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from airflow_provider_llamabatch.batches.evidence import unless_gone
from airflow_provider_llamabatch.defaults import (
    MAX_UPLOAD_ATTEMPTS,
    PAGE_SIZE,
    SMALL_FILE_BYTES,
)
from airflow_provider_llamabatch.documents import manifest, upload_plan
from airflow_provider_llamabatch.documents.manifest import Row
from airflow_provider_llamabatch.documents.progress import Progress
from airflow_provider_llamabatch.exceptions import DocumentsRefusedError, StorageError
from airflow_provider_llamabatch.execution.concurrency import Failures, for_each, iterate
from airflow_provider_llamabatch.execution.following import create_directory, find_directory, looked_for
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import (
    ConflictError,
    InvalidInputError,
    LlamaCloudError,
    RefusedError,
)
from airflow_provider_llamabatch.llamacloud.retries import outcome_unknown
from airflow_provider_llamabatch.llamacloud.uploads import FileChangedError
from airflow_provider_llamabatch.storage import chunks_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence

    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.documents.upload_plan import Assignment, Held, SourceFile
    from airflow_provider_llamabatch.llamacloud.models import DirectoryFile
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient
    from airflow_provider_llamabatch.storage import Storage


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where files go: an existing directory (``directory_id``), or directories of this task instance's own.

    ``identity`` stands for the task instance; ``scope`` sets its uploads apart from those of others, empty where the
    same content need not be sent again (``changed_only``).
    """

    directory_id: str | None
    name: str
    type: str
    identity: str
    scope: str
    mirror: bool
    max_files: int


@dataclass(slots=True)
class Uploaded:
    """
    What came of it: the directories that hold files, a row per file, and counts.

    ``failures`` are why files that are left out could not be read or sent, ``refusals`` what LlamaCloud said of others.
    """

    directory_ids: list[str] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    uploaded: int = 0
    kept: int = 0
    removed: int = 0
    bytes: int = 0
    failures: list[Exception] = field(default_factory=list)
    refusals: list[RefusedError] = field(default_factory=list)

    def check(self, *, accept_refusals: bool, is_empty: bool) -> None:
        """Raise what kept files from being sent, where that is not accepted or ``is_empty``: nothing is left."""
        if self.refusals and not accept_refusals:
            raise DocumentsRefusedError(
                f"LlamaCloud refused {len(self.refusals)} files (on_unsupported='fail'): {self.refusals[0]}"
            )
        if is_empty and (problems := [*self.failures, *self.refusals]):
            raise problems[0]

    def summary(self, reused: Iterable[Row], record: str | None) -> dict[str, Any]:
        """Return what XCom ``upload`` tells."""
        left_out = [row for row in self.rows.values() if row.directory_file_id is None and not row.reused]
        return {
            "directories": len(self.directory_ids),
            "files": len(self.rows),
            "uploaded": self.uploaded,
            "kept": self.kept,
            **manifest.reused_counts(reused),
            "skipped": len(left_out),
            "removed": self.removed,
            "bytes": self.bytes,
            "record": record,
        }


@dataclass(frozen=True, slots=True)
class _Content:
    sha256: str
    size: int
    content: bytes | Callable[[], BinaryIO]


@dataclass(slots=True)
class Uploader:
    """
    Uploads files of ``source``, at most ``limit`` at once.

    ``known`` are SHA-256 of contents that were read already. An upload is not repeatable: one whose answer was lost is
    looked for before it is sent again, and files that an earlier try sent stay where they are. A file that cannot be
    read or sent holds up none of the others: once they are there, the upload fails for the service's trouble with it,
    unless this is the last try. Where so many as are under way at once fail one after another, it is not the files'
    fault, and the upload ends.
    """

    client: AsyncClient
    source: Storage
    target: Target
    log: Logger
    limit: int
    known: Mapping[str, str] = field(default_factory=dict)
    is_last_try: bool = True
    result: Uploaded = field(default_factory=Uploaded)
    _ids: list[str] = field(default_factory=list)
    _held: dict[str, list[Held]] = field(default_factory=dict)
    _doubtful: set[str] = field(default_factory=set)
    _unsettled: set[str] = field(default_factory=set)
    _failures: Failures = field(init=False)

    def __post_init__(self) -> None:
        self._failures = Failures(self.limit)
        self.result.failures = self._failures.errors

    async def upload(self, files: Sequence[SourceFile], refused: Collection[str] = ()) -> Uploaded:
        """
        Bring the directories to hold exactly these files (an existing one: at least these) and say what was done.

        Of files whose paths are ``refused`` an existing directory keeps what it holds: they are not gone.
        """
        self._ids = await self._existing()
        contents = [await self._contents(directory_id) for directory_id in self._ids]
        owned = self.target.directory_id is None
        staying = () if owned else refused
        plan = upload_plan.assign(
            files,
            contents,
            max_files=self.target.max_files,
            mirror=self.target.mirror or owned,
            stay=staying,
        )
        await self._make_directories(plan.count)
        gone = {held.id for held in plan.gone}
        everything = [held for content in contents for held in content if held.id not in gone]
        self._held = upload_plan.by_key(everything)
        progress = Progress(len(files), time.monotonic)

        async def one(file: SourceFile) -> None:
            directory_id = self._ids[plan.places[file.path]]
            try:
                row = await self._bring(file, directory_id)
            except (FileNotFoundError, StorageError, LlamaCloudError) as error:
                row = await self._failed(file, error)
            else:
                self._failures.succeed()
            if row.directory_file_id is None and (held := self._held_in(directory_id, file)):
                row = self._left(file.path, held[0])
            self.result.rows[file.path] = row
            if line := progress.add(failed=row.directory_file_id is None):
                self.log.info("Uploads: %s", line)

        await for_each(files, one, limit=self.limit)
        for path in staying:
            if held := self._held.get(upload_plan.path_key(path)):
                self.result.rows[path] = self._left(path, held[0])
        trouble = [error for error in self.result.failures if isinstance(error, LlamaCloudError)]
        if trouble and not (self.is_last_try and self.result.uploaded + self.result.kept):
            raise trouble[0]
        await for_each(plan.gone, self._delete, limit=self.limit)
        await self._delete_doubles()
        self.result.directory_ids = self._used(plan)
        return self.result

    async def _failed(self, file: SourceFile, error: Exception) -> Row:
        """Return the row of a file that is left out; raise where it is not the file's fault."""
        status = manifest.NO_JOB
        if isinstance(error, FileNotFoundError):
            if not await asyncio.to_thread(self.source.exists):
                raise StorageError(f"{self.source.url} is gone since it was listed.") from None
            error = StorageError(f"{self.source.url_of(file.path)} is gone since the folder was listed.")
            status = manifest.SKIPPED
        if status == manifest.SKIPPED or isinstance(error.__cause__, PermissionError):
            self._failures.errors.append(error)  # this file's alone, however many there are
        else:
            self._failures.add(error)
        self.log.warning("%s is left out: %s", file.path, error)
        return Row(file.path, status, error=str(error), source_bytes=file.size)

    def _left(self, path: str, held: Held) -> Row:
        """Return the row of a file of which an earlier copy is in the directory and stays: it will be processed."""
        self.log.warning("The copy of %s that was uploaded before stays", path)
        self.result.kept += 1
        return Row(
            path,
            manifest.UPLOADED,
            directory_id=held.directory_id,
            directory_file_id=held.id,
            source_sha256=held.sha256,
            source_version=held.version,
        )

    def _held_in(self, directory_id: str, file: SourceFile) -> list[Held]:
        held = self._held.get(upload_plan.path_key(file.path), ())
        return [one for one in held if one.directory_id == directory_id]

    async def _existing(self) -> list[str]:
        if self.target.directory_id is not None:
            return [(await self.client.send(calls.get_directory(self.target.directory_id))).id]
        found: list[str] = []
        while (directory_id := await find_directory(self.client, self._name(len(found)))) is not None:
            found.append(directory_id)
        if found:
            self.log.info("Going on with %s directories of an earlier try: %s", len(found), ", ".join(found))
        return found

    async def _contents(self, directory_id: str) -> list[Held]:
        call = calls.list_directory_files(directory_id, page_size=PAGE_SIZE)
        return [upload_plan.held_from(file, directory_id) async for file in iterate(self.client, call)]

    async def _make_directories(self, count: int) -> None:
        if self.target.directory_id is not None and count > 1:
            raise InvalidInputError(
                "directory_id",
                f"{self.target.directory_id} would hold more than {self.target.max_files} files, the most that a batch "
                "takes; leave directory_id out to have them spread over several directories",
            )
        while len(self._ids) < count:
            name = self._name(len(self._ids))
            self._ids.append(await create_directory(self.client, name, self.target.type, self.log))

    def _name(self, index: int) -> str:
        return upload_plan.directory_name(self.target.name, self.target.identity, index + 1)

    async def _bring(self, file: SourceFile, directory_id: str) -> Row:
        """Have one file in its directory, once, in its present version."""
        held = self._held_in(directory_id, file)
        sha256 = self.known.get(file.path) or upload_plan.known_content(file, held)
        if sha256 is not None:
            decision = upload_plan.decide(self._wanted(file, sha256), held)
            if decision.keep is not None:
                return await self._keep(file, sha256, decision)
        async with self._content(file) as content:
            decision = upload_plan.decide(self._wanted(file, content.sha256), held)
            if decision.keep is not None:
                return await self._keep(file, content.sha256, decision)
            row = await self._send(file, content, directory_id)
        if row.status == manifest.UPLOADED:
            await for_each(decision.outdated, self._delete, limit=1)
        return row

    async def _keep(self, file: SourceFile, sha256: str, decision: upload_plan.Decision) -> Row:
        assert decision.keep is not None
        await for_each(decision.outdated, self._delete, limit=1)
        self.result.kept += 1
        return _row(file, sha256, decision.keep.directory_id, decision.keep.id)

    async def _send(self, file: SourceFile, content: _Content, directory_id: str) -> Row:
        wanted = self._wanted(file, content.sha256)
        call = calls.upload_directory_file(
            directory_id,
            content.content,
            size=content.size,
            display_name=upload_plan.display_name(file.path),
            unique_id=wanted,
            metadata=json.dumps(upload_plan.metadata_of(file, content.sha256)),
        )
        for attempt in range(1, MAX_UPLOAD_ATTEMPTS + 1):
            try:
                sent = await self.client.send(call)
            except FileNotFoundError:
                raise
            except (OSError, FileChangedError) as error:  # of the file, which is read while it is sent
                raise StorageError(f"{self.source.url_of(file.path)} cannot be sent: {error}") from error
            except LlamaCloudError as error:
                doubtful = outcome_unknown(error) or isinstance(error, ConflictError)
                if isinstance(error, RefusedError) and not doubtful:
                    self.log.warning("%s was refused: %s", file.path, error)
                    self.result.refusals.append(error)
                    return Row(file.path, manifest.NO_JOB, error=str(error), source_bytes=file.size)
                if not doubtful:
                    raise
                self.log.warning(
                    "It is not known whether %s was stored, so it is looked for: %s", file.path, error
                )
                self._doubtful.add(directory_id)
                self._unsettled.add(wanted)
                found = await looked_for(lambda: self._find_file(directory_id, wanted))
                if found is None and attempt == MAX_UPLOAD_ATTEMPTS:
                    raise
                if found is None:
                    continue
                sent = found
            self._unsettled.discard(wanted)
            self.result.uploaded += 1
            self.result.bytes += content.size
            return _row(file, content.sha256, directory_id, sent.id)
        raise AssertionError("unreachable")

    async def _find_file(self, directory_id: str, unique_id: str) -> DirectoryFile | None:
        call = calls.list_directory_files(directory_id, unique_id=unique_id, page_size=PAGE_SIZE)
        async for file in iterate(self.client, call):
            if file.unique_id == unique_id:
                return file
        return None

    async def _delete(self, held: Held) -> None:
        with unless_gone():
            await self.client.send(calls.delete_directory_file(held.directory_id, held.id))
        self.result.removed += 1

    async def _delete_doubles(self) -> None:
        """Remove what a lost upload made after all, once the file was sent again or is left out."""
        rows = {upload_plan.path_key(path): row for path, row in self.result.rows.items()}
        for directory_id in sorted(self._doubtful):
            for held in await self._contents(directory_id):
                row = rows.get(held.key or "")
                is_double = row is not None and row.directory_file_id not in {None, held.id}
                if is_double or held.unique_id in self._unsettled:
                    await self._delete(held)

    def _wanted(self, file: SourceFile, sha256: str) -> str:
        return upload_plan.unique_id(file.path, sha256, self.target.scope)

    def _used(self, plan: Assignment) -> list[str]:
        holding = {row.directory_id for row in self.result.rows.values() if row.directory_file_id}
        return [directory_id for directory_id in self._ids[: plan.count] if directory_id in holding]

    @contextlib.asynccontextmanager
    async def _content(self, file: SourceFile) -> AsyncIterator[_Content]:
        """Read a file once: a small one into memory, a large one of another machine into a file on disk."""
        if file.size <= SMALL_FILE_BYTES:
            content = await asyncio.to_thread(self._read, file.path)
            yield _Content(hashlib.sha256(content).hexdigest(), len(content), content)
        elif self.source.is_local:
            sha256, size = await asyncio.to_thread(hash_of, self.source, file.path)
            yield _Content(sha256, size, partial(self.source.open, file.path))
        else:
            with tempfile.NamedTemporaryFile(prefix="llamabatch-") as spool:
                sha256, size = await asyncio.to_thread(hash_of, self.source, file.path, spool)
                yield _Content(sha256, size, partial(_opened, spool.name))

    def _read(self, path: str) -> bytes:
        with self.source.reading(path) as opened:
            return opened.read()


def hash_of(source: Storage, path: str, copy: IO[bytes] | None = None) -> tuple[str, int]:
    """Return a file's SHA-256 and size in bytes, writing what is read into ``copy``."""
    digest, size = hashlib.sha256(), 0
    with source.reading(path) as opened:
        for chunk in chunks_of(opened):
            digest.update(chunk)
            size += len(chunk)
            if copy is not None:
                copy.write(chunk)
    if copy is not None:
        copy.flush()
    return digest.hexdigest(), size


def _opened(path: str) -> BinaryIO:
    return Path(path).open("rb")


def _row(file: SourceFile, sha256: str, directory_id: str, directory_file_id: str) -> Row:
    return Row(
        file.path,
        manifest.UPLOADED,
        directory_id=directory_id,
        directory_file_id=directory_file_id,
        source_bytes=file.size,
        source_sha256=sha256,
        source_version=file.version,
    )
