"""Every decision that depends on the Airflow version. Airflow 2.11 to 3.3."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import BaseHook, Connection, Context

log = logging.getLogger(__name__)

AIRFLOW_3 = importlib.util.find_spec("airflow.sdk") is not None


def mask_secret(secret: str) -> None:
    """Have Airflow hide a secret in logs and rendered fields; common-compat below 1.22 does not have this name."""
    for module in (
        "airflow.sdk.log",  # 3.1
        "airflow.sdk.execution_time.secrets_masker",  # 3.0
        "airflow.utils.log.secrets_masker",  # 2.11
    ):
        with contextlib.suppress(ImportError, AttributeError):
            mask = import_module(module).mask_secret
            break
    mask(secret)


def sees_only_the_environment() -> bool:
    """Say whether connections of the metadata database are out of reach: in a plain script on Airflow 3."""
    if not AIRFLOW_3 or os.environ.get("_AIRFLOW_PROCESS_CONTEXT") in ("server", "client"):
        return False
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    return getattr(runner, "SUPERVISOR_COMMS", None) is None


async def get_connection(hook: BaseHook, conn_id: str) -> Connection:
    """
    Return a connection without blocking the event loop.

    Below 3.3.2 Airflow's own ``aget_connection`` masks secrets by a call that raises ``DeadlockImminentError`` when
    another one is under way, so there the blocking way is taken on a thread, as common-compat does from 1.23 on.
    """
    from airflow.providers.common.compat.sdk import Connection
    from asgiref.sync import sync_to_async

    if hasattr(Connection, "aextra_dejson"):
        connection: Connection = await hook.aget_connection(conn_id)
        return connection
    return await sync_to_async(hook.get_connection)(conn_id)


def timed_out_by_airflow(next_method: str, next_kwargs: Mapping[str, Any] | None) -> bool:
    """Say whether Airflow resumes the task because the backstop passed: the triggerer never answered."""
    return next_method == "__fail__" and "timeout" in str((next_kwargs or {}).get("error")).lower()


def first_poke_at(context: Context) -> float | None:
    """Return when a rescheduled sensor began (epoch seconds), None at its first poke."""
    ti = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        began = ti.get_first_reschedule_date(context)
    else:  # Airflow 2
        from airflow.sensors.base import _orig_start_date

        retries = ti.task.retries or 0
        began = _orig_start_date(
            ti.dag_id, ti.task_id, ti.run_id, ti.map_index, try_number=ti.max_tries - retries + 1
        )
    return began.timestamp() if began else None


async def task_state(ti: Any) -> str | None:
    """Return a task instance's state as Airflow has it now, asked from a trigger; None when it cannot be told."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    if ti is None:
        return None
    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=ti.dag_id, map_index=ti.map_index, task_ids=[ti.task_id], run_ids=[ti.run_id]
    )
    found = [str(state) for of_run in states.values() for state in of_run.values()]
    return found[0] if len(found) == 1 else None


def has_xcom(reference: Any, context: Context) -> bool:
    """Say whether what a task's argument refers to, the XCom of another task, is there."""
    try:
        reference.resolve(context)
    except Exception as error:
        # Its class moved between Airflow versions, and has no name in every common-compat.
        if type(error).__name__ == "XComNotFound":
            return False
        raise
    return True


def failed_before(context: Context, *, just: bool = False) -> list[str]:
    """Return the ids of the tasks before this one, or ``just`` before it, that failed, as far as Airflow tells."""
    return sorted(name for name, state in states_before(context, just=just).items() if state == "failed")


def states_before(context: Context, *, just: bool = False) -> dict[str, str]:
    """
    Return the states of the tasks before this one in its run, all or those ``just`` before it.

    They are empty where Airflow does not tell them.

    They are by id, those of a mapped task by ``id[map index]``.
    """
    ti = context["ti"]
    try:
        ids = sorted(ti.task.upstream_task_ids if just else ti.task.get_flat_relative_ids(upstream=True))
        if AIRFLOW_3:
            found = ti.get_task_states(dag_id=ti.dag_id, task_ids=ids, run_ids=[ti.run_id])
            return {
                _with_index(name, ids): str(state)
                for of_run in found.values()
                for name, state in of_run.items()
            }
        of_airflow_2: Any = context["dag_run"]
        return {
            one.task_id if one.map_index < 0 else f"{one.task_id}[{one.map_index}]": str(one.state)
            for one in of_airflow_2.get_task_instances()
            if one.task_id in ids
        }
    except Exception:  # they are only for a message
        log.debug("Airflow does not tell the states of the tasks before this one", exc_info=True)
        return {}


def _with_index(name: str, ids: list[str]) -> str:
    """Return ``create[0]`` for what Airflow 3 calls ``create_0``, unless there is a task of that name."""
    task_id, _, index = name.rpartition("_")
    return f"{task_id}[{index}]" if name not in ids and task_id in ids else name


def asset_state(context: Context, uri: str) -> Any:
    """Return the state store (Airflow 3.3 and newer) of an asset that the task has as inlet or outlet, None else."""
    store, task = context.get("asset_state_store"), getattr(context["ti"], "task", None)
    declared = [*(getattr(task, "inlets", None) or ()), *(getattr(task, "outlets", None) or ())]
    asset = next((one for one in declared if getattr(one, "uri", None) == uri), None)
    return None if store is None or asset is None else store[asset]


def has_partitions() -> bool:
    """Say whether assets can have partitions: Airflow 3.3 and newer."""
    try:
        from airflow.sdk import PartitionedAssetTimetable  # noqa: F401 - is it there?
    except ImportError:
        return False
    return True


def add_partitions(context: Context, asset: Any, keys: list[str], extra: dict[str, Any]) -> None:
    """Raise an event of an outlet of the task for each key, when it succeeds."""
    event = context["outlet_events"][asset]
    event.extra.update(extra)
    if keys:
        event.add_partitions(keys)


def get_variable(name: str) -> str | None:
    """Return the text of an Airflow Variable, None where there is none."""
    from airflow.providers.common.compat.sdk import Variable

    try:
        value: str = Variable.get(name)
    except Exception as error:  # KeyError on Airflow 2, an AirflowRuntimeError of the task SDK on 3
        if isinstance(error, KeyError) or "VARIABLE_NOT_FOUND" in str(error):
            return None
        raise
    return value


def set_variable(name: str, value: str, description: str) -> None:
    """Set an Airflow Variable."""
    from airflow.providers.common.compat.sdk import Variable

    Variable.set(name, value, description=description)


def has_views() -> bool:
    """Return whether this Airflow shows a plugin's pages: 3.1 and newer."""
    return _version() >= (3, 1)


def opens_views_anywhere() -> bool:
    """Return whether an address can lead to any page of a plugin inside Airflow's frame: 3.3.2 and newer."""
    return _version() >= (3, 3, 2)


@cache
def _version() -> tuple[int, ...]:
    from airflow import __version__

    return tuple(int(number) for number in re.findall(r"\d+", __version__)[:3])


def keeps_state() -> bool:
    """Say whether Airflow keeps state for tasks beyond a try (3.3 and newer)."""
    try:
        from airflow.sdk.execution_time.context import TaskStateStoreAccessor  # noqa: F401 - is it there?
    except ImportError:
        return False
    return True


def triggerer_capacity() -> int:
    """Return how many triggers one triggerer runs at once, as configured here."""
    from airflow.providers.common.compat.sdk import conf

    return int(conf.getint("triggerer", "capacity" if AIRFLOW_3 else "default_capacity"))


def stats() -> Any:
    """Return Airflow's ``Stats``, set up as this deployment wants it."""
    from airflow.providers.common.compat.sdk import Stats

    of_version: Any = Stats
    # The triggerer of Airflow 3.2 sets up another one, the core's own.
    if _version()[:2] == (3, 2) and of_version.factory is None:
        utils = import_module("airflow.sdk.observability.metrics.stats_utils")
        of_version.initialize(factory=utils.get_stats_factory(Stats))
    return Stats
