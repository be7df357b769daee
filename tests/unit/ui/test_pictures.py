from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch.ui.views.pictures import (
    BAR_WIDTH,
    BOTTOM,
    CHART_HEIGHT,
    CHART_WIDTH,
    COLOURS,
    LEFT,
    TOP,
    bar,
    columns,
    shares,
)


@pytest.mark.parametrize(
    ("done", "failed", "total", "lengths", "label"),
    [
        (0, 0, 0, (0, 0), "no files"),
        (10, 0, 10, (100, 0), "10 of 10"),
        (5, 5, 10, (50, 50), "5 of 10, 5 failed"),
        (0, 10, 10, (0, 100), "0 of 10, 10 failed"),
        (999, 1, 1000, (98, 2), "999 of 1,000, 1 failed"),
        (999, 0, 1000, (98, 0), "999 of 1,000"),
        (1, 0, 1000, (2, 0), "1 of 1,000"),
    ],
)
def test_a_bar_shows_every_part_that_is_not_empty(done, failed, total, lengths, label):
    drawn = bar(done, failed, total)
    assert (drawn.done, drawn.failed) == lengths
    assert drawn.label == label


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_the_parts_of_a_bar_never_overlap(done, failed, still_open):
    drawn = bar(done, failed, done + failed + still_open)
    assert drawn.done >= 0
    assert drawn.failed >= 0
    assert drawn.done + drawn.failed <= BAR_WIDTH


values = st.lists(st.floats(0, 1e9, allow_nan=False), min_size=3, max_size=3)


@given(st.dictionaries(st.text(max_size=5), values, max_size=9))
def test_columns_stay_inside_the_picture_and_have_few_colours(series):
    chart = columns(["1 Nov", "2 Nov", "3 Nov"], series)
    for part in chart.parts:
        assert LEFT <= part.x <= part.x + part.width <= CHART_WIDTH
        assert part.y >= TOP - 0.01
        assert part.y + part.height <= CHART_HEIGHT - BOTTOM + 0.02
        assert part.colour < COLOURS
    assert len(chart.legend) <= COLOURS


def test_columns_are_stacked_without_gaps():
    chart = columns(["1 Nov"], {"done": [30], "failed": [10]})
    below, above = chart.parts
    assert below.y + below.height == pytest.approx(CHART_HEIGHT - BOTTOM)
    assert above.y + above.height == pytest.approx(below.y)


def test_what_has_no_colour_of_its_own_is_added_up():
    chart = columns(["1 Nov"], {str(number): [float(number)] for number in range(1, 9)})
    assert [name for _, name, _ in chart.legend] == ["1", "2", "3", "4", "5", "3 others"]
    assert chart.legend[-1][2] == "21"


def test_a_chart_without_values_says_so():
    assert columns(["1 Nov"], {"done": [0]}).is_empty
    assert columns([], {}).is_empty


def test_the_most_frequent_reason_has_the_longest_bar():
    assert shares({"b": 1, "a": 1, "c": 50, "none": 0}) == [("c", 50, 100.0), ("a", 1, 2.0), ("b", 1, 2.0)]
