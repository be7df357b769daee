"""Directories with their files."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from airflow_provider_llamabatch.llamacloud.call import checked_id
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.ui.access import guard
from airflow_provider_llamabatch.ui.routes.visit import QueryDep, VisitDep
from airflow_provider_llamabatch.ui.views.directories import directories_table, directory_files_table

router = APIRouter(prefix="/connections/{connection_id}/directories", dependencies=[guard])


@router.get("")
def list_directories(visit: VisitDep, query: QueryDep) -> Response:
    """Show the directories."""
    reading = visit.reader.directories.get()
    found = [one for one in reading.value or () if visit.sees_directory(one.id)]
    table = directories_table(found, query, visit.now)
    return visit.page("directories.html", "directories", reading, table=table, query=query)


@router.get("/{directory_id}")
def show_directory(visit: VisitDep, directory_id: str, query: QueryDep) -> Response:
    """Show the files of a directory, and the batches over it."""
    try:
        checked_id("directory_id", directory_id)
    except InvalidInputError:
        raise HTTPException(404, "There is no such directory.") from None
    if not visit.sees_directory(directory_id):
        raise HTTPException(404, "There is no such directory, or you may not see the DAG that uses it.")
    reading = visit.reader.files[directory_id].get()
    known = visit.reader.directories.peek() or []
    batches = visit.reader.batches.peek()
    return visit.page(
        "directory.html",
        "directories",
        reading,
        directory_id=directory_id,
        name=next((one.name for one in known if one.id == directory_id and one.name), directory_id),
        table=directory_files_table(reading.value or (), query, visit.now),
        query=query,
        batches=[
            batch
            for batch in (batches.by_id.values() if batches else ())
            if batch.source_directory_id == directory_id and visit.sees(batch)
        ],
    )
