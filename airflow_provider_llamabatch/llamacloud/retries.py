"""
When to send a call again, and how long to pause before. No I/O; the looping itself is tenacity's.

A call is sent again only when that can help and does no harm: a repeatable one after trouble on the way or in the
service, any other only when it surely was not processed. What an error means:

    error                            is_transient    surely_not_processed    outcome_unknown
    never connected                  yes             yes                     no
    no response                      yes             no                      yes
    a response that is not the API's yes             no                      yes     (broken JSON, HTML, another id)
    a gateway's error or redirect    yes             no                      yes     (whatever its status)
    the API's 429                    yes             yes                     no
    the API's 408, 409, 425, 5xx     yes             no                      yes
    the API's other 4xx              no              no                      no      (a verdict)
    unusable input                   no              no                      no      (nothing was sent)

Nothing that a gateway says is a verdict: it knows neither the key nor the batch.
"""

from __future__ import annotations

import contextlib
import random
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tenacity

from airflow_provider_llamabatch.defaults import MAX_ATTEMPTS, MAX_RETRY_SECONDS
from airflow_provider_llamabatch.llamacloud.errors import (
    ConflictError,
    InvalidResponseError,
    NoResponseError,
    RateLimitedError,
    ResponseTooLargeError,
    StatusError,
    UnavailableError,
)
from airflow_provider_llamabatch.polling.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_llamabatch.llamacloud.call import Call

_observers: list[Callable[[BaseException | None], None]] = []
_waiting: ContextVar[bool] = ContextVar("llamabatch_retries_wait", default=True)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    How often and how long to try: ``max_attempts`` in all, within ``max_seconds`` from the first one.

    Without ``takes_turns`` whoever sends keeps the connection's limit of requests per minute.
    """

    max_attempts: int = MAX_ATTEMPTS
    max_seconds: float = MAX_RETRY_SECONDS
    backoff: Backoff = field(default_factory=Backoff)
    takes_turns: bool = True


ONCE = RetryPolicy(max_attempts=1)
POLL = RetryPolicy(max_attempts=1, takes_turns=False)  # of the poll loop, which plans by its own pace


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Switch the pauses between attempts off, for tests: decisions and counts stay as they are."""
    token = _waiting.set(False)
    try:
        yield
    finally:
        _waiting.reset(token)


def observe(observer: Callable[[BaseException | None], None]) -> None:
    """Have an observer told of every request that is going to be sent again, with what came of it before."""
    if observer not in _observers:
        _observers.append(observer)


def is_transient(error: BaseException) -> bool:
    """Say whether the same read may succeed later (see the table above)."""
    if isinstance(error, StatusError):
        return not error.from_api or isinstance(error, (ConflictError, RateLimitedError, UnavailableError))
    return isinstance(error, (NoResponseError, InvalidResponseError))


def surely_not_processed(error: BaseException) -> bool:
    """Say whether a failed request certainly was not begun: never connected, or the API's own 429."""
    if isinstance(error, NoResponseError):
        return not error.reached_server
    return isinstance(error, RateLimitedError) and error.from_api


def outcome_unknown(error: BaseException) -> bool:
    """Say whether a failed request may have been carried out all the same (see the table above)."""
    return is_transient(error) and not surely_not_processed(error)


def worth_another_attempt(call: Call[Any], error: BaseException) -> bool:
    """Decide whether ``call`` is sent again after ``error``."""
    if not call.repeatable:
        return surely_not_processed(error)
    if isinstance(error, ConflictError) and error.from_api:
        return call.method == "GET"  # a cancel refused with 409 has simply come too late
    return is_transient(error) and not isinstance(error, ResponseTooLargeError)


def retrying(
    policy: RetryPolicy,
    call: Call[Any],
    *,
    within: float | None = None,
    rand: Callable[[], float] = random.random,
) -> dict[str, Any]:
    """
    Return the arguments for tenacity's ``AsyncRetrying``.

    No pause is begun that would end after the policy's ``max_seconds`` or after ``within`` seconds.
    """
    seconds = policy.max_seconds if within is None else min(policy.max_seconds, within)
    return {
        "retry": tenacity.retry_if_exception(lambda error: worth_another_attempt(call, error)),
        "wait": _Pause(policy.backoff, rand),
        "before_sleep": _tell,
        "stop": tenacity.stop_after_attempt(policy.max_attempts) | tenacity.stop_before_delay(seconds),
        "reraise": True,
    }


def _tell(retry_state: tenacity.RetryCallState) -> None:
    error = retry_state.outcome.exception() if retry_state.outcome else None
    for observer in _observers:
        observer(error)


class _Pause(tenacity.wait.wait_base):
    """The pause after a failed attempt, by the one rule there is for pauses."""

    def __init__(self, backoff: Backoff, rand: Callable[[], float]) -> None:
        self._backoff, self._random = backoff, rand

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        if not _waiting.get():
            return 0.0
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.retry_after if isinstance(error, StatusError) else None
        return self._backoff.pause(retry_state.attempt_number, self._random, retry_after=asked)
