from __future__ import annotations

import pytest

from airflow_provider_llamabatch.llamacloud import errors
from airflow_provider_llamabatch.ui.views import words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (90061, "1 d 1 h"),
        (40 * 86400, "40 d"),
    ],
)
def test_an_age_is_said_in_its_largest_units(seconds, said):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, "\N{EN DASH}"), (0, "0"), (12.0, "12"), (1234.56, "1,234.6"), (0.04, "0")]
)
def test_a_number_has_at_most_one_decimal_and_its_thousands_separated(value, said):
    assert words.number(value) == said


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "RUNNING", "PENDING", "CANCELLED"])
def test_a_documented_status_has_a_colour(status):
    assert words.kind_of(status) != "plain"


def test_a_status_that_nobody_knows_has_the_plain_colour_and_never_becomes_a_class():
    assert words.kind_of('"><script>') == "plain"


def _status(kind: type[errors.StatusError], code: int) -> errors.StatusError:
    return kind("GET /x: llx-secret", status_code=code, from_api=True)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (_status(errors.AuthenticationError, 401), "refuses the API key"),
        (_status(errors.PaymentRequiredError, 402), "credits are used up"),
        (_status(errors.PermissionDeniedError, 403), "does not let the API key"),
        (_status(errors.NotFoundError, 404), "does not know it"),
        (_status(errors.RateLimitedError, 429), "fewer requests"),
        (_status(errors.UnavailableError, 503), "trouble of its own"),
        (_status(errors.RefusedError, 422), "refuses the request"),
        (errors.NoResponseError("llx-secret", reached_server=False), "does not respond"),
        (errors.InvalidResponseError("llx-secret"), "cannot be read"),
        (errors.ResponseTooLargeError("llx-secret"), "too large"),
    ],
)
def test_every_trouble_is_said_in_words_that_hold_nothing_of_the_response(error, said):
    problem = words.problem_in_words(error)
    assert said in problem
    assert "llx-secret" not in problem


def test_a_connection_that_cannot_be_used_is_said_with_what_is_wrong_with_it():
    error = errors.InvalidInputError("connection 'x', host", "must be a URL")
    assert words.problem_in_words(error) == "Connection 'x', host: must be a URL."
