"""What changes something: cancel a batch, process its failed files again. By POST, from a form of the page itself."""

from __future__ import annotations

import hashlib
from typing import Annotated

import anyio.from_thread
from airflow.api_fastapi.logging.decorators import action_logging
from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import RedirectResponse, Response

from airflow_provider_llamabatch import configuration
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from airflow_provider_llamabatch.ui import rendering
from airflow_provider_llamabatch.ui.access import Viewer, guard
from airflow_provider_llamabatch.ui.forgery import FIELD, checked_form
from airflow_provider_llamabatch.ui.plugin import AIRFLOW
from airflow_provider_llamabatch.ui.routes.visit import Visit, VisitDep
from airflow_provider_llamabatch.ui.starting import RunRefusedError, start_run
from airflow_provider_llamabatch.ui.views.batch import failed_files
from airflow_provider_llamabatch.ui.views.words import problem_in_words

NOTICES = {
    "cancelled": "LlamaCloud was asked to cancel the batch. It ends as soon as what is under way has stopped.",
    "started": "A DAG run was started that processes the failed files again.",
    "queued": "There is a DAG run that processes the failed files again. It begins once its DAG is unpaused.",
}

router = APIRouter(prefix="/connections/{connection_id}/batches/{batch_id}")


def retry_dag(viewer: Viewer) -> str:
    """Return the id of the DAG that processes failed files again, empty where the user may not or it does not exist."""
    from airflow.models.dag import DagModel

    dag_id = configuration.retry_dag_id()
    if not dag_id or not viewer.may("POST", dag_id):
        return ""
    dag = DagModel.get_dagmodel(dag_id)
    return dag_id if dag is not None and not dag.is_stale else ""


def _is_paused(dag_id: str) -> bool:
    from airflow.models.dag import DagModel

    dag = DagModel.get_dagmodel(dag_id)
    return dag is not None and bool(dag.is_paused)


def may_cancel(visit: VisitDep, batch_id: str) -> Visit:
    """Return the visit of who may cancel the batch; 403 for others."""
    made = visit.made(batch_id)
    if not visit.viewer.may_cancel(visit.connection_id, made):
        raise HTTPException(403, "You may look at this batch, but not cancel it.")
    return visit


def may_retry(visit: VisitDep, batch_id: str) -> Visit:
    """Return the visit of who may start the DAG; 403 for others."""
    visit.made(batch_id)
    if not retry_dag(visit.viewer):
        raise HTTPException(403, "You may not start the DAG that processes failed files again.")
    return visit


@router.post(
    "/cancel",
    dependencies=[
        guard,
        Depends(may_cancel),
        Depends(checked_form),
        Depends(action_logging("llamabatch_cancel_batch")),
    ],
)
def cancel(visit: Annotated[Visit, Depends(may_cancel)], batch_id: str) -> Response:
    """Ask LlamaCloud to cancel the batch."""
    try:
        visit.reader.cancel(batch_id)
    except LlamaCloudError as error:
        raise HTTPException(502, f"Nothing was cancelled. {problem_in_words(error)}") from None
    return _back(visit, batch_id, "cancelled")


@router.post(
    "/failed-files",
    dependencies=[
        guard,
        Depends(may_retry),
        Depends(checked_form),
        Depends(action_logging("llamabatch_process_failed_files")),
    ],
)
def process_failed_files(
    visit: Annotated[Visit, Depends(may_retry)],
    batch_id: str,
    form: Annotated[dict[str, str], Depends(checked_form)],
) -> Response:
    """Start a run of the DAG that processes failed files again, as the user; one form starts one run."""
    detail = visit.reader.details[batch_id].get().value
    files = failed_files(detail) if detail is not None else []
    if detail is None or not files or detail.batch.config is None:
        raise HTTPException(409, "No failed file of this batch is known, so no DAG run was started.")
    job = detail.batch.config.job
    given = {
        "batch_id": batch_id,
        "llamabatch_conn_id": visit.connection_id,
        "source_directory_id": detail.batch.source_directory_id,
        "file_ids": files,
        "configuration_id": job.configuration_id,
        "job_type": job.type,
    }
    airflow, dag_id = visit.request.scope[AIRFLOW], retry_dag(visit.viewer)
    # A double click sends the form twice: Airflow makes no second run of the same id, so nothing is paid for twice.
    run_id = f"manual__{batch_id}_{hashlib.sha256(form[FIELD].encode()).hexdigest()[:12]}"
    try:
        anyio.from_thread.run(start_run, airflow, visit.viewer, dag_id, run_id, given)
    except RunRefusedError as error:
        raise HTTPException(409, f"{str(error).rstrip('.')}.") from None
    visit.request.app.state.runs.expire()
    return _back(visit, batch_id, "queued" if _is_paused(dag_id) else "started")


def _back(visit: Visit, batch_id: str, done: str) -> Response:
    """Show the batch again: a reload must not send the form again."""
    base, part = rendering.base_of(visit.request), rendering.part
    address = f"{base}/connections/{part(visit.connection_id)}/batches/{part(batch_id)}?done={done}"
    return RedirectResponse(address, 303)
