from __future__ import annotations

import pytest

from airflow_provider_llamabatch.batches.waiting import MISSING_GRACE, Ended, Reason, Wait, gap, pause
from airflow_provider_llamabatch.llamacloud import errors as e

BEGAN = 1000.0
DEADLINE = BEGAN + 3600.0


def a_wait(**changed) -> Wait:
    values = {
        "batch_id": "bat-1",
        "deadline": DEADLINE,
        "poll_interval": 30.0,
        "since": BEGAN,
        "next_look": BEGAN,
        **changed,
    }
    return Wait(**values)


@pytest.mark.parametrize("status", ["PENDING", "THROTTLED", "RUNNING", "DREAMING", ""])
def test_a_batch_that_has_not_ended_is_looked_at_again(status):
    wait = a_wait()

    assert wait.saw(status, BEGAN + 1) is None
    assert wait.next_look > BEGAN + 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [("COMPLETED", Reason.COMPLETED), ("FAILED", Reason.FAILED), ("CANCELLED", Reason.CANCELLED)],
)
def test_a_terminal_status_ends_the_wait_even_after_the_deadline(status, reason):
    for now in (BEGAN, DEADLINE + 100):
        assert a_wait().saw(status, now) == Ended(reason)


def test_the_wait_ends_at_the_deadline_and_no_look_is_planned_behind_it():
    wait = a_wait()

    assert wait.saw("RUNNING", DEADLINE - 1) is None
    assert wait.next_look == DEADLINE
    assert wait.expired(DEADLINE) == Ended(Reason.TIMED_OUT)
    assert wait.saw("RUNNING", DEADLINE) == Ended(Reason.TIMED_OUT)


@pytest.mark.parametrize(
    "error",
    [
        e.NoResponseError("", reached_server=True),
        e.NoResponseError("", reached_server=False),
        e.InvalidResponseError(""),
        e.UnavailableError("", status_code=503),
        e.UnavailableError("", status_code=408),
        e.ConflictError("", status_code=409),
        e.RateLimitedError("", status_code=429),
    ],
)
def test_small_failures_are_waited_out_until_the_deadline(error):
    wait = a_wait()

    for number in range(500):
        assert wait.stumbled(error, BEGAN + number, pause=5.0) is None
        assert wait.next_look == BEGAN + number + 5.0
    assert wait.stumbled(error, DEADLINE, pause=5.0) == Ended(Reason.TIMED_OUT)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (e.AuthenticationError("no key", status_code=401, from_api=True), Reason.NOT_AUTHENTICATED),
        (e.PermissionDeniedError("not yours", status_code=403, from_api=True), Reason.NOT_PERMITTED),
        (e.RefusedError("what?", status_code=400, from_api=True), Reason.REFUSED),
    ],
)
def test_what_waiting_cannot_cure_ends_the_wait_at_once(error, reason):
    assert a_wait().stumbled(error, BEGAN, pause=1.0) == Ended(reason, str(error))


def test_a_batch_that_is_not_there_yet_is_given_a_few_minutes():
    missing = e.NotFoundError("gone", status_code=404, from_api=True)
    wait = a_wait()

    assert wait.stumbled(missing, BEGAN + MISSING_GRACE - 1, pause=1.0) is None
    assert wait.stumbled(missing, BEGAN + MISSING_GRACE, pause=1.0) == Ended(Reason.NOT_FOUND, "gone")


@pytest.mark.parametrize(
    ("age", "poll_interval", "seconds"),
    [
        (0, 30, 5),
        (20, 30, 5),
        (60, 30, 15),
        (120, 30, 30),
        (9999, 30, 30),
        (0, 2, 2),
        (9999, 5, 5),
        (-5, 30, 5),
    ],
)
def test_the_gap_between_looks_grows_with_the_batch_up_to_the_poll_interval(age, poll_interval, seconds):
    assert gap(age, poll_interval) == seconds


def test_the_pause_after_failures_grows_is_spread_and_has_a_limit():
    for failures, ceiling in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)]:
        assert pause(failures, None, lambda: 0.0) == ceiling / 2
        assert pause(failures, None, lambda: 1.0) == ceiling


def test_the_pause_is_never_shorter_than_what_the_server_asks_for():
    limited = e.RateLimitedError("", status_code=429, retry_after=90.0)

    assert pause(1, limited, lambda: 0.5) == 90.0
