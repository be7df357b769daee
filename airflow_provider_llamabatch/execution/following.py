"""
Directories that are made once, and follow-up directories: files that LlamaCloud has already, put together anew.

Neither making a directory nor adding a file is repeatable. So a directory has a name of its own and an added file the
id of the one it stands for, and both are looked for after a lost response and by a later try.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_llamabatch import configuration
from airflow_provider_llamabatch.batches.evidence import of_directory, unless_gone
from airflow_provider_llamabatch.defaults import (
    LOOKUP_PAUSES,
    MAX_UPLOAD_ATTEMPTS,
    PAGE_SIZE,
)
from airflow_provider_llamabatch.execution.concurrency import (
    for_each,
    iterate,
    run,
    settings_for,
    with_new_key,
)
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import ConflictError, LlamaCloudError
from airflow_provider_llamabatch.llamacloud.retries import outcome_unknown
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import Directory, DirectoryFile
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

T = TypeVar("T")


async def send_once(client: AsyncClient, call: Call[T], look: Callable[[], Awaitable[T | None]]) -> T:
    """Send a call that is not repeatable; what a lost response made is found by ``look``."""
    for attempt in range(1, MAX_UPLOAD_ATTEMPTS + 1):
        try:
            return await client.send(call)
        except LlamaCloudError as error:
            if not outcome_unknown(error) and not isinstance(error, ConflictError):
                raise
            if (found := await looked_for(look)) is not None:
                return found
            if attempt == MAX_UPLOAD_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def looked_for(
    look: Callable[[], Awaitable[T | None]], pauses: Sequence[float] | None = None
) -> T | None:
    """Look a few times for what a lost response may have made; lists may lag behind."""
    for pause in LOOKUP_PAUSES if pauses is None else pauses:
        await asyncio.sleep(pause)
        if (found := await look()) is not None:
            return found
    return None


async def create_directory(client: AsyncClient, name: str, type: str, log: Logger) -> str:
    """Make a directory with a name that no other has, and return its id."""
    call = calls.create_directory(name=name, type=type)
    directory = await send_once(client, call, lambda: _directory_called(client, name))
    log.info("Created directory %s (%s)", directory.id, name)
    return directory.id


async def find_directory(client: AsyncClient, name: str) -> str | None:
    """Return the id of the directory with this very name, None where there is none."""
    found = await _directory_called(client, name)
    return None if found is None else found.id


async def files_of(client: AsyncClient, directory_id: str) -> list[DirectoryFile]:
    """Return the files of a directory."""
    return [
        file async for file in iterate(client, calls.list_directory_files(directory_id, page_size=PAGE_SIZE))
    ]


async def found_or_made(
    client: AsyncClient, name: str, known: str | None, pauses: Sequence[float], log: Logger
) -> str:
    """Return the ephemeral directory called ``name``: the ``known`` one if it is still there, or one that is listed."""

    async def look() -> str | None:
        return known if known and await _is_there(client, known) else await find_directory(client, name)

    return await looked_for(look, pauses) or await create_directory(client, name, "ephemeral", log)


async def fill(
    client: AsyncClient, directory_id: str, files: Sequence[DirectoryFile], *, limit: int
) -> dict[str, str]:
    """
    Have a follow-up directory hold exactly these files of others, none of them uploaded again.

    What is returned leads from its files' ids to those of the files they stand for. What an earlier try put there and
    is not among these files any more, or has been replaced since, is taken out, unless a batch has it already.
    """
    origin = await _only(client, directory_id, files, limit=limit)
    there = set(origin.values())
    is_doubtful = False

    async def add(file: DirectoryFile) -> None:
        async def look() -> DirectoryFile | None:
            nonlocal is_doubtful
            is_doubtful = True
            return await _file_with(client, directory_id, file.id)

        call = calls.add_directory_file(
            directory_id,
            file_id=file.file_id or "",
            display_name=file.display_name,
            unique_id=file.id,
            metadata=file.metadata,
        )
        added = await send_once(client, call, look)
        origin[added.id] = file.id

    await for_each([file for file in files if file.id not in there], add, limit=limit)
    if is_doubtful:  # what was sent again may be there twice, and would be paid for twice
        held = await _only(client, directory_id, files, limit=limit, added=origin)
        there = set(held.values())
        origin = {
            file_id: stands_for for file_id, stands_for in origin.items() if stands_for not in there
        } | held
    return origin


async def _only(
    client: AsyncClient,
    directory_id: str,
    files: Sequence[DirectoryFile],
    *,
    limit: int,
    added: Collection[str] = (),
) -> dict[str, str]:
    """
    Take out of a follow-up directory what does not stand for one of these files; return what each one stands for.

    What was ``added`` just now does, also where the service should have given it a ``file_id`` of its own.
    """
    held = await files_of(client, directory_id)
    wanted = {file.id: file.file_id for file in files}
    fitting = {
        file.unique_id: file
        for file in held
        if file.unique_id in wanted and (file.id in added or file.file_id in {None, wanted[file.unique_id]})
    }
    surplus = [file for file in held if fitting.get(file.unique_id or "") is not file]
    if surplus and not await _has_batch(client, directory_id):

        async def remove(file: DirectoryFile) -> None:
            with unless_gone():
                await client.send(calls.delete_directory_file(directory_id, file.id))

        await for_each(surplus, remove, limit=limit)
        held = list(fitting.values())
    return {file.id: file.unique_id or "" for file in held}


async def _directory_called(client: AsyncClient, name: str) -> Directory | None:
    async for directory in iterate(client, calls.list_directories(name=name, page_size=PAGE_SIZE)):
        if directory.name == name and directory.deleted_at is None:
            return directory
    return None


async def _is_there(client: AsyncClient, directory_id: str) -> bool:
    with unless_gone():
        return (await client.send(calls.get_directory(directory_id))).deleted_at is None
    return False


async def _has_batch(client: AsyncClient, directory_id: str) -> bool:
    call = calls.list_batches(source_directory_id=directory_id, page_size=PAGE_SIZE)
    listed = [batch async for batch in iterate(client, call)]
    return any(batch.status not in FAILED_STATUSES for batch in of_directory(listed, directory_id))


async def _file_with(client: AsyncClient, directory_id: str, unique_id: str) -> DirectoryFile | None:
    call = calls.list_directory_files(directory_id, unique_id=unique_id, page_size=PAGE_SIZE)
    async for file in iterate(client, call):
        if file.unique_id == unique_id:
            return file
    return None


def follow_up_directory(
    hook: LlamaBatchHook,
    directory_id: str,
    file_ids: Sequence[str],
    name: str,
    log: Logger,
    project_id: str | None,
    organization_id: str | None,
    *,
    known: str | None = None,
    pauses: Sequence[float] = (0.0,),
    keep: Callable[[str], None] | None = None,
) -> tuple[str, dict[str, str]] | None:
    """
    Make, or find, the follow-up directory of these files of a directory; None where none is there any more.

    ``known`` is its id where an earlier try has recorded it, ``keep`` records it before it is used, and ``pauses`` come
    before each look for one that is not known.
    """
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

    wanted, limit = set(file_ids), configuration.max_concurrency()

    def client_of_connection() -> AsyncClient:
        return AsyncClient(settings_for(hook, project_id, organization_id), max_connections=limit)

    async def prepared(client: AsyncClient) -> tuple[str, list[DirectoryFile]] | None:
        async with client:
            held = await files_of(client, directory_id)
            files = [file for file in held if file.id in wanted and file.file_id]
            if len(files) < len(wanted):
                log.warning("%s of %s files cannot be added anew", len(wanted) - len(files), len(wanted))
            if not files:
                return None
            return await found_or_made(client, name, known, pauses, log), files

    async def filled(
        client: AsyncClient, follow_up_id: str, files: Sequence[DirectoryFile]
    ) -> dict[str, str]:
        async with client:
            return await fill(client, follow_up_id, files, limit=limit)

    found = with_new_key(hook, lambda: run(prepared(client_of_connection()), threads=1))
    if found is None:
        return None
    follow_up_id, files = found
    if keep is not None:
        keep(follow_up_id)
    return follow_up_id, with_new_key(
        hook, lambda: run(filled(client_of_connection(), follow_up_id, files), threads=1)
    )
