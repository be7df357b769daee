"""What holds whatever the service answers, whatever time it takes, and whatever somebody typed in."""

from __future__ import annotations

import ipaddress
import json
import traceback
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch.batches import events, record
from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.redaction import Redactor
from airflow_provider_llamabatch.llamacloud.responses import Response, decipher
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import Client
from tests.support.arbitrary import (
    ANSWERED,
    KEY,
    SECRETS,
    answers,
    bounded,
    extras,
    hosts,
    json_values,
    passwords,
)

REDACTOR = Redactor(SECRETS)


def everything_about(error: BaseException | None) -> str:
    """An exception, and whatever hangs on it, shown or not."""
    if error is None:
        return ""
    lines = traceback.format_exception(error, chain=False)
    own = f"{error}\n{error!r}\n{error.args}\n{vars(error)}\n{''.join(lines)}"
    return own + everything_about(error.__cause__) + everything_about(error.__context__)


def assert_hides_the_secrets(error: e.LlamaCloudError) -> None:
    shown = everything_about(error)
    shown.encode()  # a log is written in UTF-8
    for secret in SECRETS:
        for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
            assert form not in shown
            assert form[: len(form) // 2] not in shown


# Answers


def failure_of(call: Any, status: int, headers: dict[str, str], body: bytes) -> e.LlamaCloudError | None:
    """Return the exception that an answer is turned into; None if it is a value."""
    try:
        decipher(call, Response(status, headers, body), REDACTOR)
    except e.LlamaCloudError as error:
        return error
    return None


@bounded(1000)
@given(answers())
def test_any_answer_is_a_value_or_an_error_that_hides_the_secrets(answer):
    call, status, headers, body = answer
    error = failure_of(call, status, headers, body)
    if error is None:
        assert 200 <= status < 300
    else:
        assert_hides_the_secrets(error)
        assert str(call) in str(error)
        assert len(str(error)) < 2000


@pytest.mark.parametrize("depth", [50, 240, 500, 900, 950, 990, 5_000, 200_000])
@pytest.mark.parametrize(
    "shape", ['{"detail": %s}', '{"detail": [{"loc": %s, "msg": %s}]}', '{"id": %s}', "%s"]
)
@pytest.mark.parametrize("status", [200, 422])
def test_an_answer_may_be_nested_to_any_depth(status, shape, depth):
    body = shape.replace("%s", "[" * depth + "]" * depth).encode()
    for call, _ in ANSWERED:
        error = failure_of(call, status, {}, body)
        assert error is None or len(str(error)) < 2000


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "shape", ['{"detail": "%s"}', '{"detail": {"a": "%s"}}', '{"detail": [{"msg": "%s"}]}', "<p>%s"]
)
def test_a_secret_that_is_cut_short_shows_no_part_of_itself(shape, secret):
    call = ANSWERED[0][0]
    for size in (*range(900, 1010), *range(3960, 4010)):
        body = shape.replace("%s", " " * size + json.dumps(secret)[1:-1]).encode()
        with pytest.raises(e.RefusedError) as raised:
            decipher(call, Response(422, {"x-request-id": "x" * (size % 64) + secret}, body), REDACTOR)
        assert_hides_the_secrets(raised.value)


def test_a_refusal_may_be_nested_up_to_where_json_gives_in():
    for depth in range(700, 1000):
        body = ('{"detail": %s}' % ("[" * depth + "]" * depth)).encode()
        with pytest.raises(e.RefusedError):
            decipher(ANSWERED[0][0], Response(422, {}, body), REDACTOR)


@pytest.mark.parametrize(
    ("call", "right"), ANSWERED, ids=lambda part: str(part) if hasattr(part, "path") else ""
)
def test_a_right_answer_is_understood(call, right):
    value = decipher(call, Response(200, {}, json.dumps(right).encode()), REDACTOR)

    assert (value is None) == (right is None)


# Records and events

RECORD = record.Record("f", "n", 1, 2, 1e9, 1e9, ("bat-1",), 0, "bat-2")
numbers = st.sampled_from(
    [float("inf"), float("-inf"), float("nan"), 1e300, 10**400, -1, 0.5, "7", "1e9", "", True]
)
other_fields = st.dictionaries(st.sampled_from(sorted(RECORD.to_json())), json_values | numbers, max_size=3)


@bounded(500)
@given(json_values | other_fields.map(lambda changed: {**RECORD.to_json(), **changed}))
def test_a_stored_value_is_a_record_or_unreadable(value):
    try:
        found = record.read_record(value, listed_seconds=3600.0)
    except record.RecordUnreadableError:
        return
    assert (found is None) == (value is None)
    if found is not None:
        again = json.loads(json.dumps(found.to_json()))
        assert record.read_record(again, listed_seconds=3600.0) == found


@bounded(300)
@given(
    st.one_of(
        json_values,
        st.fixed_dictionaries(
            {
                "batch_id": json_values,
                "reason": json_values | st.sampled_from(list(Reason)),
                "message": json_values,
            }
        ),
    )
)
def test_a_payload_is_an_event_or_not_understood(payload):
    try:
        event = events.read_event(payload)
    except events.EventNotUnderstoodError:
        return
    assert event.result.reason in Reason
    assert events.read_event(event.to_payload()) == event


# Settings


def is_loopback(url: httpx.URL) -> bool:
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


@bounded(1000)
@given(
    passwords,
    hosts,
    st.none() | st.sampled_from(["http", "https"]) | st.text(max_size=5),
    st.none() | st.integers(-1, 70_000),
    extras,
)
def test_any_connection_is_usable_or_refused_without_showing_the_key(password, host, schema, port, extra):
    parts = {"password": password, "host": host, "schema": schema, "port": port, "extra": extra}
    try:
        made = settings_from_connection("c", **parts)
        Client(made).close()
    except e.InvalidInputError as error:
        assert_hides_the_secrets(error)
        return
    url = httpx.URL(made.base_url)
    assert url.scheme == "https" or is_loopback(url)
    key = made.api_key.get_secret_value()
    assert key not in repr(made) or len(key) < len(KEY)


@pytest.mark.parametrize(
    "host", ["h", "t", "s", "http", "https", "p", "example.com", "na.example", "10.1.2.3"]
)
@pytest.mark.parametrize("schema", ["http", "https", None])
def test_the_port_of_the_connection_is_added_to_its_host(host, schema):
    made = settings_from_connection(
        "c", password=KEY, host=host, schema=schema, port=8443, extra={"allow_http": True}
    )

    assert made.base_url == f"{schema or 'https'}://{host}:8443"


@pytest.mark.parametrize(
    "extra",
    [
        "[" * 100_000,
        {"timeout_seconds": 10**400},
        {"max_attempts": 10**400},
        {"timeout_seconds": float("nan")},
        {"allow_http": []},
    ],
    ids=["deep", "huge timeout", "huge attempts", "nan", "list"],
)
def test_strange_extras_are_refused(extra):
    try:
        settings_from_connection("c", password=KEY, extra=extra)
    except e.InvalidInputError as error:
        assert_hides_the_secrets(error)
    else:
        assert extra == {"allow_http": []}
