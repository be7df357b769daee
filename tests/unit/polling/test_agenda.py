"""What is due when: histories of an agenda."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.batches.polling import PollState
from airflow_provider_llamabatch.polling.entries import Agenda, Entry, Phase

NEVER = float("inf")


def an_entry(key: str = "bat-1", deadline: float = 1e9) -> Entry:
    state = PollState(key, deadline, poll_interval=30.0, since=100.0, next_poll=110.0)
    return Entry(state, created_at=90.0, listed_from=90.0)


def test_an_entry_begins_without_a_past():
    entry = an_entry()

    assert (entry.phase, entry.misses) == (Phase.SCHEDULED, 0)
    assert (entry.due_at, entry.recheck_at, entry.relist_at) == (0.0, 0.0, 0.0)
    assert (entry.not_before, entry.created_at, entry.listed_from) == (110.0, 90.0, 90.0)


@pytest.mark.parametrize(
    ("after", "gap", "tick"),
    [
        (100.0, 5.0, 105.0),
        (99.99, 5.0, 100.0),
        (104.9, 5.0, 105.0),
        (105.0, 5.0, 110.0),
        (105.0, 10.0, 110.0),
        (104.9999999, 5.0, 110.0),  # what fell on a tick but for rounding is not asked for twice
        (104.999, 5.0, 105.0),
        (97.0, 30.0, 100.0),
        (69.0, 30.0, 70.0),
        (1000.0, 7.5, 1007.5),
    ],
)
def test_ticks_count_from_the_origin(after, gap, tick):
    assert Agenda(100.0).tick(after, gap) == pytest.approx(tick, abs=1e-9)


def test_what_is_due_is_taken_once_in_the_order_of_its_times():
    agenda, one, two, three = Agenda(0.0), an_entry("1"), an_entry("2"), an_entry("3")
    for entry, time in ((three, 3.0), (one, 1.0), (two, 1.0)):
        agenda.put(entry, time)

    assert agenda.next_at == 1.0
    assert agenda.take_due(0.9) == []
    assert agenda.take_due(1.0) == [one, two]
    assert agenda.next_at == 3.0
    assert agenda.take_due(9.0) == [three]
    assert agenda.take_due(9.0) == []
    assert agenda.next_at == NEVER


def test_several_times_that_have_passed_are_taken_together():
    agenda, one, two = Agenda(0.0), an_entry("1"), an_entry("2")
    agenda.put(one, 1.0)
    agenda.put(two, 2.0)

    assert agenda.take_due(5.0) == [one, two]


def test_an_entry_that_was_put_elsewhere_is_due_there_alone():
    agenda, entry = Agenda(0.0), an_entry()
    for time in (1.0, 2.0, 2.0):
        agenda.put(entry, time)

    assert agenda.take_due(1.0) == []
    assert agenda.take_due(2.0) == [entry]


@pytest.mark.parametrize("phase", [Phase.SWEPT, Phase.QUEUED, Phase.ASKED, Phase.OVER])
def test_an_entry_that_is_asked_for_already_is_not_due(phase):
    agenda, entry, other = Agenda(0.0), an_entry(), an_entry("2")
    agenda.put(entry, 1.0)
    agenda.put(other, 1.0)
    entry.phase = phase

    assert agenda.take_due(1.0) == [other]
    agenda.put(entry, 2.0)
    assert entry.phase is Phase.SCHEDULED
    assert agenda.take_due(2.0) == [entry]


def test_deadlines_are_taken_when_they_are_reached_but_for_what_is_over():
    agenda = Agenda(0.0)
    late, early, gone = an_entry("1", 20.0), an_entry("2", 10.0), an_entry("3", 5.0)
    for entry in (late, early, gone):
        agenda.watch(entry, 3)
    gone.phase = Phase.OVER

    assert agenda.take_expired(4.0) == []
    assert agenda.next_at == 5.0
    assert agenda.take_expired(10.0) == [early]
    assert agenda.next_at == 20.0
    agenda.put(an_entry("4"), 15.0)
    assert agenda.next_at == 15.0
    assert agenda.take_expired(20.0) == [late]
    assert agenda.take_expired(99.0) == []


def test_waits_with_one_deadline_are_taken_together_each_once():
    agenda = Agenda(0.0)
    entries = [an_entry(str(number), 10.0) for number in range(20)]
    for entry in entries:
        agenda.watch(entry, 20)

    assert sorted(entry.state.key for entry in agenda.take_expired(10.0)) == sorted(map(str, range(20)))
    assert agenda.take_expired(10.0) == []


def test_deadlines_of_waits_long_over_are_forgotten_and_no_other():
    agenda = Agenda(0.0)
    staying = [an_entry(str(number), 1000.0 - number) for number in range(3)]
    for entry in staying:
        agenda.watch(entry, 3)
    for number in range(500):
        passing = an_entry(f"passing-{number}", 2000.0)
        agenda.watch(passing, 4)
        passing.phase = Phase.OVER
        assert len(agenda._deadlines) <= 2 * 4 + 64 + 1

    assert len(agenda._deadlines) >= 3
    assert agenda.next_at == 998.0
    assert agenda.take_expired(1500.0) == staying[::-1]


def test_deadlines_are_gone_through_only_where_most_are_of_waits_long_over():
    agenda, kept = Agenda(0.0), []
    for _ in range(74):
        passing = an_entry(deadline=2000.0)
        agenda.watch(passing, 4)
        passing.phase = Phase.OVER
        kept.append(len(agenda._deadlines))

    assert kept == [*range(1, 2 * 4 + 64 + 2), 1]


def test_an_entry_knows_whom_to_tell():
    waiter = object()

    assert Entry(an_entry().state, created_at=None, listed_from=0.0, subscriber=waiter).subscriber is waiter
