from __future__ import annotations

import pytest
import tenacity

from airflow_provider_llamabatch.llamacloud import calls, retries
from airflow_provider_llamabatch.llamacloud import errors as e

READ = calls.get_batch("bat-1")
CANCEL = calls.cancel_batch("bat-1")
CREATE = calls.create_batch(source_directory_id="dir-1", configuration_id="cfg-1")

NEVER_CONNECTED = e.NoResponseError("", reached_server=False)
ANSWER_LOST = e.NoResponseError("", reached_server=True)
LIMITED_BY_API = e.RateLimitedError("", status_code=429, from_api=True)
LIMITED_BY_GATEWAY = e.RateLimitedError("", status_code=429)
DOWN = e.UnavailableError("", status_code=503, from_api=True)
CONFLICT = e.ConflictError("", status_code=409)
NOT_UNDERSTOOD = e.InvalidResponseError("")
REFUSED = e.RefusedError("", status_code=422)
NO_KEY = e.AuthenticationError("", status_code=401)


@pytest.mark.parametrize(
    ("error", "read", "cancel", "create"),
    [
        (NEVER_CONNECTED, True, True, True),
        (LIMITED_BY_API, True, True, True),
        (LIMITED_BY_GATEWAY, True, True, False),
        (ANSWER_LOST, True, True, False),
        (DOWN, True, True, False),
        (NOT_UNDERSTOOD, True, True, False),
        (CONFLICT, True, False, False),
        (REFUSED, False, False, False),
        (NO_KEY, False, False, False),
        (ValueError(), False, False, False),
    ],
)
def test_a_call_is_sent_again_only_where_it_helps_and_does_no_harm(error, read, cancel, create):
    assert retries.worth_another_attempt(READ, error) is read
    assert retries.worth_another_attempt(CANCEL, error) is cancel
    assert retries.worth_another_attempt(CREATE, error) is create


@pytest.mark.parametrize("error", [ANSWER_LOST, DOWN, NOT_UNDERSTOOD, LIMITED_BY_GATEWAY, CONFLICT])
def test_a_submission_may_have_been_carried_out_unless_it_surely_was_not(error):
    assert retries.outcome_unknown(error)


@pytest.mark.parametrize("error", [NEVER_CONNECTED, LIMITED_BY_API, REFUSED, NO_KEY])
def test_a_submission_that_was_refused_or_never_sent_leaves_nothing_behind(error):
    assert not retries.outcome_unknown(error)


def attempts(error: Exception, policy: retries.RetryPolicy) -> list[float]:
    """Return the pauses between the attempts of a call that always fails with ``error``."""
    pauses: list[float] = []

    def fail() -> None:
        raise error

    retrying = tenacity.Retrying(**retries.retrying(policy, READ), sleep=pauses.append)
    with pytest.raises(type(error)):
        retrying(fail)
    return pauses


def test_the_pauses_are_random_under_a_doubling_ceiling():
    pauses = attempts(DOWN, retries.RetryPolicy(max_attempts=6, max_seconds=1000))

    assert len(pauses) == 5
    assert all(0 <= pause <= 2.0**number for number, pause in enumerate(pauses))


def test_what_the_server_asks_for_is_waited():
    limited = e.RateLimitedError("", status_code=429, retry_after=17.0)

    assert attempts(limited, retries.RetryPolicy(max_attempts=3, max_seconds=1000)) == [17.0, 17.0]


def test_a_pause_that_would_go_over_the_total_time_is_not_begun():
    limited = e.RateLimitedError("", status_code=429, retry_after=500.0)

    assert attempts(limited, retries.RetryPolicy(max_attempts=10, max_seconds=100)) == []


def test_waiting_can_be_switched_off_for_tests():
    with retries.no_waiting():
        assert attempts(DOWN, retries.RetryPolicy(max_attempts=4)) == [0.0, 0.0, 0.0]
