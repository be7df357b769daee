"""What every page of a connection needs: who asks, what may be shown, and how it is rendered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import Depends, HTTPException, Request

from airflow_provider_llamabatch.ui import connections, rendering
from airflow_provider_llamabatch.ui.access import Viewer, ViewerDep
from airflow_provider_llamabatch.ui.reading import Reader
from airflow_provider_llamabatch.ui.runs import Runs
from airflow_provider_llamabatch.ui.views.tables import Query

if TYPE_CHECKING:
    from fastapi.responses import HTMLResponse

    from airflow_provider_llamabatch.llamacloud.models import Batch
    from airflow_provider_llamabatch.ui.cells import Reading
    from airflow_provider_llamabatch.ui.runs import Made

HIDDEN = "There is no such batch, or you may not see the DAG that made it."


@dataclass(slots=True)
class Visit:
    """One request for a page of a connection that the user may see."""

    request: Request
    connection_id: str
    viewer: Viewer
    runs: Runs
    reader: Reader
    connections: list[str]
    now: datetime

    def sees(self, batch: Batch) -> bool:
        """Say whether a batch exists for the user."""
        return self.viewer.may_see(self.connection_id, batch.id, self.runs, batch.created_at)

    def sees_directory(self, directory_id: str) -> bool:
        """Say whether a directory exists for the user."""
        return self.viewer.may_see_directory(self.connection_id, directory_id, self.runs)

    def made(self, batch_id: str) -> Made | None:
        """Return what is known of where a batch comes from; raises 404 where the batch does not exist for the user."""
        if not self.viewer.may_see(self.connection_id, batch_id, self.runs):
            raise HTTPException(404, HIDDEN)
        return self.runs.made.get(batch_id)

    def page(self, template: str, tab: str, reading: Reading[Any], **values: Any) -> HTMLResponse:
        """Return a page with the navigation around it, and the age of what was read."""
        return rendering.page(
            self.request,
            template,
            connection_id=self.connection_id,
            connections=self.connections,
            tab=tab,
            reading=reading,
            **values,
        )


def visit(request: Request, connection_id: str, viewer: ViewerDep, session: SessionDep) -> Visit:
    """Return the visit; the router's guard has already asked for the right to see the connection."""
    state = request.app.state
    runs = state.runs.get(session)
    return Visit(
        request,
        connection_id,
        viewer,
        runs,
        state.readers[connection_id],
        connections.offered(session, runs, viewer),
        datetime.now(UTC),
    )


def query(status: str = "", search: str = "", page: str = "1") -> Query:
    """Return what the address says of the table."""
    return Query.of(status, search, page)


VisitDep = Annotated[Visit, Depends(visit)]
QueryDep = Annotated[Query, Depends(query)]
