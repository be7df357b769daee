"""
When to send a call again, and how long to wait before. No I/O; the waiting itself is tenacity's.

A call is sent again only when that can help and does no harm: a repeatable one after trouble on the way or in the
service, any other only when it surely was not processed. Waits are full jitter over a doubling ceiling, or what the
server asks for; attempts and total time are both bounded.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tenacity

from airflow_provider_llamabatch.llamacloud.errors import (
    ConflictError,
    InvalidResponseError,
    NoResponseError,
    RateLimitedError,
    StatusError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_llamabatch.llamacloud.call import Call

_waiting: ContextVar[bool] = ContextVar("llamabatch_retries_wait", default=True)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to try: ``max_attempts`` in all, within ``max_seconds`` from the first one."""

    max_attempts: int = 6
    max_seconds: float = 120.0
    first_ceiling: float = 1.0  # seconds; the ceiling of the random wait doubles from here
    highest_ceiling: float = 30.0


ONCE = RetryPolicy(max_attempts=1)


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Switch the waits between attempts off, for tests: decisions and counts stay as they are."""
    token = _waiting.set(False)
    try:
        yield
    finally:
        _waiting.reset(token)


def waits_are_on() -> bool:
    """Say whether waits are really waited (see ``no_waiting``)."""
    return _waiting.get()


def is_transient(error: BaseException) -> bool:
    """Say whether the same read may succeed in a moment: 408, 409, 425, 429, 5xx, no answer, or a broken one."""
    return isinstance(
        error, (NoResponseError, InvalidResponseError, ConflictError, RateLimitedError, UnavailableError)
    )


def surely_not_processed(error: BaseException) -> bool:
    """Say whether a failed request certainly changed nothing: never connected, or the API's own 429."""
    if isinstance(error, NoResponseError):
        return not error.reached_server
    return isinstance(error, RateLimitedError) and error.from_api


def outcome_unknown(error: BaseException) -> bool:
    """Say whether a failed request may have been carried out all the same: its answer was lost, or a 5xx."""
    return is_transient(error) and not surely_not_processed(error)


def worth_another_attempt(call: Call[Any], error: BaseException) -> bool:
    """Decide whether ``call`` is sent again after ``error``."""
    if not call.repeatable:
        return surely_not_processed(error)
    if isinstance(error, ConflictError):
        return call.method == "GET"  # a cancel refused with 409 has simply come too late
    return is_transient(error)


def retrying(policy: RetryPolicy, call: Call[Any]) -> dict[str, Any]:
    """Return the arguments for tenacity's ``Retrying`` and ``AsyncRetrying``: one rule for both."""
    return {
        "retry": tenacity.retry_if_exception(lambda error: worth_another_attempt(call, error)),
        "wait": _Wait(policy),
        "stop": tenacity.stop_after_attempt(policy.max_attempts)
        | tenacity.stop_before_delay(policy.max_seconds),
        "reraise": True,
    }


class _Wait(tenacity.wait.wait_base):
    """Full jitter, or what the server asked for where that is longer."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._jitter = tenacity.wait_random_exponential(policy.first_ceiling, policy.highest_ceiling)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        if not waits_are_on():
            return 0.0
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.retry_after if isinstance(error, StatusError) else None
        return max(self._jitter(retry_state), asked or 0.0)
