"""The worker's share of a wait: histories of a batch, played against the flows on a virtual clock."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.batches.flow import Send, Sleep, Step, drive
from airflow_provider_llamabatch.batches.outcome import Outcome, outcome_of
from airflow_provider_llamabatch.batches.poller import BatchPoller, ResultsStayedNullError
from airflow_provider_llamabatch.batches.polling import PollResult, PollState, Reason
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.models import Batch, BatchResult, JobReference

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.call import Call

BEGAN = 1000.0
LOG: Any = logging.getLogger("history")
SCOPE: dict[str, Any] = {"project_id": "prj-1", "organization_id": "org-1"}
OUTAGE = e.UnavailableError("503", status_code=503)
FORBIDDEN = e.PermissionDeniedError("not yours", status_code=403, from_api=True)
NO_KEY = e.InvalidInputError("llamabatch_conn_id", "has no key")
COMPLETED, TIMED_OUT = PollResult(Reason.COMPLETED), PollResult(Reason.TIMED_OUT)
DONE = [
    BatchResult(source_directory_file_id="dfl-1", job_reference=JobReference(id="pjb-1", type="parse_v2"))
]
UNTOLD = BatchResult(source_directory_file_id="dfl-2")


class History:
    """What a batch's service says, poll by poll; the last word stands for all later ones. A poll takes a second."""

    def __init__(self, *says: str | Exception | tuple[str, list[BatchResult] | None], **wait: float) -> None:
        self.says = list(says)
        self.now = BEGAN
        self.calls: list[Call[Any]] = []
        self.within: list[float | None] = []
        self.pauses: list[float] = []
        deadline = wait.get("deadline", BEGAN + 1000.0)
        state = PollState("bat-1", deadline, wait.get("poll_interval", 8.0), since=BEGAN, next_poll=BEGAN)
        self.poller = BatchPoller(state, LOG, lambda: self.now, random=lambda: 0.5, **SCOPE)

    def perform(self, step: Step) -> Any:
        if isinstance(step, Sleep):
            self.pauses.append(round(step.seconds, 3))
            self.now += step.seconds
            return None
        assert isinstance(step, Send)
        assert step.once
        self.calls.append(step.call)
        self.within.append(step.within)
        self.now += 1.0
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, Exception):
            raise said
        status, results = said if isinstance(said, tuple) else (said, None)
        return Batch(id="bat-1", status=status, results=results)

    def poll(self) -> PollResult | None:
        return drive(self.poller.poll(), self.perform)

    def wait(self) -> PollResult:
        return drive(self.poller.wait(), self.perform)

    def conclude(self, result: PollResult) -> PollResult | Outcome:
        return drive(self.poller.conclude(result), self.perform)


def test_a_batch_is_polled_once_an_interval_in_its_project_until_it_ends():
    history = History("PENDING", "RUNNING", "RUNNING", "COMPLETED")

    assert history.wait() == COMPLETED
    assert history.pauses == [8.0, 8.0, 8.0]
    assert history.calls == [calls.get_batch("bat-1", **SCOPE)] * 4
    assert history.poller.batch is not None
    assert history.poller.batch.status == "COMPLETED"


def test_small_failures_are_waited_out_with_growing_pauses():
    history = History("RUNNING", OUTAGE, OUTAGE, OUTAGE, "RUNNING", OUTAGE, "FAILED")

    assert history.wait() == PollResult(Reason.FAILED)
    assert history.pauses == [8.0, 0.75, 1.5, 3.0, 8.0, 0.75]


def test_a_verdict_of_the_api_ends_the_wait_when_it_is_repeated():
    history = History(FORBIDDEN)

    assert history.wait() == PollResult(Reason.NOT_PERMITTED, "not yours")
    assert history.pauses == [5.0]


def test_a_connection_that_cannot_be_used_is_the_tasks_failure_at_once():
    for play in (History.poll, History.wait, lambda history: history.conclude(COMPLETED)):
        with pytest.raises(e.InvalidInputError):
            play(History(NO_KEY))


def test_a_connection_that_could_be_used_may_be_in_the_middle_of_being_changed():
    assert History("RUNNING", NO_KEY, NO_KEY, "COMPLETED").wait() == COMPLETED

    left = History("RUNNING", NO_KEY)
    assert left.wait() == PollResult(Reason.NOT_AUTHENTICATED, str(NO_KEY))
    assert 60.0 <= left.now - BEGAN <= 90.0

    collecting = History("COMPLETED", NO_KEY, ("COMPLETED", DONE))
    assert isinstance(collecting.conclude(TIMED_OUT), Outcome)


def test_a_wait_ends_at_its_deadline_and_no_poll_takes_longer_than_what_is_left():
    history = History("RUNNING", deadline=BEGAN + 30.0)

    assert history.wait() == TIMED_OUT
    assert history.pauses == [8.0, 8.0, 8.0, 2.0]
    assert history.within == [20.0, 20.0, 12.0, 3.0, 1.0]


def test_a_poll_that_came_late_is_followed_by_the_next_one_at_once():
    history = History("RUNNING")
    history.poll()
    history.now += 100.0
    flow = history.poller.wait()
    next(flow)
    history.now += 100.0
    assert flow.send(Batch(id="bat-1", status="RUNNING")) == Sleep(8.0)

    late = History("RUNNING")
    flow = late.poller.wait()
    next(flow)
    times = iter([BEGAN, BEGAN + 50.0])
    late.poller.clock = lambda: next(times)
    assert flow.send(Batch(id="bat-1", status="RUNNING")) == Sleep(0.0)


@pytest.mark.parametrize(
    ("says", "logged"),
    [
        (["RUNNING", "RUNNING", "COMPLETED"], ["RUNNING", "COMPLETED"]),
        (["RUNNING", OUTAGE, "RUNNING", "FAILED"], ["RUNNING", "503", "FAILED"]),
        ([FORBIDDEN], ["not yours"]),  # the second one is the result
    ],
)
def test_the_log_tells_each_new_status_and_each_failed_poll_once(says, logged, caplog):
    caplog.set_level(logging.INFO, "history")
    History(*says).wait()

    assert [line.rpartition(" ")[2] for line in caplog.messages] == [
        word.rpartition(" ")[2] for word in logged
    ]
    assert all("bat-1" in line for line in caplog.messages)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in ("completed", "timed_out")])
def test_a_wait_that_ended_otherwise_is_concluded_without_a_request(reason):
    history = History("COMPLETED")
    result = PollResult(reason, "why")

    assert history.conclude(result) is result
    assert history.calls == []


def test_a_wait_that_timed_out_is_polled_once_more():
    late = History(("COMPLETED", DONE))
    assert isinstance(late.conclude(TIMED_OUT), Outcome)
    assert late.calls == [
        calls.get_batch("bat-1", **SCOPE),
        calls.get_batch("bat-1", expand_results=True, **SCOPE),
    ]

    failed = History("FAILED")
    assert failed.conclude(TIMED_OUT) == PollResult(Reason.FAILED)
    assert len(failed.calls) == 1

    running = History("RUNNING")
    assert running.conclude(TIMED_OUT) is TIMED_OUT
    assert len(running.calls) == 1


def test_the_results_are_collected_once_the_service_shows_them():
    history = History(OUTAGE, ("RUNNING", None), ("COMPLETED", None), OUTAGE, ("COMPLETED", DONE))
    outcome = history.conclude(COMPLETED)

    assert isinstance(outcome, Outcome)
    assert [entry["source_directory_file_id"] for entry in outcome.job_references] == ["dfl-1"]
    assert history.pauses == [0.75, 1.5, 3.0, 6.0]
    assert history.calls == [calls.get_batch("bat-1", expand_results=True, **SCOPE)] * 5
    assert history.poller.batch is not None
    assert history.poller.batch.results == DONE


def test_a_batch_without_files_has_empty_results():
    assert History(("COMPLETED", [])).conclude(COMPLETED) == Outcome([], [])


@pytest.mark.parametrize(
    ("says", "result"),
    [
        (["FAILED"], PollResult(Reason.FAILED)),
        ([FORBIDDEN], PollResult(Reason.NOT_PERMITTED, "not yours")),
        ([OUTAGE], PollResult(Reason.TIMED_OUT, "503")),
        (["RUNNING"], TIMED_OUT),
    ],
)
def test_what_ends_while_the_results_are_collected(says, result):
    assert History(*says, deadline=BEGAN + 40.0).conclude(COMPLETED) == result


@pytest.mark.parametrize("left", [-5.0, 1.0, 40.0])
def test_the_results_of_a_batch_that_completed_in_time_are_asked_for_ten_minutes_at_least(left):
    late = History(*[OUTAGE] * 12, ("COMPLETED", DONE), deadline=BEGAN + left)
    assert isinstance(late.conclude(COMPLETED), Outcome)

    never = History(OUTAGE, deadline=BEGAN + left)
    assert never.conclude(COMPLETED) == PollResult(Reason.TIMED_OUT, "503")
    assert 600.0 <= never.now - BEGAN <= 602.0


def test_results_that_stay_null_are_an_error_after_ten_minutes_even_past_the_deadline():
    history = History(("COMPLETED", None), deadline=BEGAN + 1.0)

    with pytest.raises(ResultsStayedNullError, match=r"bat-1 .* stayed null for 6\d\d s.*BatchSensor"):
        history.conclude(COMPLETED)
    assert 600.0 <= history.now - BEGAN <= 650.0


def test_an_entry_with_neither_a_job_nor_an_error_is_asked_for_again_for_a_minute():
    told_later = History(*[("COMPLETED", [*DONE, UNTOLD])] * 4, ("COMPLETED", DONE))
    assert told_later.conclude(COMPLETED) == outcome_of(DONE)
    assert len(told_later.calls) == 5

    never_told = History(("COMPLETED", [*DONE, UNTOLD]), deadline=BEGAN + 1.0)
    assert never_told.conclude(COMPLETED) == outcome_of([*DONE, UNTOLD])
    assert 60.0 <= never_told.now - BEGAN <= 120.0


def test_an_outage_before_the_results_does_not_count_as_null_results():
    history = History(*[OUTAGE] * 20, ("COMPLETED", None), ("COMPLETED", DONE))

    assert isinstance(history.conclude(COMPLETED), Outcome)
    assert history.now - BEGAN > 600.0


@pytest.mark.parametrize(("later", "is_over"), [(599.0, False), (600.0, True)])
def test_ten_minutes_of_null_results_count_from_the_first_poll_that_found_them(later, is_over):
    history = History("COMPLETED")
    null = Batch(id="bat-1", status="COMPLETED", results=None)
    flow = history.poller.conclude(COMPLETED)
    next(flow)
    assert isinstance(flow.send(null), Sleep)
    history.now = BEGAN + later
    assert isinstance(flow.send(None), Send)

    if is_over:
        with pytest.raises(ResultsStayedNullError, match="600 s"):
            flow.send(null)
    else:
        assert isinstance(flow.send(null), Sleep)


@pytest.mark.parametrize(("left", "is_cut"), [(0.5, True), (0.0, False), (-0.5, False)])
def test_a_pause_before_results_is_cut_by_the_deadline_but_not_to_nothing_where_it_is_over(
    left: float, is_cut: bool
):
    says: list[Any] = [*[OUTAGE] * 20, "COMPLETED", ("COMPLETED", DONE)]
    at_ease = History(*says, deadline=BEGAN + 10_000.0)
    assert isinstance(at_ease.conclude(COMPLETED), Outcome)
    pause = at_ease.pauses[-1]
    saw_none_at = at_ease.now - pause - 1.0  # a poll takes a second

    history = History(*says, deadline=saw_none_at + left)
    assert isinstance(history.conclude(COMPLETED), Outcome)
    assert history.pauses == pytest.approx([*at_ease.pauses[:-1], left if is_cut else pause], abs=0.01)


def test_a_batch_whose_results_cannot_be_read_by_the_deadline_is_known_to_have_completed():
    history = History("RUNNING", OUTAGE)
    history.poll()

    assert history.conclude(COMPLETED) != COMPLETED
    assert history.poller.state.status == "COMPLETED"


@pytest.mark.parametrize(("results", "jobs"), [(DONE, 1), ([], 0), (None, None)])
def test_what_the_files_of_a_cancelled_batch_came_to_is_read_once(results, jobs):
    history = History(("CANCELLED", results))

    outcome = drive(history.poller.finished(), history.perform)

    assert history.calls == [calls.get_batch("bat-1", expand_results=True, **SCOPE)]
    assert (None if outcome is None else len(outcome.job_references)) == jobs


def test_what_is_not_told_of_a_cancelled_batch_is_only_said(caplog):
    history = History(OUTAGE)

    assert drive(history.poller.finished(), history.perform) is None
    assert caplog.messages == ["Could not read which files of batch bat-1 have jobs: 503"]
