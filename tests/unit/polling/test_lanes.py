"""How many requests may be under way: histories of a lane."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.lanes import MAX_SLOW, Health, Lane, Lanes
from airflow_provider_llamabatch.polling.pace import Pace

NEVER = float("inf")


def a_lane(limit: int = 4, trials: int = 1) -> Lane:
    return Lane(limit, trials, Health(random=lambda: 1.0))


def test_a_lane_takes_requests_up_to_its_limit_and_one_more_for_each_that_ends():
    lane = a_lane()
    for number in range(4):
        assert lane.free(0.0) == 4 - number
        lane.start(number, 0.0)

    assert lane.free(1.0) == 0
    lane.end(2)
    lane.end("one that never began")
    assert lane.free(1.0) == 1


def test_a_slow_request_gives_its_place_to_another():
    lane = a_lane()
    for number in range(4):
        lane.start(number, number * 0.5)

    assert lane.opens_at(1.5) == 2.0
    assert [lane.free(now) for now in (1.9, 2.0, 2.5, 3.4, 3.5, 9.0)] == [0, 1, 2, 3, 4, 4]
    assert [lane.opens_at(now) for now in (2.0, 3.4, 3.5)] == [2.5, 3.5, NEVER]


def test_a_lane_full_of_slow_requests_takes_no_further_ones():
    lane = a_lane()
    for number in range(MAX_SLOW - 1):
        lane.start(number, 0.0)

    assert lane.free(2.0) == 4
    lane.start("the last", 0.0)
    assert lane.free(1.9) == 0
    assert lane.free(2.0) == 0
    lane.end("the last")
    assert lane.free(2.0) == 4


def test_more_requests_than_places_leave_none_free():
    lane = a_lane()
    for number in range(6):
        lane.start(number, 0.0)

    assert lane.free(1.0) == 0


def test_after_trouble_one_request_tries_whether_it_is_over():
    lane = a_lane()
    lane.health.on_error(10.0)

    assert [lane.free(now) for now in (10.0, 10.9, 11.0, 50.0)] == [0, 0, 1, 1]
    assert [lane.opens_at(now) for now in (10.0, 11.0)] == [11.0, NEVER]
    lane.start("a try", 11.0)
    assert lane.free(11.0) == 0
    lane.health.on_success()
    assert lane.free(11.0) == 3


def test_several_requests_try_whether_trouble_is_over_where_each_asks_for_something_else():
    lane = a_lane(trials=3)
    lane.health.on_error(10.0)

    assert [lane.free(now) for now in (10.9, 11.0)] == [0, 3]
    lane.start("a try", 11.0)
    assert lane.free(11.0) == 2


def test_a_lane_opens_when_the_first_of_its_reasons_ends():
    lane = a_lane()
    lane.start("slow", 9.5)
    lane.health.on_error(10.0)

    assert lane.opens_at(10.0) == 11.0
    assert lane.opens_at(11.0) == 11.5


def test_pauses_double_with_each_failure_in_a_row_and_begin_anew_after_a_success():
    health = Health(random=lambda: 1.0)
    pauses = []
    now = 100.0
    for _ in range(8):
        health.on_error(now)
        pauses.append(health.paused_until - now)
        now = health.paused_until

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert health.failures == 8
    health.on_success()
    health.on_error(now)
    assert (health.failures, health.paused_until - now) == (1, 1.0)


def test_pauses_of_what_has_pauses_of_its_own_stop_growing():
    health = Health(lambda: 1.0, 2)
    for _ in range(4):
        health.on_error(health.paused_until)

    assert (health.failures, health.paused_until) == (4, 1.0 + 2.0 + 2.0 + 2.0)


def test_failures_that_come_together_count_as_one():
    health = Health(random=lambda: 1.0)
    for now in (0.0, 0.1, 0.9):
        health.on_error(now)

    assert (health.failures, health.paused_until) == (1, 1.0)
    health.on_error(1.0)
    assert (health.failures, health.paused_until) == (2, 3.0)


@pytest.mark.parametrize(
    ("error", "paused_until"),
    [
        (e.RateLimitedError("", status_code=429, retry_after=30.0), 30.0),
        (e.UnavailableError("", status_code=503, retry_after=86400.0), 120.0),
        (e.UnavailableError("", status_code=503), 1.0),
        (e.NoResponseError("", reached_server=False), 1.0),
        (None, 1.0),
    ],
)
def test_a_pause_lasts_as_long_as_the_server_asks(error, paused_until):
    health = Health(random=lambda: 1.0)
    health.on_error(0.0, error)

    assert health.paused_until == paused_until


@pytest.mark.parametrize(
    ("error", "trials"),
    [
        (e.RateLimitedError("", status_code=429), 1),
        (e.AuthenticationError("", status_code=401, from_api=True), 1),
        (e.InvalidInputError("host", ""), 1),
        (e.UnavailableError("", status_code=503), 3),
        (e.InvalidResponseError(""), 3),
    ],
)
def test_what_is_meant_for_all_is_tried_by_a_single_request(error, trials):
    lane = a_lane(trials=3)
    lane.health.on_error(0.0, error)

    assert lane.free(60.0) == trials


REFUSED = e.AuthenticationError("no", status_code=401, from_api=True, retry_after=7.0)


def test_a_refusal_of_a_request_that_was_sent_before_the_last_answer_is_trouble():
    lanes = Lanes(lambda: 1.0, Pace())
    lanes.lists.start("early", 1.0)
    lanes.gets.start("late", 2.0)
    assert lanes.news(lanes.lists, "early", REFUSED) is REFUSED  # nothing was answered yet
    lanes.accepted_at = 2.0

    told = lanes.news(lanes.lists, "early", REFUSED)
    assert isinstance(told, e.UnavailableError)
    assert (str(told), told.status_code, told.retry_after) == ("no", 401, 7.0)
    for lane, request in ((lanes.gets, "late"), (lanes.gets, "another"), (None, "late")):
        assert lanes.news(lane, request, REFUSED) is REFUSED
    down = e.UnavailableError("503", status_code=503)
    assert lanes.news(lanes.lists, "early", down) is down
