from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from airflow_provider_llamabatch.llamacloud.errors import NoResponseError
from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.cells import Cell, Cells


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def clock():
    return Clock()


def test_fifty_viewers_at_once_cause_one_read(executor, clock):
    go, reads = threading.Event(), []

    def read(last):
        reads.append(last)
        go.wait(20)
        return "value"

    cell = Cell(read, executor, lambda _: 15.0, clock)
    with ThreadPoolExecutor(50) as viewers:
        shown = [viewers.submit(cell.get) for _ in range(50)]
        assert {one.result().under_way for one in shown} == {True}
        go.set()
    assert cell.get().value == "value"
    assert reads == [None]


def test_a_value_is_read_again_only_when_it_is_old(executor, clock):
    values = iter("abc")
    cell = Cell(lambda _: next(values), executor, lambda _: 15.0, clock)
    seen = []
    for now in (0.0, 14.9, 15.0, 29.9, 30.0):
        clock.now = now
        seen.append((cell.get().value, cell.get().age))
    assert seen == [("a", 0.0), ("a", 14.9), ("b", 0.0), ("b", pytest.approx(14.9)), ("c", 0.0)]


def test_after_trouble_the_last_value_stays_and_the_pauses_grow(executor, clock):
    tries = []

    def read(last):
        tries.append(clock.now)
        if last is not None:
            raise NoResponseError("gone", reached_server=False)
        return "value"

    cell = Cell(read, executor, lambda _: 15.0, clock)
    cell.get()
    for now in range(10, 2000, 5):
        clock.now = float(now)
        reading = cell.get()
        assert reading.value == "value"
    assert "does not respond" in (reading.problem or "")
    pauses = [after - before for before, after in pairwise(tries[1:])]
    assert pauses[:4] == [15.0, 30.0, 60.0, 120.0]
    assert max(pauses) <= limits.MAX_REFRESH


def test_what_somebody_changed_is_read_again_at_once(executor, clock):
    values = iter("ab")
    cell = Cell(lambda _: next(values), executor, lambda _: 15.0, clock)
    cell.get()
    cell.expire()
    assert cell.get().value == "b"


def test_an_error_of_the_page_itself_is_no_end(executor, clock, caplog):
    cell = Cell(lambda _: 1 // 0, executor, lambda _: 15.0, clock)
    assert "the page itself" in (cell.get().problem or "")
    assert "ZeroDivisionError" in caplog.text


def test_only_so_many_batches_are_kept(executor, clock):
    cells = Cells(lambda key: Cell(lambda _: key, executor, lambda _: 15.0, clock))
    for number in range(limits.MAX_KEPT + 10):
        cells[str(number)].get()
    assert len(cells.known()) == limits.MAX_KEPT
    assert "0" not in cells.known()
