"""Every decision that depends on the Airflow version, and what its configuration says. Airflow 2.11 to 3.3."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

SECTION = "llamabatch"


def default_deferrable() -> bool:
    """
    Return whether tasks wait deferred where their ``deferrable`` is not given: yes, unless somebody chose otherwise.

    A choice is ``[llamabatch] default_deferrable``, or the environment variable for ``[operators] default_deferrable``.
    That option in airflow.cfg is none: Airflow 3.3 writes ``False`` there when it makes the file.
    """
    chosen = conf.get(SECTION, "default_deferrable", fallback=None)
    if chosen:
        return bool(conf.getboolean(SECTION, "default_deferrable"))
    if "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE" in os.environ:
        return bool(conf.getboolean("operators", "default_deferrable"))
    return True


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


def asset_state(context: Context, uri: str) -> Any:
    """Return the state store (Airflow 3.3 and newer) of an asset that the task has as inlet or outlet, None else."""
    store, task = context.get("asset_state_store"), getattr(context["ti"], "task", None)
    declared = [*(getattr(task, "inlets", None) or ()), *(getattr(task, "outlets", None) or ())]
    asset = next((one for one in declared if getattr(one, "uri", None) == uri), None)
    return None if store is None or asset is None else store[asset]


def has_partitions() -> bool:
    """Say whether assets can have partitions: Airflow 3.3 and newer."""
    try:
        from airflow.sdk import PartitionedAssetTimetable  # noqa: F401
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
