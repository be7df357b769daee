"""One batch, and one of its files."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from airflow_provider_llamabatch.llamacloud.call import checked_id
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.access import guard
from airflow_provider_llamabatch.ui.cells import Reading
from airflow_provider_llamabatch.ui.forgery import token_for
from airflow_provider_llamabatch.ui.reading import Detail
from airflow_provider_llamabatch.ui.routes import actions
from airflow_provider_llamabatch.ui.routes.visit import HIDDEN, QueryDep, Visit, VisitDep
from airflow_provider_llamabatch.ui.views.batch import Preview, failed_files, files_table, name_of, timeline
from airflow_provider_llamabatch.ui.views.batches import files_bar

router = APIRouter(prefix="/connections/{connection_id}/batches/{batch_id}", dependencies=[guard])


@router.get("")
def show_batch(visit: VisitDep, batch_id: str, query: QueryDep, done: str = "") -> Response:
    """Show a batch with its files."""
    made = visit.made(checked(batch_id))
    reading = read_detail(visit, batch_id)
    detail = reading.value
    if detail is None:
        return visit.page("batch_unread.html", "batches", reading, batch_id=batch_id, file_id="", query=query)
    opened = {key.split("/", 1)[1]: result for key, result in visit.reader.results.known().items()}
    batches = visit.reader.batches.peek()
    seen = batches.seen.get(batch_id, ()) if batches else ()
    may_cancel = not detail.batch.is_terminal and visit.viewer.may_cancel(visit.connection_id, made)
    again = actions.retry_dag(visit.viewer)
    failed = failed_files(detail)
    return visit.page(
        "batch.html",
        "batches",
        reading,
        batch=detail.batch,
        detail=detail,
        made=made,
        bar=files_bar(made, detail),
        credits=made.credits if made else None,
        events=timeline(detail.batch, made, seen, visit.now),
        table=files_table(detail, query, opened),
        query=query,
        done=actions.NOTICES.get(done, ""),
        cancel_token=token_for(visit.viewer, "cancel", visit.connection_id, batch_id) if may_cancel else "",
        failed=len(failed),
        again_dag=again,
        again_token=(
            token_for(visit.viewer, "failed-files", visit.connection_id, batch_id)
            if again and failed and detail.batch.is_terminal and not detail.directory_is_gone
            else ""
        ),
    )


@router.get("/files/{file_id}")
def show_file(visit: VisitDep, batch_id: str, file_id: str) -> Response:
    """Show what became of a file, and the first lines of its result."""
    visit.made(checked(batch_id))
    reading = read_detail(visit, batch_id)
    if reading.value is None:
        return visit.page(
            "batch_unread.html", "batches", reading, batch_id=batch_id, file_id=file_id, query=None
        )
    detail = reading.value
    found = [file for file in detail.files or () if file.source_directory_file_id == file_id]
    if not found:
        raise HTTPException(404, "There is no such file in this batch.")
    file = found[0]
    job = file.job_reference
    result: Reading[Preview] = Reading(None)
    if job is not None:
        result = visit.reader.results[f"{job.type}/{job.id}"].get()
    return visit.page(
        "file.html",
        "batches",
        result,
        batch=detail.batch,
        file=file,
        name=name_of(file, detail),
        preview=result.value,
    )


def read_detail(visit: Visit, batch_id: str) -> Reading[Detail]:
    """Return a batch with its files; 404 for one that is older than what is known of DAG runs."""
    reading = visit.reader.details[batch_id].get()
    created = reading.value.batch.created_at if reading.value else None
    if created is not None and created < visit.now - timedelta(days=limits.DAYS):
        raise HTTPException(
            404, f"The batch is older than {limits.DAYS} days. Nobody can tell here whose DAG made it."
        )
    if reading.value is not None and not visit.sees(reading.value.batch):
        raise HTTPException(404, HIDDEN)
    return reading


def checked(batch_id: str) -> str:
    """Return an id that may be asked for; 404 for what can be none."""
    try:
        return checked_id("batch_id", batch_id)
    except InvalidInputError:
        raise HTTPException(404, "There is no such batch.") from None
