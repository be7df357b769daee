"""What is odd about a batch and not needed does not keep it from being read."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.models import Batch, BatchResult, KnownBatch, Page

READABLE = {"source_directory_file_id": "dfl-1", "job_reference": {"id": "pjb-1", "type": "parse_v2"}}
UNREADABLE = "the API's entry for this file cannot be read"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", {"job": {"type": "parse_v2", "configuration_id": None}}),
        ("config", {"job": {"type": "parse_v2"}}),
        ("config", {"job": None}),
        ("config", "a text"),
        ("source_directory_id", 5),
        ("project_id", ["prj-1"]),
    ],
)
def test_a_field_that_waiting_does_not_need_is_left_out_where_it_is_malformed(name, value):
    batch = Batch.model_validate({"id": "bat-1", "status": "COMPLETED", name: value})

    assert (batch.id, batch.status, getattr(batch, name)) == ("bat-1", "COMPLETED", None)


@pytest.mark.parametrize("odd", [{"id": None}, {"status": None}, {"id": 5}, {"results": "a text"}])
def test_without_an_id_a_status_or_a_list_of_results_there_is_no_batch(odd):
    with pytest.raises(ValidationError):
        Batch.model_validate({"id": "bat-1", "status": "COMPLETED", **odd})


@pytest.mark.parametrize(
    ("row", "file_id"),
    [
        ({"source_directory_file_id": "dfl-2", "job_reference": {"id": None, "type": "parse_v2"}}, "dfl-2"),
        ({"source_directory_file_id": "dfl-2", "job_reference": "pjb-2"}, "dfl-2"),
        ({"source_directory_file_id": "", "job_reference": {}}, "unknown"),
        ({"source_directory_file_id": 2}, "unknown"),
        ({"job_reference": None}, "unknown"),
        (None, "unknown"),
    ],
)
def test_a_malformed_row_of_the_results_tells_of_a_file_without_a_job(row, file_id):
    batch = Batch.model_validate({"id": "bat-1", "status": "COMPLETED", "results": [READABLE, row]})

    assert batch.results == [
        BatchResult.model_validate(READABLE),
        BatchResult(source_directory_file_id=file_id, error_message=UNREADABLE),
    ]


@pytest.mark.parametrize("results", [{}, "a text", 5, [None]])
@pytest.mark.parametrize(
    "call",
    [
        calls.get_batch("bat-1"),
        calls.cancel_batch("bat-1"),
        calls.create_batch(source_directory_id="dir-1", configuration_id="cfg-1"),
    ],
)
def test_results_that_nobody_asked_for_may_be_anything(call, results):
    batch = call.parse(json.dumps({"id": "bat-1", "status": "COMPLETED", "results": results}).encode())

    assert (batch.id, batch.is_terminal, bool(batch.results)) == ("bat-1", True, results == [None])


def test_results_that_were_asked_for_are_a_list_or_null():
    with pytest.raises(ValidationError):
        calls.get_batch("bat-1", expand_results=True).parse(
            b'{"id": "bat-1", "status": "COMPLETED", "results": {}}'
        )


@pytest.mark.parametrize("total", ["about 100", 3.5, [], -1, 10**30, None])
def test_how_long_a_list_is_said_to_be_does_not_spoil_it(total):
    row = {"id": "bat-1", "status": "RUNNING", "results": {}}
    body = json.dumps({"items": [row], "total_size": total}).encode()

    assert [batch.id for batch in calls.list_batches().parse(body).items] == ["bat-1"]
    assert Page[KnownBatch].model_validate_json(body).items[0].status == "RUNNING"


@pytest.mark.parametrize("odd", [{"status": None}, {"status": 5, "config": []}])
def test_a_row_of_a_list_that_is_malformed_is_known_by_its_id(odd):
    row = {"id": "bat-1", "status": "COMPLETED", "created_at": "2026-11-30T12:00:00Z", **odd}
    [batch] = Page[KnownBatch].model_validate({"items": [row]}).items

    assert (batch.id, batch.status, batch.config) == ("bat-1", "", None)
    assert batch.created_at is not None


@pytest.mark.parametrize("row", [{"id": None}, {"id": 5, "status": "RUNNING"}, {"status": "RUNNING"}, None])
def test_a_row_of_a_list_without_an_id_spoils_the_list(row):
    with pytest.raises(ValidationError):
        Page[KnownBatch].model_validate({"items": [row]})
