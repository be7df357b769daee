"""An auth manager for tests, with rights that Airflow's simple one has no words for."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

SECRET_DAGS = {"payroll"}


class RightsByName(SimpleAuthManager):
    """
    Rights by the user's name.

    ``admin`` may do everything. ``reader`` may read every connection and DAG and change nothing. ``clerk`` may read
    connections and run the DAGs that are not secret, and does not see the others. ``nobody`` sees DAGs only.
    """

    def is_authorized_connection(self, *, method: str, user: Any, details: Any = None) -> bool:
        """Decide about a connection."""
        return user.username == "admin" or (method == "GET" and user.username in ("reader", "clerk"))

    def is_authorized_dag(
        self, *, method: str, user: Any, access_entity: Any = None, details: Any = None
    ) -> bool:
        """Decide about a DAG or its runs."""
        if user.username == "admin":
            return True
        if user.username == "clerk":
            return details is not None and details.id not in SECRET_DAGS
        return method == "GET"
