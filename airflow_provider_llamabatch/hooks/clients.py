"""The asynchronous clients of a hook: each event loop has its own, since what a client holds belongs to one loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.hooks.connections import asettings_again, asettings_of

if TYPE_CHECKING:
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient


@dataclass
class _OfLoop:
    clients: list[AsyncClient] = field(default_factory=list)  # the last one is in use, see AsyncClients.open
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def newest(self) -> AsyncClient | None:
        return self.clients[-1] if self.clients else None


class AsyncClients:
    """The clients of one hook, by the event loop in which they were asked for."""

    def __init__(self) -> None:
        self._of_loops: dict[asyncio.AbstractEventLoop, _OfLoop] = {}

    async def open(self, hook: LlamaBatchHook, *, refused: AsyncClient | None) -> AsyncClient:
        """
        Return the running loop's client, made from the connection when first asked for.

        One that was ``refused`` is replaced once the connection holds something else; until the hook is closed it
        is kept open, since other calls may still be under way on it.
        """
        self._forget_ended_loops()
        here = self._of_loops.setdefault(asyncio.get_running_loop(), _OfLoop())
        newest = here.newest
        if newest is not None and newest is not refused:
            return newest
        async with here.opening:
            newest = here.newest
            if newest is not None and newest is not refused:
                return newest
            look_up = asettings_of if newest is None else asettings_again
            settings = await look_up(hook, hook.llamabatch_conn_id)
            if newest is not None and newest.settings == settings:
                return newest
            here.clients.append(await asyncio.to_thread(_async_client, settings))
            return here.clients[-1]

    async def close(self) -> None:
        """Close those of the running loop; those of another one can be closed only there."""
        self._forget_ended_loops()
        here = self._of_loops.pop(asyncio.get_running_loop(), None)
        for client in here.clients if here else ():
            await client.close()

    def _forget_ended_loops(self) -> None:
        for loop in list(self._of_loops):
            if loop.is_closed():  # what its clients held is closed by nobody but the garbage collector
                self._of_loops.pop(loop, None)


def count_retries() -> None:
    """Have the retries of every client counted."""
    from airflow_provider_llamabatch import metrics
    from airflow_provider_llamabatch.llamacloud import retries

    retries.observe(metrics.retried)


def _async_client(settings: ClientSettings) -> AsyncClient:
    """Return a client; the imports and the CA bundle take tens of milliseconds, so not on the event loop."""
    from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

    count_retries()
    return AsyncClient(settings)
