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


# Seconds for which one that was replaced is kept open: other calls may still be under way on it, retries included.
KEPT_OPEN = 900.0


@dataclass
class _OfLoop:
    clients: list[AsyncClient] = field(default_factory=list)  # the last one is in use, see AsyncClients.open
    replaced_at: list[float] = field(default_factory=list)  # when each of the others was, by the loop's clock
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def newest(self) -> AsyncClient | None:
        return self.clients[-1] if self.clients else None

    async def replace(self, client: AsyncClient) -> None:
        """Put a client to use, and close those that were replaced long ago."""
        now = asyncio.get_running_loop().time()
        if self.clients:
            self.replaced_at.append(now)
        self.clients.append(client)
        while self.replaced_at and self.replaced_at[0] < now - KEPT_OPEN:
            del self.replaced_at[0]
            await self.clients.pop(0).close()


class AsyncClients:
    """The clients of one hook, by the event loop in which they were asked for."""

    def __init__(self) -> None:
        self._of_loops: dict[asyncio.AbstractEventLoop, _OfLoop] = {}

    async def open(self, hook: LlamaBatchHook, *, refused: AsyncClient | None) -> AsyncClient:
        """
        Return the running loop's client, made from the connection when first asked for.

        One that was ``refused`` is replaced once the connection holds something else.
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
            client = await asyncio.to_thread(_async_client, settings)
            await here.replace(client)
            return client

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
