"""What the list before a submission keeps of what a server sends: no more than is asked of a batch."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud import calls, models

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.call import Call

JOB = {"type": "parse_v2", "configuration_id": "cfg-1", "note": "x" * 1000}
RESULT = {"source_directory_file_id": "dfl-1", "job_reference": None, "error_message": "x" * 1000}
BATCH = {
    "id": "bat-1",
    "status": "RUNNING",
    "source_directory_id": "dir-1",
    "created_at": "2026-01-02T03:04:05Z",
    "config": {"job": JOB, "note": "x" * 1000},
    "results": [RESULT],
    "note": "x" * 1000,
}


def test_the_list_before_a_submission_keeps_nothing_that_is_unknown():
    call = replace(calls.list_batches(), response=models.Page[models.KnownBatch])
    (batch,) = call.parse(json.dumps({"items": [BATCH]}).encode()).items

    assert isinstance(batch, models.Batch)
    assert len(batch.model_dump_json()) < 500
    assert (batch.id, batch.status, batch.source_directory_id) == ("bat-1", "RUNNING", "dir-1")
    assert batch.created_at is not None
    assert batch.config is not None
    assert (batch.config.job.type, batch.config.job.configuration_id) == ("parse_v2", "cfg-1")


def test_a_single_batch_keeps_what_is_unknown():
    batch = calls.get_batch("bat-1").parse(json.dumps(BATCH).encode())

    assert batch.model_extra == {"note": "x" * 1000}
    assert batch.results is not None


def test_every_list_of_batches_is_bounded_in_bytes():
    lists: list[Call[Any]] = [
        calls.list_batches(),
        calls.list_batch_statuses(),
        calls.list_directory_batches(),
    ]

    assert [call.max_bytes for call in lists] == [defaults.MAX_STATUS_PAGE_BYTES] * 3
