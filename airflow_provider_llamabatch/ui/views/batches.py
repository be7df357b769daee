"""The table of a connection's batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.ui.views import words
from airflow_provider_llamabatch.ui.views.batch import FAILED, status_and_error
from airflow_provider_llamabatch.ui.views.pictures import Bar, bar
from airflow_provider_llamabatch.ui.views.tables import Query, Table, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from airflow_provider_llamabatch.llamacloud.models import Batch
    from airflow_provider_llamabatch.ui.reading import Detail
    from airflow_provider_llamabatch.ui.runs import Made, Task

USUAL_STATUSES = ("RUNNING", "COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch as the table shows it; ``files`` is None where nobody has counted them yet."""

    id: str
    status: str
    kind: str
    age: str
    created_at: datetime | None
    directory_id: str
    configuration_id: str
    job_type: str
    files: Bar | None
    credits: str
    task: Task | None


def batches_table(
    batches: Iterable[Batch],
    made: Mapping[str, Made],
    details: Mapping[str, Detail],
    query: Query,
    now: datetime,
) -> Table[BatchRow]:
    """Return the batches that match, the newest first."""
    found = sorted(
        (batch for batch in batches if query.matches(*_texts(batch, made.get(batch.id)))),
        key=lambda batch: (batch.created_at.timestamp() if batch.created_at else 0.0, batch.id),
        reverse=True,
    )
    return table(
        found,
        query,
        status=lambda batch: batch.status,
        row=lambda batch: _row(batch, made.get(batch.id), details.get(batch.id), now),
        one="batch",
        many="batches",
        always=USUAL_STATUSES,
    )


def files_bar(made: Made | None, detail: Detail | None) -> Bar | None:
    """Return how many files of a batch are done and failed: from its files where they were read, else from its task."""
    if detail is not None and detail.files is not None:
        statuses = [status_and_error(result, detail)[0] for result in detail.files]
        failed = sum(status in FAILED for status in statuses)
        return bar(statuses.count("COMPLETED"), failed, len(statuses))
    if made is not None and made.count is not None:
        count = made.count
        return bar(count.files - count.failed, count.failed, count.files)
    return None


def _row(batch: Batch, made: Made | None, detail: Detail | None, now: datetime) -> BatchRow:
    job = batch.config.job if batch.config else None
    return BatchRow(
        id=batch.id,
        status=batch.status,
        kind=words.kind_of(batch.status),
        age=words.NOTHING
        if batch.created_at is None
        else words.duration((now - batch.created_at).total_seconds()),
        created_at=batch.created_at,
        directory_id=batch.source_directory_id or "",
        configuration_id=job.configuration_id if job else "",
        job_type=job.type if job else "",
        files=files_bar(made, detail),
        credits=words.number(made.credits if made else None),
        task=made.task if made else None,
    )


def _texts(batch: Batch, made: Made | None) -> list[str | None]:
    job = batch.config.job if batch.config else None
    texts = [batch.id, batch.source_directory_id, batch.status]
    if job is not None:
        texts += [job.configuration_id, job.type]
    if made is not None:
        texts += [made.task.dag_id, made.task.run_id, made.task.task_id]
    return [*texts]
