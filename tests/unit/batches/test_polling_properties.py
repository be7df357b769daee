"""What holds of a wait whatever its polls find and however long they take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch.batches.polling import CONFIRM_AFTER, PollResult, PollState, Reason
from airflow_provider_llamabatch.llamacloud import errors as e
from tests.support.arbitrary import bounded

pytestmark = pytest.mark.long

TERMINAL = {"COMPLETED": Reason.COMPLETED, "FAILED": Reason.FAILED, "CANCELLED": Reason.CANCELLED}
TROUBLE = [
    e.NoResponseError("timed out", reached_server=True),
    e.NoResponseError("refused", reached_server=False),
    e.InvalidResponseError("html"),
    e.ConflictError("409", status_code=409, from_api=True),
    e.RateLimitedError("429", status_code=429, retry_after=7200.0, from_api=True),
    e.UnavailableError("503", status_code=503),
    e.AuthenticationError("gateway's 401", status_code=401),
    e.PermissionDeniedError("gateway's 403", status_code=403),
    e.NotFoundError("gateway's 404", status_code=404),
    e.RefusedError("gateway's 400", status_code=400),
]
VERDICTS = {
    e.AuthenticationError("401", status_code=401, from_api=True): Reason.NOT_AUTHENTICATED,
    e.PermissionDeniedError("403", status_code=403, from_api=True): Reason.NOT_PERMITTED,
    e.NotFoundError("404", status_code=404, from_api=True): Reason.NOT_FOUND,
    e.RefusedError("422", status_code=422, from_api=True): Reason.REFUSED,
    e.PaymentRequiredError("402", status_code=402, from_api=True): Reason.REFUSED,
    e.InvalidInputError("batch_id", "is empty"): Reason.NOT_AUTHENTICATED,
}

running = st.sampled_from(["PENDING", "THROTTLED", "RUNNING", "completed", "PAUSED", ""]) | st.text(
    max_size=5
).filter(lambda word: word not in TERMINAL)
harmless = running | st.sampled_from(TROUBLE)
anything = st.one_of(harmless, harmless, st.sampled_from(list(VERDICTS)), st.sampled_from(sorted(TERMINAL)))
took = st.floats(0, 90)  # seconds that a poll takes
states = st.builds(
    lambda poll, polls, held, first: PollState(
        "bat-1", 1e9 + poll * polls, poll, since=1e9 - held, next_poll=1e9 + first
    ),
    st.floats(0.5, 600),
    st.floats(0, 40),
    st.sampled_from([0.0, 10.0, 5000.0]),
    st.sampled_from([0.0, 10.0, 1e6]),
)
Polls = list[tuple[float, Any]]  # when each response came, and what it was


def poll_until_it_ends(
    state: PollState, polls: list[tuple[Any, float]], share: float
) -> tuple[PollResult, Polls]:
    """Poll exactly when the wait says, and keep seeing RUNNING once ``polls`` is used up."""
    now = 1e9
    seen: Polls = []
    coming = iter(polls)
    result = state.expired(now)
    while result is None:
        assert state.next_poll <= state.deadline
        now = max(now, state.next_poll)
        found, seconds = next(coming, ("RUNNING", 0.0))
        now += seconds
        before = state.next_poll
        seen.append((now, found))
        result = (
            state.on_status(found, now)
            if isinstance(found, str)
            else state.on_error(found, now, lambda: share)
        )
        assert result is not None or state.next_poll > before
    return result, seen


@bounded(400)
@given(states, st.lists(st.tuples(harmless, took), max_size=12), st.floats(0, 1))
def test_nothing_but_its_deadline_ends_a_wait_for_a_running_batch(state, polls, share):
    result, seen = poll_until_it_ends(state, polls, share)

    assert result.reason is Reason.TIMED_OUT
    assert not seen or seen[-1][0] >= state.deadline


@bounded(600)
@given(states, st.lists(st.tuples(anything, took), max_size=12), st.floats(0, 1))
def test_a_wait_ends_only_for_a_terminal_status_a_repeated_verdict_or_its_deadline(state, polls, share):
    result, seen = poll_until_it_ends(state, polls, share)

    if result.reason is Reason.TIMED_OUT:
        assert not seen or seen[-1][0] >= state.deadline
        return
    at, found = seen[-1]
    if isinstance(found, str):
        assert result == PollResult(TERMINAL[found])
        return
    assert result == PollResult(VERDICTS[found], str(found))
    said = [
        when
        for when, what in seen
        if not isinstance(what, str) and VERDICTS.get(what) is result.reason and when <= at - CONFIRM_AFTER
    ]
    assert said, "a verdict is asked for again before it counts"


@bounded(300)
@given(st.floats(-1e6, 1e9), st.floats(-1e6, 1e9), st.floats(1e-3, 1e6))
def test_gaps_grow_with_age_between_their_bounds(one, other, poll_interval):
    state = PollState("bat-1", 1e12, poll_interval, since=0.0, next_poll=0.0)
    gaps = [state.gap(age) for age in sorted((one, other))]

    assert min(5.0, poll_interval) <= gaps[0] <= gaps[1] <= poll_interval
