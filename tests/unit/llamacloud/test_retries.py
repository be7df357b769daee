from __future__ import annotations

import pytest
import tenacity

from airflow_provider_llamabatch.llamacloud import calls, retries
from airflow_provider_llamabatch.llamacloud import errors as e

READ = calls.get_batch("bat-1")
CANCEL = calls.cancel_batch("bat-1")
CREATE = calls.create_batch(source_directory_id="dir-1", configuration_id="cfg-1")

NEVER_CONNECTED = e.NoResponseError("", reached_server=False)
RESPONSE_LOST = e.NoResponseError("", reached_server=True)
NOT_UNDERSTOOD = e.InvalidResponseError("")
KINDS = {
    302: e.RefusedError,
    400: e.RefusedError,
    401: e.AuthenticationError,
    402: e.PaymentRequiredError,
    403: e.PermissionDeniedError,
    404: e.NotFoundError,
    409: e.ConflictError,
    422: e.RefusedError,
    429: e.RateLimitedError,
    503: e.UnavailableError,
}


def api(status: int) -> e.StatusError:
    return KINDS[status]("", status_code=status, from_api=True)


def gateway(status: int) -> e.StatusError:
    return KINDS[status]("", status_code=status)


# error: is_transient, surely_not_processed, outcome_unknown; a read, a cancel, a create is sent again
TABLE = [
    (NEVER_CONNECTED, True, True, False, True, True, True),
    (RESPONSE_LOST, True, False, True, True, True, False),
    (NOT_UNDERSTOOD, True, False, True, True, True, False),
    *((gateway(status), True, False, True, True, True, False) for status in KINDS),
    (api(429), True, True, False, True, True, True),
    (api(503), True, False, True, True, True, False),
    (api(409), True, False, True, True, False, False),
    *((api(status), False, False, False, False, False, False) for status in (400, 401, 402, 403, 404, 422)),
    (e.InvalidInputError("a", "b"), False, False, False, False, False, False),
    (ValueError(), False, False, False, False, False, False),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]!r}-{getattr(row[0], 'status_code', '')}")
def test_what_an_error_means_and_when_a_call_is_sent_again(row):
    error = row[0]

    assert row[1:] == (
        retries.is_transient(error),
        retries.surely_not_processed(error),
        retries.outcome_unknown(error),
        retries.worth_another_attempt(READ, error),
        retries.worth_another_attempt(CANCEL, error),
        retries.worth_another_attempt(CREATE, error),
    )


def attempts(error: Exception, policy: retries.RetryPolicy, within: float | None = None) -> list[float]:
    """Return the pauses between the attempts of a call that always fails with ``error``."""
    pauses: list[float] = []

    def fail() -> None:
        raise error

    rules = retries.retrying(policy, READ, within=within, rand=lambda: 1.0)
    with pytest.raises(type(error)):
        tenacity.Retrying(**rules, sleep=pauses.append)(fail)
    return pauses


@pytest.mark.parametrize("error", [api(503), NEVER_CONNECTED, NOT_UNDERSTOOD], ids=repr)
def test_the_pauses_follow_the_one_rule(error):
    assert attempts(error, retries.RetryPolicy(max_seconds=1000)) == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_what_the_server_asks_for_is_waited_up_to_a_cap():
    policy = retries.RetryPolicy(max_attempts=3, max_seconds=1000)
    for asked, pause in ((17.0, 17.0), (86_400.0, 120.0)):
        limited = e.RateLimitedError("", status_code=429, retry_after=asked)
        assert attempts(limited, policy) == [pause, pause]


def test_a_pause_that_would_go_over_the_total_time_is_not_begun():
    limited = e.RateLimitedError("", status_code=429, retry_after=110.0)

    assert attempts(limited, retries.RetryPolicy(max_attempts=10, max_seconds=100)) == []
    assert attempts(limited, retries.RetryPolicy(max_attempts=10, max_seconds=1000), within=100.0) == []


def test_waiting_can_be_switched_off_for_tests():
    with retries.no_waiting():
        assert attempts(api(503), retries.RetryPolicy(max_attempts=4)) == [0.0, 0.0, 0.0]


@pytest.fixture
def nobody_observes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_observers", [])


@pytest.mark.usefixtures("nobody_observes")
def test_an_observer_is_told_why_of_each_request_that_is_sent_again_and_of_no_other():
    told: list[BaseException | None] = []
    retries.observe(told.append)
    error = api(503)
    attempts(error, retries.RetryPolicy(max_attempts=3, max_seconds=1000))
    assert told == [error, error]
    attempts(api(404), retries.RetryPolicy(max_attempts=3))
    assert told == [error, error]


@pytest.mark.usefixtures("nobody_observes")
def test_every_observer_is_told_once_however_often_it_asks_to_be():
    one: list[BaseException | None] = []
    other: list[BaseException | None] = []
    tell_one, tell_other = one.append, other.append
    for observer in (tell_one, tell_other, tell_one):
        retries.observe(observer)
    attempts(api(503), retries.RetryPolicy(max_attempts=2, max_seconds=1000))
    assert (len(one), len(other)) == (1, 1)
