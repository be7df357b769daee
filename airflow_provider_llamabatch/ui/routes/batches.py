"""The start page, and the batches of a connection."""

from __future__ import annotations

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from airflow_provider_llamabatch.ui import connections, rendering
from airflow_provider_llamabatch.ui.access import ViewerDep, guard
from airflow_provider_llamabatch.ui.routes.visit import QueryDep, VisitDep
from airflow_provider_llamabatch.ui.views.batches import batches_table

router = APIRouter()


@router.get("/")
def start(request: Request, viewer: ViewerDep, session: SessionDep) -> Response:
    """Go to the first connection that the user may see, or say that there is none."""
    offered = connections.offered(session, request.app.state.runs.get(session), viewer)
    if not offered:
        return rendering.page(request, "nothing.html")
    request.app.state.readers[offered[0]].batches.begin()  # it is asked for in a moment
    first = rendering.part(offered[0])
    return RedirectResponse(f"{rendering.base_of(request)}/connections/{first}/batches", 303)


@router.get("/connections/{connection_id}/batches", dependencies=[guard])
def list_batches(visit: VisitDep, query: QueryDep) -> Response:
    """Show the batches."""
    reading = visit.reader.batches.get()
    batches = reading.value.by_id.values() if reading.value else ()
    table = batches_table(
        [batch for batch in batches if visit.sees(batch)],
        visit.runs.made,
        visit.reader.details.known(),
        query,
        visit.now,
    )
    is_all = reading.value is None or reading.value.is_all
    return visit.page("batches.html", "batches", reading, table=table, query=query, is_all=is_all)
