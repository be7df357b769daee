"""Single steps of a schedule: what is asked for next after each answer."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.polling.entries import Entry, Phase
from airflow_provider_llamabatch.polling.sweep import Kind
from tests.support.schedule_histories import history, some, waiting
from tests.support.schedule_steps import DOWN, FIRST, a_schedule, an_entry, keys, page, row, swept
from tests.support.simulated_service import Run, Service

REFUSED_KEY = e.AuthenticationError("401", status_code=401, from_api=True)


def test_two_waits_for_one_batch_are_asked_for_together_and_both_are_told():
    schedule, one, two = a_schedule(lists=False), an_entry(), an_entry()
    for entry in (one, two):
        assert schedule.add(entry, 0.0) == FIRST

    plan = schedule.plan(FIRST)
    assert keys(plan.asks) == ["bat-1"]
    assert (one.phase, two.phase) == (Phase.ASKED, Phase.ASKED)
    updates = schedule.on_item(plan.asks[0], row("bat-1", "COMPLETED"), FIRST + 0.1)
    assert [(update.entry, update.result and update.result.reason) for update in updates] == [
        (one, Reason.COMPLETED),
        (two, Reason.COMPLETED),
    ]
    assert schedule.entries == {}


def test_a_wait_that_is_due_while_its_batch_is_asked_for_takes_part_in_the_answer():
    schedule, one, two = a_schedule(lists=False), an_entry(), an_entry(first_poll=5.0)
    schedule.add(one, 0.0)
    schedule.add(two, 0.0)
    (ask,) = schedule.plan(FIRST).asks

    assert schedule.plan(FIRST + 5.0).asks == []
    assert two.phase is Phase.QUEUED
    schedule.on_item(ask, row("bat-1"), FIRST + 5.1)
    assert (one.phase, two.phase) == (Phase.SCHEDULED, Phase.SCHEDULED)
    assert schedule.plan(FIRST + 5.2).asks == []
    assert keys(schedule.plan(FIRST + 10.0).asks) == ["bat-1"]


def test_a_wait_that_is_due_while_its_batch_is_asked_for_in_vain_is_asked_for_again_with_the_other():
    schedule, one, two = a_schedule(lists=False), an_entry(), an_entry(first_poll=5.0)
    schedule.add(one, 0.0)
    schedule.add(two, 0.0)
    (ask,) = schedule.plan(FIRST).asks
    schedule.plan(FIRST + 5.0)

    assert schedule.on_error(ask, DOWN, FIRST + 5.1) == []
    assert (one.phase, two.phase) == (Phase.SCHEDULED, Phase.SCHEDULED)
    assert one.due_at == two.due_at == 6.5  # in 0.75 s, on the next half of a second
    (again,) = schedule.plan(6.5).asks
    assert (again.key, again.lane) == ("bat-1", schedule.lanes.retries)


def test_what_did_not_answer_does_not_keep_what_does_from_being_asked_for():
    schedule = a_schedule(lists=False)
    failing, other = an_entry("bat-1"), an_entry("bat-2")
    for entry in (failing, other):
        schedule.add(entry, 0.0)
    first, second = schedule.plan(FIRST).asks
    assert first.lane is second.lane is schedule.lanes.gets
    schedule.on_error(first, e.NotFoundError("404", status_code=404, from_api=True), FIRST)
    schedule.on_item(second, row("bat-2"), FIRST)

    lanes = {ask.key: ask.lane for ask in schedule.plan(FIRST + 60.0).asks}
    assert lanes == {"bat-1": schedule.lanes.retries, "bat-2": schedule.lanes.gets}


def test_a_refused_key_touches_every_wait_but_leaves_those_in_the_queue_there():
    schedule = a_schedule(lists=False)
    entries = [an_entry(f"bat-{number}") for number in range(6)]
    for entry in entries:
        schedule.add(entry, 0.0)
    asks = schedule.plan(FIRST).asks
    assert keys(asks) == ["bat-0", "bat-1", "bat-2", "bat-3"]

    assert schedule.on_error(asks[0], REFUSED_KEY, FIRST) == []
    assert [entry.phase for entry in entries] == [Phase.SCHEDULED] * 4 + [Phase.QUEUED] * 2
    assert {entry.state.doubted for entry in entries} == {Reason.NOT_AUTHENTICATED}
    assert schedule.failures == 1


def test_failed_gets_count_no_longer_once_a_list_has_shown_their_waits():
    schedule, entries, (ask,) = swept(6)
    schedule.on_error(ask, DOWN, FIRST)
    for get in schedule.plan(FIRST).asks:
        schedule.on_error(get, DOWN, FIRST)
    assert (schedule.failures, schedule.lanes.gets.health.failures) == (1, 1)
    for later in range(10, 60, 10):
        for page_ask in schedule.plan(FIRST + later).asks:
            if page_ask.sweep is not None:
                schedule.on_page(page_ask, page(*(row(entry.state.key) for entry in entries)), FIRST + later)

        schedule.plan(FIRST + later)

    assert schedule.failures == 0


def test_a_list_that_is_refused_for_its_key_leaves_its_waits_to_gets():
    schedule, entries, (ask,) = swept(6)
    assert ask.sweep is not None

    schedule.on_error(ask, REFUSED_KEY, FIRST)
    assert schedule.sweep is None
    assert {entry.phase for entry in entries} == {Phase.QUEUED}
    assert {entry.state.failures for entry in entries} == {1}


def test_a_list_ends_when_nobody_waits_for_it_any_more():
    schedule, entries, _ = swept(6)
    for entry in entries:
        assert schedule.sweep is not None
        schedule.remove(entry)

    late = an_entry("late", first_poll=FIRST)
    schedule.add(late, FIRST)
    schedule.plan(FIRST + 0.1)
    assert schedule.sweep is None


@pytest.mark.parametrize("left", [5, 500])
def test_waits_that_left_do_not_count_among_those_a_list_shows(left):
    schedule = a_schedule()
    gone = [an_entry(f"gone-{number}", created_at=1.0, first_poll=1e6) for number in range(left)]
    due = [an_entry(f"due-{number}", created_at=float(number)) for number in range(50)]
    others = [an_entry(f"other-{number}", created_at=5.0, first_poll=1e6) for number in range(500)]
    for entry in [*gone, *due, *others]:
        schedule.add(entry, 0.0)
    for entry in gone:
        schedule.remove(entry)

    asks = schedule.plan(5.0 + FIRST).asks
    assert {ask.sweep.kind for ask in asks if ask.sweep} == {Kind.ENDED}  # a list of all has six pages


def test_a_list_of_what_has_ended_says_nothing_of_what_it_shows_as_running():
    schedule, _, asks = swept(301)
    assert {ask.sweep.kind for ask in asks if ask.sweep} == {Kind.ENDED}
    statuses = ["COMPLETED"] * 151 + ["RUNNING"] * 150

    rows = [row(f"bat-{number}", status) for number, status in enumerate(statuses)]
    updates = schedule.on_page(asks[0], page(*rows), FIRST + 0.1)
    assert sum(update.result is not None for update in updates) == 151
    schedule.plan(FIRST + 0.2)
    assert schedule.sweep is not None
    assert schedule.sweep.left == {f"bat-{number}" for number in range(151, 301)}


def test_lists_that_show_what_waits_again_have_a_short_break_the_next_time():
    run = waiting(40, Service(hidden=some(40)))
    for at, hidden in ((14.0, frozenset()), (29.0, some(40))):
        run.at(at, lambda hidden=hidden: setattr(run.service, "hidden", hidden))  # type: ignore[misc]
    run.until(50.0)

    broken = [(1, "1 all, 40 get"), (2, "40 get")]
    assert history(run) == [*broken, (3, "1 all"), *broken, (1, "1 all, 40 get")]


def test_the_answer_to_a_get_tells_the_time_of_creation_where_it_was_unknown():
    schedule = a_schedule()
    entry = Entry(an_entry().state, created_at=None, listed_from=-3600.0)
    schedule.add(entry, 0.0)
    (ask,) = schedule.plan(FIRST).asks
    schedule.on_item(ask, row("bat-1"), FIRST)

    assert (entry.created_at, entry.listed_from) == (0.0, 0.0)
    assert entry.recheck_at == FIRST + 20 * 5.0


@pytest.mark.parametrize("early_first", [True, False])
@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED"])
def test_nothing_is_told_before_a_task_may_be_resumed(status, early_first):
    schedule = a_schedule()
    early, later = an_entry(), an_entry(first_poll=30.0)
    for entry in (early, later) if early_first else (later, early):
        schedule.add(entry, 0.0)
    (ask,) = schedule.plan(6.0).asks
    updates = schedule.on_item(ask, row("bat-1", status), 6.1)

    assert [update.entry for update in updates] == [early]
    assert later.state.status == ""
    assert later.phase is Phase.SCHEDULED


def test_a_deadline_ends_a_wait_whatever_is_under_way():
    run = Run(Service(seconds=lambda ask: 30.0))
    run.service.add("bat-0", 0.0, 1e9)
    run.wait("bat-0", begins=0.0, deadline=10.0)
    run.until(40.0)

    assert run.found == {"bat-0": (10.0, Reason.TIMED_OUT)}


def test_a_list_without_an_end_is_a_failure_of_lists_and_its_waits_are_asked_for_by_get():
    schedule, entries, (ask, *_) = swept(6)
    schedule.on_page(ask, page(token="same"), FIRST)
    (ask, *_) = schedule.plan(FIRST).asks
    schedule.on_page(ask, page(token="same"), FIRST + 1.0)

    health = schedule.lanes.lists.health
    assert (health.failures, schedule.lanes.gets.health.failures) == (1, 0)
    assert health.paused_until > FIRST + 1.0
    assert {entry.phase for entry in entries} == {Phase.QUEUED}


def test_what_the_api_says_of_one_batch_is_no_trouble_of_the_others():
    schedule = a_schedule(lists=False)
    schedule.add(an_entry(), 0.0)
    (ask,) = schedule.plan(FIRST).asks
    schedule.on_error(ask, e.NotFoundError("404", status_code=404, from_api=True), FIRST)
    assert schedule.failures == 0


def test_an_answer_to_a_get_ends_the_trouble_of_gets():
    schedule = a_schedule(lists=False)
    for key in ("bat-1", "bat-2"):
        schedule.add(an_entry(key), 0.0)
    first, second = schedule.plan(FIRST).asks
    schedule.on_error(first, DOWN, FIRST)
    assert schedule.failures == 1
    schedule.on_item(second, row("bat-2"), FIRST)
    assert schedule.failures == 0


def test_others_that_run_count_for_what_a_list_of_what_runs_would_cost():
    schedule, _, (ask, *_) = swept(6)
    rows = [row(f"other-{number}") for number in range(8)] + [
        row("other", "COMPLETED"),
        row("bat-0"),
        row("bat-1"),
    ]
    schedule.on_page(ask, page(*rows), FIRST)
    assert schedule.costs.rows_per_wait == 5.0


def test_a_list_whose_status_is_ignored_is_asked_for_anew_in_another_way():
    schedule, entries, asks = swept(301)
    assert {ask.sweep.kind for ask in asks if ask.sweep} == {Kind.ENDED}
    schedule.on_page(asks[0], page(*(row("other") for _ in range(3))), FIRST)

    assert schedule.sweep is None
    assert {entry.phase for entry in entries} == {Phase.SCHEDULED}
    again = schedule.plan(FIRST).asks
    assert {ask.sweep.kind for ask in again if ask.sweep} == {Kind.ALL}


def test_many_that_no_longer_run_are_looked_for_on_lists_of_what_has_ended():
    schedule = a_schedule()
    schedule.costs.pages[Kind.ENDED] = 90.0
    entries = [an_entry(f"bat-{number}") for number in range(301)]
    for entry in entries:
        schedule.add(entry, 0.0)
    asks = schedule.plan(FIRST).asks
    assert {ask.sweep.kind for ask in asks if ask.sweep} == {Kind.RUNNING}
    schedule.costs.pages[Kind.ENDED] = 3.0
    for ask in asks:
        is_running = ask.walk is not None and ask.walk.query.status == "RUNNING"
        schedule.on_page(ask, page(*[row("bat-0")] * is_running), FIRST + 1.0)

    following = schedule.plan(FIRST + 2.0)
    assert {ask.sweep.kind for ask in following.asks if ask.sweep} == {Kind.ENDED}
    assert schedule.sweep is not None
    assert len(schedule.sweep.left) == 300
    assert following.wake_at == FIRST + 4.0


@pytest.mark.parametrize(
    ("stale", "asked"), [(0, []), (1, ["get"]), (2, ["recheck"]), (90, ["recheck"])], ids=str
)
def test_what_was_not_seen_for_long_is_looked_for_on_a_list_unless_it_is_one(stale, asked):
    schedule, entries, asks = swept(301)
    schedule.recheck_share = 90.0
    for number, entry in enumerate(entries):
        entry.recheck_at = FIRST + (0.0 if number < stale else 1.0)
    for ask in asks:
        schedule.on_page(ask, page(), FIRST)

    assert [ask.sweep.kind.value if ask.sweep else "get" for ask in schedule.plan(FIRST).asks] == asked


@pytest.mark.parametrize(("ended", "asked"), [(151, ["recheck"]), (152, [])])
def test_no_look_is_taken_while_more_have_ended_than_go_on(ended, asked):
    schedule, entries, asks = swept(302)
    schedule.recheck_share = 90.0
    for entry in entries:
        entry.recheck_at = FIRST
    rows = [row(f"bat-{number}", "COMPLETED") for number in range(ended)]
    for ask in asks:
        is_completed = ask.walk is not None and ask.walk.query.status == "COMPLETED"
        schedule.on_page(ask, page(*rows if is_completed else ()), FIRST)

    assert [ask.sweep.kind.value for ask in schedule.plan(FIRST).asks if ask.sweep] == asked


def test_a_refusal_of_before_the_last_good_answer_says_nothing_of_the_key_now():
    """The connection is looked up again after a refusal, which may take half a minute."""
    schedule, one, two = a_schedule(lists=False), an_entry("bat-1"), an_entry("bat-2")
    for entry in (one, two):
        schedule.add(entry, 0.0)
    of_one, of_two = schedule.plan(FIRST).asks
    schedule.on_item(of_two, row("bat-2"), FIRST + 0.1)

    assert schedule.on_error(of_one, REFUSED_KEY, FIRST + 30.0) == []
    assert (one.state.doubted, two.state.doubted) == (None, None)

    (again, *_) = (ask for ask in schedule.plan(FIRST + 60.0).asks if ask.key == "bat-1")
    schedule.on_error(again, REFUSED_KEY, FIRST + 61.0)
    assert one.state.doubted is Reason.NOT_AUTHENTICATED
