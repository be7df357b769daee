"""How long a pause is: the table of the one rule."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.polling.backoff import Backoff

LOWEST, MIDDLE, HIGHEST = 0.0, 0.5, 1.0


@pytest.mark.parametrize(
    ("failures", "shortest", "longest"),
    [
        (0, 0.5, 1.0),
        (1, 0.5, 1.0),
        (2, 1.0, 2.0),
        (3, 2.0, 4.0),
        (6, 16.0, 32.0),
        (7, 30.0, 60.0),
        (17, 30.0, 60.0),
        (10**9, 30.0, 60.0),  # a week of failures overflows nothing
    ],
)
def test_half_of_a_pause_is_fixed_and_half_of_it_random(failures, shortest, longest):
    pauses = [Backoff().pause(failures, lambda: dice) for dice in (LOWEST, MIDDLE, HIGHEST)]  # noqa: B023

    assert pauses == [shortest, (shortest + longest) / 2, longest]


@pytest.mark.parametrize(
    ("failures", "longest"), [(16, 2.0**15), (17, 2.0**16), (18, 2.0**16), (5000, 2.0**16)]
)
def test_a_pause_without_a_ceiling_stops_doubling_before_numbers_overflow(failures, longest):
    assert Backoff(1.0, float("inf")).pause(failures, lambda: HIGHEST) == longest


@pytest.mark.parametrize(
    ("asked", "pause"),
    [(None, 4.0), (0.0, 4.0), (0.5, 4.0), (3.9, 4.0), (4.5, 4.5), (119.0, 119.0), (86400.0, 120.0)],
)
def test_what_a_server_asks_for_counts_where_it_is_longer_up_to_two_minutes(asked, pause):
    assert Backoff().pause(3, lambda: HIGHEST, retry_after=asked) == pause
