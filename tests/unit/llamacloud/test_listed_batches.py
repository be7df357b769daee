"""How lists are asked for, and what the one before a submission keeps of what a server sends: no more than it needs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.llamacloud import calls, models
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.statuses import BatchStatus

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


@pytest.mark.parametrize(
    "listing",
    [calls.list_batches, calls.list_batch_statuses, calls.list_parse_jobs, calls.list_extract_jobs],
)
@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("status", "COMPLETE"),
        ("status", "completed"),
        ("status", ""),
        ("status", 5),
        ("status", ["RUNNING"]),
        ("page_size", 0),
        ("page_size", -1),
        ("page_size", True),
        ("page_size", "100"),
        ("page_size", 2.5),
        ("page_size", 10_001),
        ("created_at_on_or_after", "yesterday"),
        ("created_at_on_or_after", ""),
        ("created_at_on_or_after", 1.8e9),
        ("created_at_on_or_after", []),
        ("created_at_on_or_after", "2026-13-01"),
        ("created_at_on_or_before", "2026-01-01T25:00"),
    ],
)
def test_a_list_is_asked_for_only_by_what_the_api_understands(listing, argument, wrong):
    with pytest.raises(InvalidInputError, match=f"^{argument}: must be "):
        listing(**{argument: wrong})


@pytest.mark.parametrize("listing", [calls.list_directories, calls.list_configurations])
def test_the_length_of_a_page_is_a_number_in_every_list(listing):
    with pytest.raises(
        InvalidInputError, match=r"^page_size: must be a whole number from 1 to 10000, not '5'"
    ):
        listing(page_size="5")


@pytest.mark.parametrize(
    "date", ["2026-11-01", "2026-11-01T00:00:00Z", datetime.now(UTC), datetime.now(UTC).date()]
)
def test_a_list_is_asked_for_from_a_date_on(date):
    assert calls.list_batches(created_at_on_or_after=date, status=BatchStatus.RUNNING, page_size=1).query


def test_every_list_of_batches_is_bounded_in_bytes():
    lists: list[Call[Any]] = [
        calls.list_batches(),
        calls.list_batch_statuses(),
        calls.list_directory_batches(),
    ]

    assert [call.max_bytes for call in lists] == [defaults.MAX_STATUS_PAGE_BYTES] * 3


@pytest.mark.parametrize("size", [1, defaults.MAX_PAGE_ITEMS])
def test_a_page_may_be_as_large_as_what_is_read_of_one(size: int):
    assert calls.list_batches(page_size=size).query == (("page_size", str(size)),)
    for wrong in (0, defaults.MAX_PAGE_ITEMS + 1, True):
        with pytest.raises(InvalidInputError, match="page_size"):
            calls.list_batches(page_size=wrong)
