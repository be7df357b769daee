"""Which follow-up directory a task has made: a list of directories may not show it yet when a later try looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.batches.submission import ADOPTION_PAUSES
from airflow_provider_llamabatch.execution.submitting import forever

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """
    The record of the directory called ``name`` under a key of Airflow's task state store.

    Below Airflow 3.3 there is no store, and nothing is kept.
    """

    context: Context
    key: str
    name: str

    def load(self) -> str | None:
        """Return the directory's id, None where none of this name is recorded."""
        kept = None if self._store is None else self._store.get(self.key)
        if isinstance(kept, dict) and kept.get("name") == self.name and isinstance(kept.get("id"), str):
            return str(kept["id"])
        return None

    def save(self, directory_id: str) -> None:
        """Record the directory's id, as long as its run lives."""
        if self._store is not None:
            value = {"name": self.name, "id": directory_id}
            self._store.set(self.key, value, **forever(self._store))

    @property
    def pauses(self) -> tuple[float, ...]:
        """Return the seconds before each look for the directory: patient ones where an earlier try may have made it."""
        is_later_try = self.context["ti"].try_number > 1
        return ADOPTION_PAUSES if is_later_try and (self._store is None or self.load()) else (0.0,)

    @property
    def _store(self) -> Any:
        return self.context.get("task_state_store")
