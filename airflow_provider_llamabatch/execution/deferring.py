"""What a task says in its log about where it waits: that it holds a worker, or that nobody is there to take over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.airflow_compat import AIRFLOW_3
from airflow_provider_llamabatch.defaults import HEALTH_TIMEOUT

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

_EXECUTION_API = "/execution"
_DEFAULT_SERVER = "http://localhost:8080"  # Airflow's own default
_HEALTH = "/api/v2/monitor/health"


def say_that_a_worker_is_held(log: Logger) -> None:
    """Log that the wait costs a worker slot: whoever did not choose that learns it here."""
    log.info("This task holds its worker slot while it waits, since it is not deferrable")


def warn_without_triggerer(log: Logger) -> None:
    """
    Log a warning where it is known that no triggerer is alive: the task would stay deferred without another word.

    On Airflow 3 the API server's health page is asked (no key goes along; tasks have no other way to learn it), on
    Airflow 2 the metadata database. Where neither answers nothing is said, and nothing is ever raised.
    """
    try:
        seen = last_seen()
    except Exception as error:  # whatever it is, it is no reason to fail a task that is about to wait
        log.debug("It could not be told whether a triggerer is alive: %s", error)
        return
    if seen is not None:
        log.warning(
            "No triggerer is alive (last heartbeat: %s), so this task stays deferred until there is one: start "
            "`airflow triggerer`, or let the task wait on its worker with deferrable=False",
            seen or "never",
        )


def last_seen() -> str | None:
    """Return what ``triggerer_of`` does, of this deployment; the pytest plugin puts another function in its place."""
    return triggerer_of(_health_page()) if AIRFLOW_3 else _last_heartbeat()


def triggerer_of(health: Any) -> str | None:
    """Return the last heartbeat of a triggerer that is not alive, empty for none ever; None if it is, or not told."""
    if not isinstance(health, dict) or (health.get("metadatabase") or {}).get("status") == "unhealthy":
        return None
    triggerer = health.get("triggerer") or {}
    if "status" not in triggerer or triggerer["status"] == "healthy":
        return None
    return str(triggerer.get("latest_triggerer_heartbeat") or "")


def _health_page() -> Any:
    import httpx
    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_llamabatch.llamacloud.background import BackgroundLoop

    server = (
        conf.get("core", "execution_api_server_url", fallback=None)
        or conf.get("api", "base_url", fallback=None)
        or _DEFAULT_SERVER
    )
    url = f"{server.rstrip('/').removesuffix(_EXECUTION_API)}{_HEALTH}"

    async def ask() -> Any:
        async with (
            asyncio.timeout(HEALTH_TIMEOUT),
            httpx.AsyncClient() as client,
        ):  # httpx bounds each read only
            return (await client.get(url)).json()

    loop = BackgroundLoop(closing=lambda: asyncio.sleep(0))
    try:
        return loop.run(ask())
    finally:
        loop.close()


def _last_heartbeat() -> str | None:
    from airflow.jobs.job import most_recent_job

    job = most_recent_job("TriggererJob")
    if job is None:
        return ""
    return None if job.is_alive() else str(job.latest_heartbeat)
