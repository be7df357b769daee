from __future__ import annotations

import pytest

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches.polling import (
    CONFIRM_AFTER,
    ROTATION_GRACE,
    PollResult,
    PollState,
    Reason,
)
from airflow_provider_llamabatch.llamacloud import errors as e

BEGAN = 1000.0
DEADLINE = BEGAN + 3600.0


def a_state(**changed) -> PollState:
    values = {
        "key": "bat-1",
        "deadline": DEADLINE,
        "poll_interval": 30.0,
        "since": BEGAN,
        "next_poll": BEGAN,
        **changed,
    }
    return PollState(**values)


def half() -> float:
    return 0.5


def from_api(kind, status: int, text: str = "no") -> e.StatusError:
    return kind(text, status_code=status, from_api=True)


@pytest.mark.parametrize("status", ["PENDING", "THROTTLED", "RUNNING", "DREAMING", ""])
def test_a_batch_that_has_not_ended_is_polled_again(status):
    state = a_state()

    assert state.on_status(status, BEGAN + 1) is None
    assert state.next_poll > BEGAN + 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [("COMPLETED", Reason.COMPLETED), ("FAILED", Reason.FAILED), ("CANCELLED", Reason.CANCELLED)],
)
def test_a_terminal_status_ends_the_wait_even_after_the_deadline(status, reason):
    for now in (BEGAN, DEADLINE + 100):
        assert a_state().on_status(status, now) == PollResult(reason)
    assert a_state().on_status(status, BEGAN, "why") == PollResult(reason, "why")


def test_the_wait_ends_at_the_deadline_and_no_poll_is_planned_behind_it():
    state = a_state()

    assert state.on_status("RUNNING", DEADLINE - 1) is None
    assert state.next_poll == DEADLINE
    assert state.expired(DEADLINE) == PollResult(Reason.TIMED_OUT)
    assert state.on_status("RUNNING", DEADLINE) == PollResult(Reason.TIMED_OUT)


@pytest.mark.parametrize(
    "error",
    [
        e.NoResponseError("", reached_server=True),
        e.NoResponseError("", reached_server=False),
        e.InvalidResponseError(""),
        from_api(e.UnavailableError, 503),
        from_api(e.UnavailableError, 408),
        from_api(e.ConflictError, 409),
        from_api(e.RateLimitedError, 429),
        # what something in front of the API says is never a verdict
        e.AuthenticationError("", status_code=401),
        e.PermissionDeniedError("", status_code=403),
        e.NotFoundError("", status_code=404),
        e.RefusedError("", status_code=400),
    ],
    ids=lambda error: f"{type(error).__name__}{getattr(error, 'from_api', '')}",
)
def test_trouble_is_waited_out_until_the_deadline_and_named_there(error):
    state = a_state()

    for number in range(500):
        now = BEGAN + 7 * number
        assert state.on_error(error, now, half) is None
        assert now < state.next_poll <= now + 60.0
    assert state.on_error(error, DEADLINE, half) == PollResult(Reason.TIMED_OUT, str(error))


def test_the_pauses_after_trouble_grow_and_a_good_poll_ends_them():
    state, error = a_state(), e.InvalidResponseError("")
    pauses = []
    for _ in range(8):
        state.on_error(error, BEGAN, half)
        pauses.append(state.next_poll - BEGAN)

    assert pauses == [0.75, 1.5, 3.0, 6.0, 12.0, 24.0, 45.0, 45.0]
    state.on_status("RUNNING", BEGAN)
    state.on_error(error, BEGAN, half)
    assert state.next_poll - BEGAN == 0.75


def test_a_gateway_that_asks_for_a_day_gets_two_minutes():
    state = a_state()
    state.on_error(e.RateLimitedError("", status_code=429, retry_after=86400.0), BEGAN, half)

    assert state.next_poll == BEGAN + 120.0


VERDICTS = [
    (from_api(e.PermissionDeniedError, 403, "not yours"), Reason.NOT_PERMITTED, CONFIRM_AFTER),
    (from_api(e.RefusedError, 400, "what?"), Reason.REFUSED, CONFIRM_AFTER),
    (from_api(e.PaymentRequiredError, 402, "pay"), Reason.REFUSED, CONFIRM_AFTER),
    (from_api(e.AuthenticationError, 401, "no key"), Reason.NOT_AUTHENTICATED, ROTATION_GRACE),
    (e.InvalidInputError("llamabatch_conn_id", "is gone"), Reason.NOT_AUTHENTICATED, ROTATION_GRACE),
]


@pytest.mark.parametrize(("error", "reason", "grace"), VERDICTS)
def test_a_verdict_ends_the_wait_when_it_is_repeated_later(error, reason, grace):
    state = a_state()

    assert state.on_error(error, BEGAN, half) is None
    assert state.next_poll == BEGAN + CONFIRM_AFTER
    assert state.on_error(error, BEGAN + grace - 0.1, half) is None
    assert state.on_error(error, BEGAN + grace, half) == PollResult(reason, str(error))


@pytest.mark.parametrize(("error", "reason", "grace"), VERDICTS)
def test_a_verdict_that_is_not_repeated_is_forgotten(error, reason, grace):
    state = a_state()
    state.on_error(error, BEGAN, half)
    state.on_status("RUNNING", BEGAN + 1)

    assert state.on_error(error, BEGAN + grace, half) is None
    other = from_api(e.NotFoundError, 404) if reason is not Reason.NOT_FOUND else error
    assert state.on_error(other, BEGAN + 2 * grace, half) is None


def test_trouble_between_two_equal_verdicts_changes_nothing():
    state, verdict = a_state(), from_api(e.PermissionDeniedError, 403)
    state.on_error(verdict, BEGAN, half)
    state.on_error(e.InvalidResponseError(""), BEGAN + 2, half)

    assert state.on_error(verdict, BEGAN + CONFIRM_AFTER, half) is not None


def test_a_batch_that_is_not_there_yet_is_given_a_few_minutes():
    missing, state = from_api(e.NotFoundError, 404), a_state()
    end = BEGAN + defaults.MISSING_GRACE

    for now in (BEGAN, BEGAN + 100, end - 1):
        assert state.on_error(missing, now, half) is None
        assert state.next_poll == now + CONFIRM_AFTER
    assert state.on_error(missing, end, half) == PollResult(Reason.NOT_FOUND, "no")


def test_a_wrong_id_is_found_out_in_seconds():
    missing, state = from_api(e.NotFoundError, 404), a_state(missing_grace=defaults.UNKNOWN_GRACE)

    assert state.on_error(missing, BEGAN, half) is None
    assert state.on_error(missing, BEGAN + 20, half) == PollResult(Reason.NOT_FOUND, "no")
    assert defaults.UNKNOWN_GRACE <= 30


@pytest.mark.parametrize(
    ("age", "poll_interval", "gap"),
    [
        (0, 30, 7.5),
        (20, 30, 7.5),
        (31, 30, 7.5),
        (60, 30, 15),
        (119, 30, 15),
        (120, 30, 30),
        (9999, 30, 30),
        (0, 2, 2),
        (9999, 5, 5),
        (0, 9, 9),
        (0, 10, 5),
        (0, 14, 7),
        (-5, 30, 7.5),
        (1000, 600, 150),
    ],
)
def test_the_gap_between_polls_is_the_interval_or_a_half_or_a_quarter_of_it(age, poll_interval, gap):
    assert a_state(poll_interval=poll_interval).gap(BEGAN + age) == gap
