"""Reads an Airflow connection into settings: bounded in time, and with one clear error where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
import os
import threading
import warnings
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_llamabatch.airflow_compat import get_connection, mask_secret, sees_only_the_environment
from airflow_provider_llamabatch.defaults import CONN_TYPE, CONNECTION_TIMEOUT

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook, Connection

    from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings

NOT_THERE = "there is no Airflow connection"

log = logging.getLogger(__name__)

_abandoned: set[asyncio.Task[ClientSettings | LlamaCloudError]] = set()
_lookups: WeakKeyDictionary[BaseHook, Future[ClientSettings | LlamaCloudError]] = WeakKeyDictionary()


def settings_of(hook: BaseHook, conn_id: str) -> ClientSettings:
    """Return the settings in connection ``conn_id``; raises ``InvalidInputError``."""
    _check(conn_id)
    return _taken(conn_id, _read(hook, conn_id))


def settings_again(hook: BaseHook, conn_id: str, seconds: float | None) -> ClientSettings:
    """
    Return the settings in a connection that was read before; raises ``LlamaCloudError``, and nothing else.

    What goes wrong may pass, so it is a ``NoResponseError``, also after ``seconds`` (``defaults.CONNECTION_TIMEOUT`` at
    most). A look-up that takes longer is left alone on its thread, and is the one that is waited for the next time.
    """
    lookup = _lookups.get(hook)
    if lookup is None or lookup.done():
        lookup = _lookups[hook] = Future()
        in_context = contextvars.copy_context().run
        arguments = (_look_up, lookup, hook, conn_id)
        threading.Thread(target=in_context, args=arguments, name="llamabatch-connection", daemon=True).start()
    limit = CONNECTION_TIMEOUT if seconds is None else min(seconds, CONNECTION_TIMEOUT)
    wait((lookup,), timeout=limit)
    problem = _problem_of(lookup) if lookup.done() else _too_slow(conn_id, limit)
    if problem is not None:
        raise problem
    return _taken(conn_id, lookup.result())


async def asettings_again(hook: BaseHook, conn_id: str) -> ClientSettings:
    """Return the same without blocking the event loop."""
    try:
        return await asettings_of(hook, conn_id)
    except Exception as error:
        problem = explained(error)
    raise problem


def explained(error: Exception) -> LlamaCloudError:
    """
    Return an error of a call as one of this package.

    Any other is Airflow's own trouble in reading the connection, which may pass. What a secrets backend says may hold a
    secret, so it is not repeated.
    """
    from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError, NoResponseError

    if isinstance(error, LlamaCloudError):
        return error
    return NoResponseError(f"the connection could not be read ({type(error).__name__})", reached_server=False)


def mask(settings: ClientSettings) -> None:
    """Have Airflow mask a connection's secrets in what this process logs."""
    for secret in settings.secrets:
        mask_secret(secret.get_secret_value())


async def asettings_of(hook: BaseHook, conn_id: str) -> ClientSettings:
    """
    Return the settings in connection ``conn_id`` without blocking the event loop.

    Raises ``InvalidInputError``, and ``NoResponseError`` after ``defaults.CONNECTION_TIMEOUT`` seconds. A look-up that
    takes longer is left alone, not cancelled: Airflow reads the answers on its channel in the order of the questions.
    """
    _check(conn_id)
    task = asyncio.create_task(_aread(hook, conn_id))
    _abandoned.add(task)
    task.add_done_callback(_forget)
    done, _ = await asyncio.wait({task}, timeout=CONNECTION_TIMEOUT)
    if not done:
        raise _too_slow(conn_id, CONNECTION_TIMEOUT)
    read = task.result()
    if isinstance(read, Exception):
        raise read
    return read


def _look_up(lookup: Future[ClientSettings | LlamaCloudError], hook: BaseHook, conn_id: str) -> None:
    try:
        lookup.set_result(_read(hook, conn_id))
    except BaseException as error:
        lookup.set_exception(error)


def _problem_of(lookup: Future[ClientSettings | LlamaCloudError]) -> BaseException | None:
    """Return what to raise of a look-up that has ended; a frame that raises holds nothing of what a backend says."""
    error = lookup.exception()
    return explained(error) if isinstance(error, Exception) else error


def _too_slow(conn_id: str, seconds: float) -> LlamaCloudError:
    from airflow_provider_llamabatch.llamacloud.errors import NoResponseError

    said = f"The Airflow connection {conn_id!r} could not be looked up within {seconds:.0f} s"
    return NoResponseError(said, reached_server=False)


def _taken(conn_id: str, read: ClientSettings | LlamaCloudError) -> ClientSettings:
    if isinstance(read, Exception):
        raise read
    mask(read)
    # What goes wrong after this, such as a refused key, says "the connection": here is which one.
    log.info("Connection %s leads to %s", conn_id, read.base_url)
    return read


def _check(conn_id: object) -> None:
    """Refuse what is no connection's name before Airflow is asked for it, which would log it: it may be a key."""
    from airflow_provider_llamabatch.llamacloud.call import NOTHING, check_conn_id
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

    check_conn_id("llamabatch_conn_id", str(conn_id))
    if not isinstance(conn_id, str) or not conn_id.strip():
        hint = NOTHING if conn_id is None else ""
        raise InvalidInputError(
            "llamabatch_conn_id", f"must be the name of an Airflow connection, not {conn_id!r:.100}{hint}"
        )


def _forget(task: asyncio.Task[ClientSettings | LlamaCloudError]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # seen here, so that a look-up that failed too late is not reported as never seen


def _read(hook: BaseHook, conn_id: str) -> ClientSettings | LlamaCloudError:
    try:
        return settings_in(conn_id, hook.get_connection(conn_id))
    except AirflowNotFoundException:
        return _read_again(hook, conn_id)


async def _aread(hook: BaseHook, conn_id: str) -> ClientSettings | LlamaCloudError:
    try:
        return settings_in(conn_id, await get_connection(hook, conn_id))
    except AirflowNotFoundException:
        return await asyncio.to_thread(_read_again, hook, conn_id)


def _read_again(hook: BaseHook, conn_id: str) -> ClientSettings | LlamaCloudError:
    """
    Look a connection up once more that is said not to exist.

    Airflow says so too where looking failed: because a deprecation warning of its own was turned into an error, or
    because there is no asynchronous way to the supervisor (``airflow dags test``).
    """
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return settings_in(conn_id, hook.get_connection(conn_id))
    except AirflowNotFoundException:
        return InvalidInputError("llamabatch_conn_id", _no_connection(conn_id))


def _variable(conn_id: str) -> str:
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def _is_of_no_use(conn_id: str, connection: Connection) -> bool:
    """Say whether Airflow made a connection of a variable that holds none, such as a key alone: it has no type then."""
    text = os.environ.get(_variable(conn_id))
    if text is None or connection.conn_type or connection.password:
        return False
    with contextlib.suppress(ValueError):
        held = json.loads(text)
        return not (isinstance(held, dict) and held)
    return True


def _no_connection(conn_id: str) -> str:
    variable = _variable(conn_id)
    if variable in os.environ:
        return (
            f"the environment variable {variable} is set, but no Airflow connection can be read from it; it must be "
            'JSON such as {"conn_type": "llamabatch", "password": "llx-..."}, or a URI'
        )
    created = "create one of type llamabatch with the API key as password"
    if not sees_only_the_environment():
        return f"{NOT_THERE} {conn_id!r}; {created}"
    return (
        f"{NOT_THERE} {conn_id!r} here: outside a task Airflow 3 reads connections only from the "
        f"environment ({variable}) and from secrets backends, not from its database; set it "
        f"there, or run this in a task. If it is in neither, {created}"
    )


def settings_in(conn_id: str, connection: Connection) -> ClientSettings | LlamaCloudError:
    """Return the settings in a connection, with what the deployment configures for empty fields; or what is wrong."""
    from airflow_provider_llamabatch import configuration
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
    from airflow_provider_llamabatch.llamacloud.settings import settings_or_problem

    if _is_of_no_use(conn_id, connection):
        return InvalidInputError("llamabatch_conn_id", _no_connection(conn_id))
    if connection.conn_type not in (None, "", CONN_TYPE):
        return InvalidInputError(
            "llamabatch_conn_id",
            f"the Airflow connection {conn_id!r} is of type {connection.conn_type[:50]!r}, not {CONN_TYPE!r}: another "
            "service's password is not sent to LlamaCloud",
        )
    try:
        default_host = configuration.api_host()
        defaults = {
            "timeout_seconds": configuration.request_timeout(),
            "max_attempts": configuration.max_attempts(),
        }
    except InvalidInputError as error:
        return error
    return settings_or_problem(
        conn_id,
        password=connection.password,
        host=connection.host,
        schema=connection.schema,
        port=connection.port,
        extra=connection.extra,
        default_host=default_host,
        defaults=defaults,
    )
