"""Puts the simulated way to the service, clocks and connection under the real code; nothing else is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from functools import cache, cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import tenacity

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.hooks import connections
from airflow_provider_llamabatch.llamacloud import transport
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from airflow_provider_llamabatch.llamacloud.redaction import Redactor
from airflow_provider_llamabatch.llamacloud.settings import ClientSettings
from airflow_provider_llamabatch.polling import loop as poll_loop
from airflow_provider_llamabatch.polling import sweep
from airflow_provider_llamabatch.triggers import batch as trigger_module
from tests.simulation.world import LoopLog, StoreDownError

if TYPE_CHECKING:
    import re
    from collections.abc import Awaitable, Callable, Iterator

    from pydantic import SecretStr

    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.responses import Response
    from tests.simulation.world import World

_world: World | None = None
_log = LoopLog()
_RUNNING = b'{"id": "%s", "status": "RUNNING"'


class _Time:
    """Stands for the module ``time``: the clocks of the process that is running."""

    @staticmethod
    def time() -> float:
        now: float = _process().clock()
        return now

    @staticmethod
    def monotonic() -> float:
        now: float = _process().time()
        return now


class _Http:
    """Stands for ``httpx.AsyncClient``."""

    def __init__(self, settings: ClientSettings) -> None:
        self.key = settings.api_key.get_secret_value()

    async def aclose(self) -> None:
        """Nothing is open."""


class _Exchange:
    """One attempt at a call, as ``exchange.Exchange`` makes it over httpx, here over the simulated network."""

    def __init__(self, http: _Http, call: Call[Any], _: Any, seconds: float) -> None:
        self._key, self._call, self._seconds = http.key, call, seconds

    async def perform(self) -> Response | Exception:
        """Return the response, or the exception to raise."""
        assert _world is not None
        process = _process()
        try:
            said = await _world.network.send(process, self._key, self._call, self._seconds, process.poster)
        except LlamaCloudError as error:
            return error
        if said.status >= 400 and said.body.startswith(b'{"detail": '):
            process.verdicts.append((process.clockwork.now, said.status, self._call.path))
            if said.status == 401 and self._key != _world.service.key:
                process.outdated_at = process.clockwork.now
        elif (key := self._call.path.rpartition("/")[2]) and said.body.startswith(_RUNNING % key.encode()):
            process.answers[key] = process.clockwork.now
        return said


class _Retrying:
    """Does what tenacity's ``AsyncRetrying`` does with the same arguments, in a tenth of its time."""

    def __init__(
        self, *, retry: Any, stop: Any, wait: Any, reraise: bool, sleep: Any, before_sleep: Any
    ) -> None:
        assert reraise
        self._retry, self._stop, self._wait, self._sleep = retry, stop, wait, sleep
        self._before_sleep = before_sleep

    async def __call__(self, act: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        began, attempt = _Time.monotonic(), 1
        while True:
            try:
                return await act(*args)
            except Exception as error:
                state = tenacity.RetryCallState(None, act, args, {})  # type: ignore[arg-type]
                state.set_exception((type(error), error, None))
                state.attempt_number, state.start_time = attempt, began
                state.outcome_timestamp = _Time.monotonic()
                if not self._retry(state):
                    raise
                pause = state.upcoming_sleep = self._wait(state)
                if self._stop(state):
                    raise
                self._before_sleep(state)
            await self._sleep(pause)
            attempt += 1


async def _aread(_hook: Any, _conn_id: str) -> ClientSettings:
    """Look the connection up, which may take long or fail."""
    assert _world is not None
    takes = _world.lookup_takes()
    await asyncio.sleep(abs(takes))
    if takes < 0:
        raise StoreDownError
    return _settings(_world.connection_key)


@cache
def _settings(key: str) -> ClientSettings:
    return ClientSettings.model_validate({"api_key": key})


class _Redactor(Redactor):
    """Builds its patterns once per key, not once per client."""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _pattern(tuple(self._secrets))


@cache
def _pattern(secrets: tuple[SecretStr, ...]) -> re.Pattern[str]:
    return Redactor(secrets)._pattern


def _set_zone(name: str | None) -> None:
    """Have the machine be in a time zone, which nothing here may depend on."""
    if name != os.environ.get("TZ"):
        if name is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = name
        time.tzset()


def _process() -> Any:
    return asyncio.get_running_loop()


@contextlib.contextmanager
def simulated(world: World) -> Iterator[None]:
    """Have the real code run in a world for as long as this context is open."""
    global _world  # noqa: PLW0603
    logger = poll_loop.log
    before, zone = logger.propagate, os.environ.get("TZ")
    with (
        patch.object(connections, "_aread", _aread),
        patch.object(transport, "_http_client", lambda arguments: _Http(**arguments)),
        patch.object(transport, "_client_arguments", lambda settings, _: {"settings": settings}),
        patch.object(transport, "Exchange", _Exchange),
        patch.object(transport, "Redactor", _Redactor),
        patch.object(transport, "tenacity", SimpleNamespace(AsyncRetrying=_Retrying)),
        patch.object(transport, "time", _Time),
        patch.object(defaults, "PAGE_SIZE", world.nature.rows or defaults.PAGE_SIZE),
        patch.object(sweep, "WAITS_PER_RANGE", world.nature.rows or sweep.WAITS_PER_RANGE),
        patch.object(
            sweep, "WAITS_PER_RECHECK_PAGE", 1 if world.nature.rows else sweep.WAITS_PER_RECHECK_PAGE
        ),
        patch.object(trigger_module, "time", _Time),
        patch.object(trigger_module.BatchTrigger, "logger", classmethod(lambda cls: logger)),
    ):
        _world = _log.world = world
        _set_zone(world.nature.zone)
        if logger.level != logging.INFO:
            logger.setLevel(logging.INFO)  # which is slow
        logger.propagate = False
        logger.addHandler(_log)
        try:
            yield
        finally:
            logger.removeHandler(_log)
            logger.propagate = before
            _set_zone(zone)
            _world = _log.world = None
