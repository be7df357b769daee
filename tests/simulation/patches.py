"""Puts the simulated network, clock and connection under the real hook and trigger; nothing else is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from airflow_provider_llamabatch.hooks import connections
from airflow_provider_llamabatch.hooks import llamabatch as hook_module
from airflow_provider_llamabatch.polling import loop as poll_loop
from airflow_provider_llamabatch.triggers import batch as trigger_module
from tests.simulation.network import Client
from tests.simulation.world import LoopLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.world import World

_world: World | None = None
_log = LoopLog()


class _Time:
    """Stands for the module ``time``: the wall clock of the process that is running."""

    @staticmethod
    def time() -> float:
        now: float = _process().clock()
        return now


async def _asettings_of(hook: Any, conn_id: str) -> str:
    assert _world is not None
    await asyncio.sleep(0.01)
    return _world.connection_key


def _async_client(settings: str) -> Client:
    assert _world is not None
    process = _process()
    client = Client(_world.network, process, settings, process.poster)
    triggerer = getattr(process, "triggerer", None)
    if triggerer is not None:
        triggerer.clients.append(client)
    return client


def _process() -> Any:
    return asyncio.get_running_loop()


@contextlib.contextmanager
def simulated(world: World) -> Iterator[None]:
    """Have the real code run in a world for as long as this context is open."""
    global _world  # noqa: PLW0603
    logger = poll_loop.log
    before = logger.level, logger.propagate
    with (
        patch.object(connections, "asettings_of", _asettings_of),
        patch.object(hook_module, "_async_client", _async_client),
        patch.object(trigger_module, "time", _Time),
        patch.object(trigger_module.BatchTrigger, "logger", classmethod(lambda cls: logger)),
    ):
        _world = _log.world = world
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(_log)
        try:
            yield
        finally:
            logger.removeHandler(_log)
            logger.setLevel(before[0])
            logger.propagate = before[1]
            _world = _log.world = None
