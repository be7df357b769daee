"""What holds whatever the service answers, whatever time it takes, and whatever somebody typed in."""

from __future__ import annotations

import ipaddress
import json
import traceback
from typing import Any

import httpx
import pytest
from arbitrary import ANSWERED, KEY, SECRETS, answers, bounded, extras, hosts, json_values, passwords
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch.batches import events, record, waiting
from airflow_provider_llamabatch.batches.waiting import Ended, Reason, Wait
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import Client


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
        e.decipher(call, status, headers, body, SECRETS)
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
            e.decipher(call, 422, {"x-request-id": "x" * (size % 64) + secret}, body, SECRETS)
        assert_hides_the_secrets(raised.value)


def test_a_refusal_may_be_nested_up_to_where_json_gives_in():
    for depth in range(700, 1000):
        body = ('{"detail": %s}' % ("[" * depth + "]" * depth)).encode()
        with pytest.raises(e.RefusedError):
            e.decipher(ANSWERED[0][0], 422, {}, body, SECRETS)


@pytest.mark.parametrize(
    ("call", "right"), ANSWERED, ids=lambda part: str(part) if hasattr(part, "path") else ""
)
def test_a_right_answer_is_understood(call, right):
    value = e.decipher(call, 200, {}, json.dumps(right).encode(), SECRETS)

    assert (value is None) == (right is None)


# Waiting

TRANSIENT = [
    e.NoResponseError("reset", reached_server=True),
    e.NoResponseError("refused", reached_server=False),
    e.InvalidResponseError("html"),
    e.ConflictError("409", status_code=409),
    e.RateLimitedError("429", status_code=429, retry_after=7200.0),
    e.UnavailableError("503", status_code=503),
]
FATAL: list[tuple[e.LlamaCloudError, Reason]] = [
    (e.AuthenticationError("401", status_code=401), Reason.NOT_AUTHENTICATED),
    (e.PermissionDeniedError("403", status_code=403), Reason.NOT_PERMITTED),
    (e.RefusedError("422", status_code=422), Reason.REFUSED),
    (e.PaymentRequiredError("402", status_code=402), Reason.REFUSED),
    (e.InvalidInputError("batch_id", "is empty"), Reason.REFUSED),
]
MISSING = e.NotFoundError("404", status_code=404)
TERMINAL = {"COMPLETED": Reason.COMPLETED, "FAILED": Reason.FAILED, "CANCELLED": Reason.CANCELLED}

running = st.sampled_from(["PENDING", "THROTTLED", "RUNNING", "completed", "PAUSED", ""]) | st.text(
    max_size=5
).filter(lambda word: word not in TERMINAL)
harmless = running | st.sampled_from(TRANSIENT)
anything = st.one_of(
    harmless,
    harmless,
    st.just(MISSING),
    st.sampled_from([error for error, _ in FATAL]),
    st.sampled_from(sorted(TERMINAL)),
)
took = st.floats(0, 90)  # seconds that a look takes
waits = st.builds(
    lambda poll, polls, held, first: Wait(
        "bat-1", 1e9 + poll * polls, poll, since=1e9 - held, next_look=1e9 + first
    ),
    st.floats(0.5, 600),
    st.floats(0, 40),
    st.sampled_from([0.0, 10.0, 5000.0]),
    st.sampled_from([0.0, 10.0, 1e6]),
)


def look_until_it_ends(
    wait: Wait, looks: list[tuple[Any, float]], pauses: float
) -> tuple[Ended, float, float, Any]:
    """
    Look exactly when the wait says, and keep seeing RUNNING once ``looks`` is used up.

    Returns the end, when it came, when its look began (both epoch seconds), and what that look found.
    """
    now = began = 1e9
    found: Any = None
    coming = iter(looks)
    ended = wait.expired(now)
    while ended is None:
        assert wait.next_look <= wait.deadline
        began = now = max(now, wait.next_look)
        found, seconds = next(coming, ("RUNNING", 0.0))
        now += seconds
        before = wait.next_look
        ended = (
            wait.saw(found, now)
            if isinstance(found, str)
            else wait.stumbled(found, now, pause_after(found, pauses))
        )
        assert ended is not None or wait.next_look > before
    return ended, now, began, found


def pause_after(error: Exception, share: float) -> float:
    return waiting.pause(3, error, lambda: share)


@bounded(400)
@given(waits, st.lists(st.tuples(harmless, took), max_size=12), st.floats(0, 1))
def test_nothing_but_its_deadline_ends_a_wait_for_a_running_batch(wait, looks, share):
    ended, at, look_began, _ = look_until_it_ends(wait, looks, share)

    assert ended.reason is Reason.TIMED_OUT
    assert at >= wait.deadline >= look_began or at == 1e9 >= wait.deadline


@bounded(400)
@given(waits, st.lists(st.tuples(anything, took), max_size=12), st.floats(0, 1))
def test_a_wait_ends_only_for_what_its_last_look_found(wait, looks, share):
    ended, at, look_began, found = look_until_it_ends(wait, looks, share)

    assert look_began <= max(wait.deadline, 1e9)
    if ended.reason is Reason.TIMED_OUT:
        assert at >= wait.deadline
        assert found not in TERMINAL
    elif isinstance(found, str):
        assert ended.reason is TERMINAL[found]
    elif found is MISSING:
        assert ended.reason is Reason.NOT_FOUND
        assert at >= wait.since + waiting.MISSING_GRACE
    else:
        assert ended == Ended(dict(FATAL)[found], str(found))


@bounded(300)
@given(st.floats(-1e6, 1e9), st.floats(-1e6, 1e9), st.floats(1e-3, 1e6))
def test_gaps_grow_with_age_between_their_bounds(one, other, poll_interval):
    younger, older = sorted((one, other))
    gaps = waiting.gap(younger, poll_interval), waiting.gap(older, poll_interval)

    assert min(waiting.SHORTEST_GAP, poll_interval) <= gaps[0] <= gaps[1] <= poll_interval


@bounded(300)
@given(st.integers(1, 10_000), st.sampled_from([None, *TRANSIENT]), st.floats(0, 1))
def test_a_pause_is_never_nothing_and_never_shorter_than_asked_for(failures, error, share):
    seconds = waiting.pause(failures, error, lambda: share)
    asked = getattr(error, "retry_after", None) or 0.0

    assert waiting.FIRST_PAUSE / 2 <= seconds <= max(waiting.LONGEST_PAUSE, asked)
    assert seconds >= asked


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
    assert event.ended.reason in Reason
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
    assert made.api_key not in repr(made) or len(made.api_key) < len(KEY)


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
