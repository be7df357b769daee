"""What the metadata database holds, asked in SQL: states, times, bytes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

_SIZES = {
    "xcom": "SELECT count(*), coalesce(sum(pg_column_size(x.*)), 0) FROM xcom x",
    "trigger": "SELECT count(*), coalesce(sum(pg_column_size(x.*)), 0) FROM trigger x",
    "task_state_store": "SELECT count(*), coalesce(sum(pg_column_size(x.*)), 0) FROM task_state_store x",
    "task_instance": "SELECT count(*), coalesce(sum(pg_column_size(x.*)), 0) FROM task_instance x",
}
_TASKS = "SELECT state, count(*) FROM task_instance WHERE dag_id = :dag_id GROUP BY state"
_RUNS = "SELECT state, count(*) FROM dag_run WHERE dag_id = :dag_id GROUP BY state"
_STARTS = """
    SELECT run_id, start_date FROM task_instance
    WHERE dag_id = :dag_id AND task_id = :task_id AND start_date IS NOT NULL
"""
_BY_TRIGGERER = (
    "SELECT triggerer_id, count(*) FROM trigger WHERE triggerer_id IS NOT NULL GROUP BY triggerer_id"
)
_UNFINISHED = """
    SELECT task_id, state, run_id FROM task_instance
    WHERE dag_id = :dag_id AND (state IS NULL OR state NOT IN ('success', 'skipped'))
"""
_RETURNED = """
    SELECT run_id, value #>> '{}' FROM xcom
    WHERE dag_id = :dag_id AND task_id = :task_id AND key = 'return_value'
"""
_TRIES = (
    "SELECT coalesce(sum(try_number - 1), 0) FROM task_instance WHERE dag_id = :dag_id AND try_number > 1"
)


@dataclass(frozen=True)
class Size:
    """Rows of a table and the bytes of their values, compressed as PostgreSQL holds them."""

    rows: int
    bytes: int


class Database:
    """Asks the metadata database; every question is a connection of its own, so that a restart does no harm."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool)

    def sizes(self) -> dict[str, Size]:
        """Return rows and bytes by table."""
        return {
            name: Size(int(rows), int(size))
            for name, query in _SIZES.items()
            for rows, size in self._ask(query)
        }

    def task_states(self, dag_id: str) -> dict[str | None, int]:
        """Return how many task instances are in each state."""
        return dict(self._ask(_TASKS, dag_id=dag_id))

    def run_states(self, dag_id: str) -> dict[str, int]:
        """Return how many runs are in each state."""
        return dict(self._ask(_RUNS, dag_id=dag_id))

    def starts(self, dag_id: str, task_id: str) -> dict[str, float]:
        """Return when a task began, by run, in epoch seconds."""
        return {run: start.timestamp() for run, start in self._ask(_STARTS, dag_id=dag_id, task_id=task_id)}

    def returned(self, dag_id: str, task_id: str) -> dict[str, str]:
        """Return the text that a task returned, by run."""
        answers = self._ask(_RETURNED, dag_id=dag_id, task_id=task_id)
        return {run: str(value).strip('"') for run, value in answers}

    def waits_by_triggerer(self) -> dict[int, int]:
        """Return how many triggers each triggerer holds."""
        return dict(self._ask(_BY_TRIGGERER))

    def unfinished(self, dag_id: str) -> list[tuple[str, str | None, str]]:
        """Return task, state and run of what did not end right."""
        return self._ask(_UNFINISHED, dag_id=dag_id)

    def retries(self, dag_id: str) -> int:
        """Return how many tries there were beyond the first."""
        return int(self._ask(_TRIES, dag_id=dag_id)[0][0])

    def _ask(self, query: str, **values: Any) -> list[Any]:
        with closing(self._engine.connect()) as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]
