"""Reads an Airflow connection into settings: bounded in time, and with one clear error where there is none."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_llamabatch.airflow_compat import get_connection, mask_secret, sees_only_the_environment
from airflow_provider_llamabatch.defaults import CONNECTION_TIMEOUT

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook, Connection

    from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
    from airflow_provider_llamabatch.llamacloud.settings import ClientSettings

log = logging.getLogger(__name__)

_abandoned: set[asyncio.Task[ClientSettings | LlamaCloudError]] = set()


def settings_of(hook: BaseHook, conn_id: str) -> ClientSettings:
    """Return the settings in connection ``conn_id``; raises ``InvalidInputError``."""
    _check(conn_id)
    read = _read(hook, conn_id)
    if isinstance(read, Exception):
        raise read
    mask(read)
    # What goes wrong after this, such as a refused key, says "the connection": here is which one.
    log.info("Connection %s leads to %s", conn_id, read.base_url)
    return read


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
    from airflow_provider_llamabatch.llamacloud.errors import NoResponseError

    _check(conn_id)
    task = asyncio.create_task(_aread(hook, conn_id))
    _abandoned.add(task)
    task.add_done_callback(_forget)
    done, _ = await asyncio.wait({task}, timeout=CONNECTION_TIMEOUT)
    if not done:
        raise NoResponseError(
            f"The Airflow connection {conn_id!r} could not be looked up within {CONNECTION_TIMEOUT:.0f} s",
            reached_server=False,
        )
    read = task.result()
    if isinstance(read, Exception):
        raise read
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


def _no_connection(conn_id: str) -> str:
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    if variable in os.environ:
        return (
            f"the environment variable {variable} is set, but no Airflow connection can be read from it; it must be "
            'JSON such as {"conn_type": "llamabatch", "password": "llx-..."}, or a URI'
        )
    created = "create one of type llamabatch with the API key as password"
    if not sees_only_the_environment():
        return f"there is no Airflow connection {conn_id!r}; {created}"
    return (
        f"there is no Airflow connection {conn_id!r} here: outside a task Airflow 3 reads connections only from the "
        f"environment ({variable}) and from secrets backends, not from its database; set it "
        f"there, or run this in a task. If it is in neither, {created}"
    )


def settings_in(conn_id: str, connection: Connection) -> ClientSettings | LlamaCloudError:
    """Return the settings in a connection, with what the deployment configures for empty fields; or what is wrong."""
    from airflow_provider_llamabatch import configuration
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
    from airflow_provider_llamabatch.llamacloud.settings import settings_or_problem

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
