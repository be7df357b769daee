"""What JSON's grammar allows hides nothing of a response, however odd it is, and takes no long time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.models import ExtractJob
from airflow_provider_llamabatch.llamacloud.redaction import Redactor
from airflow_provider_llamabatch.llamacloud.responses import Response, decipher

BATCH = calls.get_batch("bat-1", expand_results=True)
STATUS = calls.get_batch_status("bat-1")


def answer(call: Any, more: str) -> Any:
    body = f'{{"id": "bat-1", "status": "COMPLETED", {more}}}'
    return decipher(call, Response(200, {}, body.encode()), Redactor([]))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"caf\ud800.pdf", "caf\ufffd.pdf"),
        (r"\udc00", "\ufffd"),
        (r"\uD83D", "\ufffd"),
        (r"\ud800\ud83d\ude00\ude00", "\ufffd\U0001f600\ufffd"),
        (r"\\\ud800", "\\\ufffd"),
        (r"\\ud800 \ud800", r"\ud800 " + "\ufffd"),
        (r"\\\\\"\ud800\n", '\\\\"\ufffd '),
        (r"\\ud800\udc00", r"\ud800" + "\ufffd"),
    ],
)
def test_an_unpaired_surrogate_is_read_as_a_replacement_character(written, read):
    results = f'[{{"source_directory_file_id": "dfl-1", "error_message": "{written}"}}]'

    (result,) = answer(BATCH, f'"results": {results}').results
    assert result.error_message == read


ODD = {
    "surrogate": r'"\ud800"',
    "surrogate in a key": r'{"\udc00": 1}',
    "digits": "9" * 5000,
    "negative": "-" + "9" * 1_000_000,
    "lists": "[" * 300 + "]" * 300,
    "objects": '{"a":' * 300 + "1" + "}" * 300,
    "all": '[["\\ud800", ' * 150 + "9" * 5000 + "]]" * 150,
}


@pytest.mark.parametrize("call", [BATCH, STATUS], ids=["batch", "status"])
@pytest.mark.parametrize("odd", ODD)
def test_a_field_that_nobody_knows_does_no_harm_however_odd_it_is(odd, call):
    got = answer(call, f'"x": {ODD[odd]}')

    assert got.status == "COMPLETED"
    assert len(got.model_dump_json()) < 5000
    json.loads(got.model_dump_json().encode())


def test_a_row_with_a_long_number_does_not_spoil_its_page():
    rows = (
        f'{{"items": [{{"id": "bat-1", "status": "RUNNING"}}, {{"id": {"9" * 5000}, "status": "RUNNING"}}]}}'
    )

    assert [row.id for row in calls.list_batch_statuses().parse(rows.encode()).items] == ["bat-1"]


def test_content_that_is_nested_too_deeply_is_refused_and_not_cut():
    with pytest.raises(e.InvalidResponseError, match="nested more than 200 levels deep"):
        decipher(
            calls.get_extract_job("ext-1"),
            Response(
                200,
                {},
                b'{"id": "ext-1", "status": "COMPLETED", "extract_result": {"a": %b}}'
                % ODD["lists"].encode(),
            ),
            Redactor([]),
        )


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "bat-1", "status": "\\ud800", ' + b'"\\ud800":' * 100_000,
        b'"\\ud800' + b"\\" * 1_000_000,
        b'{"x": ' + b"[" * 1_000_000,
        b"9" * 1_000_000,
        b'{"x": "\\ud800", "id": "bat-1" "status"}',
        b'{"x": "\xed\xa0\x80"}',
        b"\\ud800 " * 100_000,
    ],
    ids=["keys", "backslashes", "lists", "digits", "comma", "utf-8", "no text"],
)
@pytest.mark.parametrize("call", [BATCH, STATUS], ids=["batch", "status"])
@pytest.mark.timeout(
    90
)  # a tenth of a second is enough; what grows with the square of the length takes minutes
def test_what_is_broken_is_refused_at_once(call, body):
    with pytest.raises(e.InvalidResponseError, match="not with what the API documents"):
        decipher(call, Response(200, {}, body), Redactor([]))


def test_entries_of_an_extraction_that_are_null_spoil_no_others():
    job = ExtractJob.model_validate(
        {"id": "ext-1", "status": "COMPLETED", "extract_result": [{"a": 1}, None]}
    )
    assert job.extract_result == [{"a": 1}]
