from __future__ import annotations

import pytest

from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.views.tables import Query, table


@pytest.mark.parametrize(
    ("page", "number"), [("1", 1), ("7", 7), ("", 1), ("-3", 1), ("x", 1), ("0", 1), ("9" * 30, 1), ("²", 1)]
)
def test_a_page_number_that_makes_no_sense_is_the_first(page, number):
    assert Query.of("", "", page).page == number


def test_a_long_search_is_cut():
    assert len(Query.of("", "x" * 9999, "1").search) == limits.MAX_SEARCH_CHARACTERS


@pytest.mark.parametrize(
    ("search", "found"),
    [("", True), ("BAT", True), ("bat cfg", True), ("bat nowhere", False), ("  ", True)],
)
def test_every_word_of_a_search_is_somewhere(search, found):
    assert Query(search=search.strip()).matches("bat-1", None, "cfg-PARSE") is found


def test_an_address_holds_what_was_searched_escaped():
    query = Query("FAILED", 'a&b="<x>', 3)
    assert query.address(page=4) == "?status=FAILED&search=a%26b%3D%22%3Cx%3E&page=4"
    assert query.address(status="") == "?search=a%26b%3D%22%3Cx%3E"


def _table(count: int, query: Query):
    items = [("FAILED" if number % 2 else "COMPLETED", number) for number in range(count)]
    return table(items, query, status=lambda one: one[0], row=lambda one: one[1], one="file")


@pytest.mark.parametrize(
    ("count", "page", "first", "line", "around"),
    [
        (0, 1, None, "0 files", (None, None)),
        (1, 1, 0, "1 file", (None, None)),
        (100, 1, 0, "100 files", (None, None)),
        (101, 1, 0, "1 to 100 of 101 files", (None, "?page=2")),
        (101, 2, 100, "101 to 101 of 101 files", ("?", None)),
        (101, 99, 100, "101 to 101 of 101 files", ("?", None)),
        (2500, 3, 200, "201 to 300 of 2,500 files", ("?page=2", "?page=4")),
    ],
)
def test_a_table_shows_one_page_and_the_way_to_the_others(count, page, first, line, around):
    shown = _table(count, Query(page=page))
    assert (shown.rows[0] if shown.rows else None) == first
    assert len(shown.rows) <= limits.ROWS
    assert (shown.line, (shown.newer, shown.older)) == (line, around)


def test_statuses_are_counted_over_all_rows_whatever_is_chosen():
    shown = _table(5, Query("FAILED"))
    assert [(one.name, one.count, one.is_chosen) for one in shown.choices] == [
        ("All", 5, False),
        ("Completed", 3, False),
        ("Failed", 2, True),
    ]
    assert list(shown.rows) == [1, 3]
