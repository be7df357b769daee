"""How batches and jobs are asked for, and what is read of the responses."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.polling.sources import Batches, Jobs, Query, Row, date_of

SCOPE: dict[str, Any] = {"project_id": "prj-1", "organization_id": "org-1"}
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_a_batch_is_asked_for_in_its_project():
    assert Batches(**SCOPE).get("bat-1") == calls.get_batch_status("bat-1", **SCOPE)
    assert Batches().get("bat-1") == calls.get_batch_status("bat-1")


def test_a_list_of_batches_is_asked_for_by_status_and_range_in_its_project():
    query = Query("FAILED", NOON.timestamp(), NOON.timestamp() + 1.5)

    assert Batches(**SCOPE).bulk(query, 100) == calls.list_batch_statuses(
        status="FAILED",
        created_at_on_or_after=NOON,
        created_at_on_or_before=NOON + timedelta(seconds=1.5),
        page_size=100,
        **SCOPE,
    )
    assert Batches().bulk(Query(), None).query == ()
    assert dict(Batches(**SCOPE).bulk(query, 100).query) == {
        "status": "FAILED",
        "created_at_on_or_after": "2026-11-01T12:00:00+00:00",
        "created_at_on_or_before": "2026-11-01T12:00:01.500000+00:00",
        "page_size": "100",
        **SCOPE,
    }


@pytest.fixture
def far_east(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("created_at", "epoch"),
    [
        (NOON, NOON.timestamp()),
        (NOON.replace(tzinfo=None), NOON.timestamp()),  # the API means UTC
        (NOON.astimezone(timezone(timedelta(hours=5))), NOON.timestamp()),
        (None, None),
    ],
)
def test_a_batch_is_read_with_its_time_of_creation_wherever_the_triggerer_runs(created_at, epoch, far_east):
    batch = SimpleNamespace(id="bat-1", status="RUNNING", created_at=created_at)

    assert Batches().row(batch) == Row("bat-1", "RUNNING", created_at=epoch)


@pytest.mark.parametrize(
    ("job_type", "get", "bulk"),
    [
        ("parse_v2", calls.get_parse_job_status, calls.list_parse_job_statuses),
        ("extract_v2", calls.get_extract_job_status, calls.list_extract_job_statuses),
    ],
)
def test_jobs_are_asked_for_by_ids_in_their_project(job_type, get, bulk):
    source, query = Jobs(job_type, **SCOPE), Query(keys=("job-1", "job-2"))

    assert source.get("job-1") == get("job-1", **SCOPE)
    assert source.bulk(query, 7) == bulk(job_ids=("job-1", "job-2"), page_size=7, **SCOPE)
    assert source.bulk(query, None) == bulk(job_ids=("job-1", "job-2"), page_size=100, **SCOPE)
    assert Jobs(job_type).get("job-1") == get("job-1")


@pytest.mark.parametrize("source", [Batches(), Jobs("parse_v2"), Jobs("extract_v2")])
def test_what_waits_reads_no_more_of_one_than_its_status_needs(source):
    call = source.get("job-1")
    body = {"id": "job-1", "status": "RUNNING", "extract_result": {"pages": [1, 2]}, "config": None}
    envelope = {"job": body, "markdown": None}

    read = call.parse(json.dumps(envelope if source == Jobs("parse_v2") else body).encode())

    assert source.row(read) == Row("job-1", "RUNNING")
    assert "pages" not in repr(read)
    assert call.max_bytes <= (16 if source == Jobs("extract_v2") else 1) * 1024 * 1024


@pytest.mark.parametrize("message", ["broken", None])
def test_a_job_is_read_with_what_went_wrong_in_an_envelope_or_without(message):
    job = SimpleNamespace(id="pjb-1", status="FAILED", error_message=message)

    for value in (job, SimpleNamespace(job=job)):
        assert Jobs("parse_v2").row(value) == Row("pjb-1", "FAILED", message or "")


def test_the_statuses_that_lists_are_asked_for_are_the_apis_own():
    for source in (Batches(), Jobs("parse_v2")):
        assert source.running == ("PENDING", "THROTTLED", "RUNNING")
    assert (Batches().by_keys, Jobs("parse_v2").by_keys) == (False, True)


@pytest.mark.parametrize("made", [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)])
def test_a_batch_that_is_dated_to_the_edge_of_all_dates_can_be_looked_for(made):
    created = Batches().row(SimpleNamespace(id="bat-1", status="RUNNING", created_at=made)).created_at
    assert created is not None
    query = dict(Batches().bulk(Query("RUNNING", created - 1.0, created + 1.0), 100).query)

    for bound in ("created_at_on_or_after", "created_at_on_or_before"):
        assert 1970 <= datetime.fromisoformat(query[bound]).year <= 9999


def test_a_time_before_all_dates_of_the_service_is_the_beginning_of_time():
    assert date_of(-5.0) == datetime(1970, 1, 1, tzinfo=UTC)
