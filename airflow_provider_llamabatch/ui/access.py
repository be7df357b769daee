"""
Who may see and do what: Airflow's own rights, asked of its auth manager.

    see anything of a connection        GET on the connection
    see a batch that a DAG run made     and GET on the DAG's runs: without it the batch does not exist
    see one of unknown origin           and PUT on the connection, while it may be of a DAG run that cannot be told
    cancel such a batch                 PUT on the DAG's runs
    cancel a batch of unknown origin    PUT on the connection
    process failed files again          POST on the runs of the DAG that does it, and what is needed to see the batch
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_connection
from fastapi import Depends

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_llamabatch.ui.runs import Made, Runs

Method = Literal["GET", "POST", "PUT"]


@dataclass(slots=True)
class Viewer:
    """The user of a request; what was asked of the auth manager is remembered for as long."""

    user: Any
    _known: dict[tuple[str, ...], bool] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The user's id in the auth manager's words."""
        return str(self.user.get_id())

    def may(self, method: Method, dag_id: str) -> bool:
        """Say whether the user may do this to the runs of a DAG."""
        key = (method, dag_id)
        if key not in self._known:
            self._known[key] = get_auth_manager().is_authorized_dag(
                method=method,
                access_entity=DagAccessEntity.RUN,
                details=DagDetails(id=dag_id, **_team_of_dag(dag_id)),
                user=self.user,
            )
        return self._known[key]

    def may_with(self, method: Method, connection_id: str) -> bool:
        """Say whether the user may do this to a connection."""
        key = (method, "connection", connection_id)
        if key not in self._known:
            details = ConnectionDetails(conn_id=connection_id, **_team_of_connection(connection_id))
            self._known[key] = get_auth_manager().is_authorized_connection(
                method=method, details=details, user=self.user
            )
        return self._known[key]

    def may_see(
        self, connection_id: str, batch_id: str, runs: Runs, created_at: datetime | None = None
    ) -> bool:
        """
        Say whether a batch exists for the user.

        One of unknown origin does for whoever may see the connection. But its DAG may be a hidden one where not all
        XComs could be read, or where it is younger than they are: then it takes the right to change the connection.
        """
        made = runs.made.get(batch_id)
        if made is not None:
            return self.may("GET", made.task.dag_id)
        is_young = created_at is not None and runs.told_until is not None and created_at > runs.told_until
        return (runs.is_all and not is_young) or self.may_with("PUT", connection_id)

    def may_see_directory(self, connection_id: str, directory_id: str, runs: Runs) -> bool:
        """Say whether a directory exists for the user: not where all its known batches are of hidden DAGs."""
        dags = {made.task.dag_id for made in runs.made.values() if made.directory_id == directory_id}
        if dags:
            return any(self.may("GET", dag_id) for dag_id in dags)
        return runs.is_all or self.may_with("PUT", connection_id)

    def may_cancel(self, connection_id: str, made: Made | None) -> bool:
        """Say whether the user may cancel a batch that exists for them."""
        if made is None:
            return self.may_with("PUT", connection_id)
        return self.may("PUT", made.task.dag_id)


def viewer(user: GetUserDep) -> Viewer:
    """Return who asks; 401 for nobody."""
    return Viewer(user)


ViewerDep = Annotated[Viewer, Depends(viewer)]
guard = Depends(requires_access_connection("GET"))  # reads the path parameter `connection_id`


def _team_of_dag(dag_id: str) -> dict[str, str]:
    from airflow.models.dag import DagModel

    return _team(getattr(DagModel, "get_team_name", None), dag_id)


def _team_of_connection(connection_id: str) -> dict[str, str]:
    from airflow.models.connection import Connection

    return _team(getattr(Connection, "get_team_name", None), connection_id)


def _team(look_up: Callable[[str], str | None] | None, name: str) -> dict[str, str]:
    """Return the team as an argument; an Airflow without teams does not know that argument."""
    team = look_up(name) if look_up is not None else None
    return {"team_name": team} if team else {}
