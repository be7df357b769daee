from __future__ import annotations

import json

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.redaction import Redactor
from airflow_provider_llamabatch.llamacloud.responses import Response, decipher, retry_after_seconds

CALL = calls.get_batch("bat-1")
KEY = "llx-very-secret"


def answer(status: int, body: object, headers: dict[str, str] | None = None) -> e.StatusError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(e.StatusError) as raised:
        decipher(CALL, Response(status, headers or {}, raw), Redactor([KEY]))
    return raised.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, e.RefusedError),
        (400, e.RefusedError),
        (401, e.AuthenticationError),
        (402, e.PaymentRequiredError),
        (403, e.PermissionDeniedError),
        (404, e.NotFoundError),
        (408, e.UnavailableError),
        (409, e.ConflictError),
        (413, e.RefusedError),
        (418, e.RefusedError),
        (422, e.RefusedError),
        (425, e.UnavailableError),
        (429, e.RateLimitedError),
        (500, e.UnavailableError),
        (503, e.UnavailableError),
        (599, e.UnavailableError),
    ],
)
def test_each_status_has_its_exception(status, kind):
    error = answer(status, {"detail": "why"})

    assert type(error) is kind
    assert error.status_code == status
    assert "GET /api/v2/batches/bat-1" in str(error)
    assert str(status) in str(error)


def test_a_refusal_names_the_fields_but_not_what_was_in_them():
    error = answer(
        422,
        {
            "detail": [
                {"loc": ["body", "config", "job"], "msg": "field required", "type": "missing"},
                {"loc": ["body", "x"], "msg": "bad", "type": "bad", "input": "my-signing-secret"},
            ]
        },
    )

    assert error.detail == "config.job: field required; x: bad"
    assert error.from_api


def test_a_detail_may_be_an_object_or_a_gateways_page():
    assert answer(409, {"detail": {"directory_id": "dir-1"}}).detail == '{"directory_id": "dir-1"}'
    page = answer(502, b"<html><body><h1>Bad  gateway</h1></body></html>")
    assert (page.detail, page.from_api) == ("Bad gateway", False)
    assert answer(500, b"").detail is None


def test_the_correlation_id_is_found_in_the_header_and_in_the_text():
    number = "0f8fad5b-d9cb-469f-a165-70867728950e"

    assert answer(500, {"detail": f"Oops. Correlation ID: {number}"}).correlation_id == number
    by_header = answer(500, {"detail": "Oops"}, {"x-correlation-id": number})
    assert by_header.correlation_id == number
    assert number in str(by_header)


def test_a_service_that_repeats_the_key_is_redacted():
    error = answer(401, {"detail": f"{KEY} is not a key"})

    assert KEY not in str(error) + repr(error) + str(error.detail)
    assert "*** is not a key" in str(error)


def test_a_redirect_is_named_and_not_followed():
    error = answer(302, b"", {"location": "https://evil.example/steal?x=1"})

    assert "https://evil.example" in str(error)
    assert "steal" not in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"[]", b'{"id": 1', b'{"status": "RUNNING"}', b"\xff"]
)
def test_a_good_status_with_a_strange_body_is_not_understood(body):
    with pytest.raises(e.InvalidResponseError, match="not with what the API documents"):
        decipher(CALL, Response(200, {}, body), Redactor([KEY]))


@pytest.mark.parametrize("call", [calls.delete_directory("dir-1"), calls.delete_parse_job("pjb-1")])
@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"deleted", b"{", b"\xff"])
def test_a_page_on_the_way_deletes_nothing(call, body):
    with pytest.raises(e.InvalidResponseError, match="not with what the API documents"):
        decipher(call, Response(200, {}, body), Redactor([KEY]))


@pytest.mark.parametrize("body", [b"", b"\r\n", b"null", b"{}", b'"deleted"', b'{"id": "\\ud800"}'])
def test_what_is_deleted_may_be_told_of_by_any_json_or_nothing(body):
    decipher(calls.delete_directory("dir-1"), Response(200, {}, body), Redactor([KEY]))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers, seconds):
    assert retry_after_seconds(headers, now=100.0) == seconds


@pytest.mark.parametrize("detail", ["Invalid API key", "Invalid API key. Check the region of this host"])
def test_a_key_that_is_refused_names_the_region_once(detail):
    error = answer(401, {"detail": detail})

    assert str(error).lower().count("region") == 1
    assert "check the connection's password (API key) and its" in str(error)
