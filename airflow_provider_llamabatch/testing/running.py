"""Running a DAG or an operator in a test, on Airflow 2.11 and 3, and reading what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

BUNDLE = "llamabatch-tests"


@dataclass(frozen=True, slots=True)
class DagResult:
    """What came of a run: its state, those of its tasks (``task_id``, or ``task_id[map index]``), its XComs."""

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, str]

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom, or None when there is none; raises ``KeyError`` for a task that the run does not have."""
        from airflow.utils.session import create_session

        known = sorted({name.partition("[")[0] for name in self.tasks})
        if task_id not in known:
            raise KeyError(f"{task_id!r} is no task of this run; its tasks are {', '.join(known)}")

        model = _first("airflow.models.xcom:XComModel", "airflow.models.xcom:BaseXCom")

        with create_session() as session:
            found = (
                session.query(model.value)
                .filter_by(
                    dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, key=key, map_index=map_index
                )
                .first()
            )
        if found is None:
            return None
        (value,) = found
        return _deserialized(value)


def run(dag: Any, conf: dict[str, Any] | None = None) -> DagResult:
    """
    Run a DAG to its end in this process, triggers included, as ``dag.test()`` does.

    The DAG may be defined in the test. A retry comes without its delay. A task that fails does not raise: look at the
    result's ``state`` and ``tasks``. ``conf`` is the run's configuration.
    """
    _database()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own
        _serialize(dag)
        with _no_retry_delays(dag):
            made = dag.test(**{"run_conf": conf} if conf else {})
    return _result(dag.dag_id, made.run_id)


def run_operator(operator: Any, conf: dict[str, Any] | None = None) -> DagResult:
    """Run an operator that belongs to no DAG, alone in a DAG of its own."""
    dag_class = _first("airflow.sdk:DAG", "airflow:DAG")
    dag = dag_class(
        dag_id=f"test_{operator.task_id}", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)
    )
    dag.add_task(operator)
    return run(dag, conf)


def _first(*places: str) -> Any:
    """Return what the first of these places has: names moved between Airflow versions. None when nowhere."""
    for place in places:
        module, _, name = place.partition(":")
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(import_module(module), name)
    return None


@cache
def _database() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own
        from airflow.utils.db import initdb

        initdb()


def _serialize(dag: Any) -> None:
    """Let Airflow 3 find the DAG where it looks for it: a DAG that no file of the DAG folder defines is unknown."""
    bundles = _first("airflow.models.dagbundle:DagBundleModel")
    if bundles is None:
        return  # Airflow 2 runs a DAG that it does not know
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(bundles, BUNDLE) is None:
            session.add(bundles(name=BUNDLE))
    with tempfile.TemporaryDirectory() as empty:
        bags = _first("airflow.dag_processing.dagbag:DagBag", "airflow.models.dagbag:DagBag")
        bag = bags(empty, collect_dags=False)
    bag.dags = {dag.dag_id: dag}
    dag.fileloc = dag.fileloc or os.devnull
    if not getattr(dag, "relative_fileloc", None):
        dag.relative_fileloc = dag.fileloc  # Airflow 3.0 and 3.1 ask for it
    sync = _first("airflow.dag_processing.dagbag:sync_bag_to_db", "airflow.models.dagbag:sync_bag_to_db")
    if sync is None:
        bag.sync_to_db(BUNDLE, None)
    else:
        sync(bag, BUNDLE, None)


@contextlib.contextmanager
def _no_retry_delays(dag: Any) -> Iterator[None]:
    with contextlib.ExitStack() as changed:
        for task in dag.tasks:
            if hasattr(task, "partial_kwargs"):  # a mapped one: its tasks are made of these arguments
                changed.enter_context(mock.patch.dict(task.partial_kwargs, retry_delay=timedelta(0)))
            else:
                changed.enter_context(mock.patch.object(task, "retry_delay", timedelta(0)))
        yield


def _result(dag_id: str, run_id: str) -> DagResult:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(DagRun.state).filter_by(dag_id=dag_id, run_id=run_id).one()
        rows = (
            session.query(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state)
            .filter_by(dag_id=dag_id, run_id=run_id)
            .all()
        )
    tasks = {task_id if index < 0 else f"{task_id}[{index}]": str(state) for task_id, index, state in rows}
    return DagResult(dag_id, run_id, str(found.state), tasks)


def _deserialized(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    deserialize = _first("airflow.sdk.serde:deserialize", "airflow.serialization.serde:deserialize")
    return deserialize(value)
