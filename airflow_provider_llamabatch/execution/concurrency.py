"""Many files at once on a worker, in the one event loop of a task, bounded."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_llamabatch.defaults import MIN_FAILURES_IN_A_ROW
from airflow_provider_llamabatch.exceptions import StorageError
from airflow_provider_llamabatch.llamacloud.call import checked_id
from airflow_provider_llamabatch.llamacloud.errors import AuthenticationError, LlamaCloudError
from airflow_provider_llamabatch.llamacloud.retries import is_transient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import Page
    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], *, threads: int) -> T:
    """
    Run a task's one event loop to its end; ``asyncio.to_thread`` in it has ``threads`` threads.

    Nothing in it may use the task SDK: calls of a second loop are mixed up with those of the task itself. So
    connections are resolved before.
    """

    async def main() -> T:
        with ThreadPoolExecutor(threads, thread_name_prefix="llamabatch-storage") as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            return await work

    return asyncio.run(main())


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, limit: int) -> None:
    """Do ``work`` on every item, at most ``limit`` at once; the first exception ends all of it and is raised."""
    remaining = iter(items)

    async def worker() -> None:
        for item in remaining:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


@dataclass(slots=True)
class Failures:
    """
    What went wrong with single documents, of which at most ``limit`` are under way at once.

    Where that many fail one after another, or for what no other try would change, the documents are not at fault.
    """

    limit: int
    errors: list[Exception] = field(default_factory=list)
    _in_a_row: int = 0

    def add(self, error: Exception) -> None:
        """Keep the error of one document; raise it where it is not the document's."""
        self._in_a_row += 1
        is_alone = self._in_a_row < max(self.limit, MIN_FAILURES_IN_A_ROW)
        if not is_alone or not (isinstance(error, StorageError) or is_transient(error)):
            raise error
        self.errors.append(error)

    def succeed(self) -> None:
        """Begin to count anew: a document went through."""
        self._in_a_row = 0


def with_new_key(hook: LlamaBatchHook, work: Callable[[], T]) -> T:
    """Do work that takes the settings of ``hook``; once more where its key is refused and was changed meanwhile."""
    try:
        return work()
    except AuthenticationError:
        _take_new_key(hook)
        return work()


def _take_new_key(hook: LlamaBatchHook, within: float | None = None) -> None:
    """Have a hook read its connection again where its key is refused; raises where there is no other that is taken."""
    from airflow_provider_llamabatch.llamacloud.calls import list_batches

    hook.send(list_batches(page_size=1), within=within)


def send_all(hook: LlamaBatchHook, calls: Sequence[Call[T]], *, within: float | None = None) -> list[T]:
    """
    Send repeatable calls, at most ``MAX_CONCURRENCY`` at once; return the values in their order.

    ``within``: seconds for each call, retries included. The first error is raised, but the connection is read again
    where the key is no longer accepted.
    """
    if len(calls) < 2:
        return [hook.send(call, within=within) for call in calls]
    return with_new_key(hook, lambda: run(_send_all(hook.get_conn().settings, calls, within), threads=1))


def send_each(
    hook: LlamaBatchHook, calls: Sequence[Call[T]], *, within: float | None = None
) -> list[T | LlamaCloudError]:
    """
    Send repeatable calls as ``send_all`` does; where one fails its error stands in the place of its value.

    Where as many as are under way at once fail one after another by what may pass, that is raised.
    """
    told = run(_send_all(hook.get_conn().settings, calls, within, keep_errors=True), threads=1)
    refused = [number for number, one in enumerate(told) if isinstance(one, AuthenticationError)]
    if refused:
        _take_new_key(hook, within)
        again = [calls[number] for number in refused]
        renewed = run(_send_all(hook.get_conn().settings, again, within, keep_errors=True), threads=1)
        for number, one in zip(refused, renewed, strict=True):
            told[number] = one
    return told


async def _send_all(
    settings: ClientSettings, calls: Sequence[Call[T]], within: float | None, *, keep_errors: bool = False
) -> list[Any]:
    from airflow_provider_llamabatch.defaults import MAX_CONCURRENCY
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

    values: dict[int, Any] = {}
    failures = Failures(MAX_CONCURRENCY)
    async with AsyncClient(settings, max_connections=MAX_CONCURRENCY) as client:

        async def one(numbered: tuple[int, Call[T]]) -> None:
            number, call = numbered
            try:
                values[number] = await client.send(call, within=within)
            except LlamaCloudError as error:
                if not keep_errors:
                    raise
                if is_transient(error):
                    failures.add(error)
                values[number] = error
            else:
                failures.succeed()

        await for_each(enumerate(calls), one, limit=MAX_CONCURRENCY)
    return [values[number] for number in range(len(calls))]


async def iterate(client: AsyncClient, call: Call[Page[T]]) -> AsyncIterator[T]:
    """Walk a list call through all its pages."""
    from airflow_provider_llamabatch.llamacloud.call import Walk

    walk = Walk(call)
    while walk.call is not None:
        for item in walk.items(await client.send(walk.call)):
            yield item


def settings_for(hook: LlamaBatchHook, project_id: str | None, organization_id: str | None) -> ClientSettings:
    """Return the settings of a client, with these ids where given. Asks Airflow for the connection: not in a loop."""
    given = {"project_id": project_id, "organization_id": organization_id}
    checked = {name: checked_id(name, value) for name, value in given.items() if value is not None}
    return hook.get_conn().settings.model_copy(update=checked)
