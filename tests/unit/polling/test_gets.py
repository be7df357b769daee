"""Which id is asked for next by GET: tables of a queue."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.batches.polling import PollState
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.entries import Entry, Phase
from airflow_provider_llamabatch.polling.gets import Gets
from airflow_provider_llamabatch.polling.lanes import MAX_GETS, Lanes
from airflow_provider_llamabatch.polling.pace import Pace
from airflow_provider_llamabatch.polling.sources import Batches

DOWN = e.UnavailableError("503", status_code=503)


def queued(*failures: int) -> tuple[Gets, Lanes, dict[str, tuple[Entry, ...]]]:
    """Return the queue of waits that failed so often in a row, in this order; ``bat-0`` is the first."""
    lanes = Lanes(lambda: 1.0, Pace())
    entries: dict[str, tuple[Entry, ...]] = {}
    gets = Gets(Batches(), entries, lanes)
    for number, count in enumerate(failures):
        state = PollState(f"bat-{number}", 1e9, 5.0, since=0.0, next_poll=0.0, failures=count)
        entry = Entry(state, created_at=None, listed_from=0.0)
        entries[state.key] = (entry,)
        gets.put(entry)
    return gets, lanes, entries


def asked(gets: Gets, now: float) -> list[str]:
    return [ask.key for ask in gets.asks(now)]


def test_the_first_that_came_are_asked_for_first():
    gets, _, entries = queued(0, 0, 0, 0, 0, 0)

    assert asked(gets, 0.0) == ["bat-0", "bat-1", "bat-2", "bat-3"]
    assert [entry.phase for (entry,) in entries.values()] == [Phase.ASKED] * 4 + [Phase.QUEUED] * 2


def test_those_that_failed_have_places_of_their_own():
    gets, lanes, _ = queued(0, 3, 0, 1)

    assert [(ask.key, ask.lane) for ask in gets.asks(0.0)] == [
        ("bat-0", lanes.gets),
        ("bat-2", lanes.gets),
        ("bat-1", lanes.retries),
        ("bat-3", lanes.retries),
    ]


@pytest.mark.parametrize(
    ("failures", "first"),
    [
        ((9, 8, 7, 6, 5, 1), ["bat-5", "bat-4", "bat-3", "bat-2"]),
        ((2, 9, 1, 9, 2, 2), ["bat-2", "bat-0", "bat-4", "bat-5"]),
        ((1, 1, 1, 1, 1, 1), ["bat-0", "bat-1", "bat-2", "bat-3"]),
    ],
)
def test_in_trouble_those_that_failed_least_often_are_asked_for_first(failures, first):
    gets, lanes, _ = queued(*failures)
    lanes.on_error(lanes.retries, 0.0, DOWN)

    assert asked(gets, 0.5) == []
    assert asked(gets, 1.0) == first
    assert len(first) == MAX_GETS


def test_what_nobody_waits_for_any_more_is_left_out():
    gets, lanes, entries = queued(2, 2, 2, 2, 2, 2)
    lanes.on_error(lanes.retries, 0.0, DOWN)
    del entries["bat-5"]
    entries["bat-0"][0].phase = Phase.OVER

    assert asked(gets, 1.0) == ["bat-1", "bat-2", "bat-3", "bat-4"]
    assert asked(gets, 9.0) == []


def test_a_place_opens_only_for_what_waits_for_one():
    gets, lanes, _ = queued(1)
    lanes.on_error(lanes.gets, 0.0, DOWN)
    lanes.on_error(lanes.retries, 3.0, DOWN)
    assert gets.opens_at(3.0) == 4.0

    asked(gets, 4.0)
    assert gets.opens_at(4.0) == float("inf")


def test_each_is_asked_for_by_the_call_for_its_id():
    gets, _, _ = queued(0, 0)

    assert [ask.call for ask in gets.asks(0.0)] == [Batches().get("bat-0"), Batches().get("bat-1")]
