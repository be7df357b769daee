"""The overview of the last days."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from airflow_provider_llamabatch.ui.access import guard
from airflow_provider_llamabatch.ui.routes.visit import VisitDep
from airflow_provider_llamabatch.ui.views.overview import DAYS, overview

router = APIRouter(prefix="/connections/{connection_id}/overview", dependencies=[guard])


@router.get("")
def show_overview(visit: VisitDep) -> Response:
    """Show pictures of the DAG runs and batches that the user may see."""
    reading = visit.reader.batches.get()
    batches = reading.value.by_id.values() if reading.value else ()
    mine = {made.task for made in visit.runs.made.values() if made.connection_id == visit.connection_id}
    runs_of_connection = {(task.dag_id, task.run_id) for task in mine}
    view = overview(
        [
            count
            for count in visit.runs.counts
            if (count.task.dag_id, count.task.run_id) in runs_of_connection
            and visit.viewer.may("GET", count.task.dag_id)
        ],
        [batch for batch in batches if visit.sees(batch)],
        visit.now,
    )
    return visit.page("overview.html", "overview", reading, view=view, days=DAYS)
