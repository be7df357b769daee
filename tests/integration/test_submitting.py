"""One batch per task instance, in every order in which things can break."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_llamabatch.batches import submission
from airflow_provider_llamabatch.batches.record import RECORD_KEY, read_record
from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.execution import submitting
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch, no_waiting):
    monkeypatch.setattr(submission, "ADOPTION_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(submitting, "sleep", lambda seconds: None)


@pytest.fixture
def submit(make_directory, context):
    """Return a function that runs the task once more, over one directory, and returns the batch's id."""
    directory_id = make_directory()

    def run(**arguments):
        operator = CreateBatchOperator(
            task_id="create",
            **{"source_directory_id": directory_id, "configuration_id": "cfg-PARSE_AGENTIC", **arguments},
        )
        return operator.execute(context)

    return run


@pytest.fixture
def made(emulator):
    return lambda: emulator.control.counters()["batches"]


def lose_answers(emulator, kind: str = "drop_after", **fault) -> None:
    emulator.control.add_fault(kind=kind, method="POST", path="/batches$", **fault)


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


def test_the_batch_is_recorded_before_it_is_published(submit, context):
    batch_id = submit()

    record = read_record(context["task_state_store"].get(RECORD_KEY), listed_seconds=0.0)
    assert record is not None
    assert (record.batch_id, record.seen) == (batch_id, ())
    pushed = context["ti"].xcoms
    assert (pushed["batch_id"], pushed["llamacloud_url"]) == (batch_id, "")
    [submitted] = pushed["submissions"]
    assert (submitted["batch_id"], submitted["action"]) == (batch_id, "submit")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after"},
        {"kind": "status", "status": 503, "committed": True},
        {"kind": "status", "status": 500, "committed": True, "detail": "Oops"},
        {"kind": "html", "committed": True},
        {"kind": "malformed"},
        {"kind": "missing_fields"},
    ],
    ids=lambda fault: f"{fault['kind']}{fault.get('status', '')}",
)
def test_a_lost_answer_leads_to_the_batch_it_was_about(submit, emulator, made, fault):
    lose_answers(emulator, **fault, times=1)

    batch_id = submit()

    assert made() == 1
    assert [batch["id"] for batch in emulator.control.state()["batches"]] == [batch_id]


def test_a_submission_that_left_no_trace_is_sent_again(submit, emulator, made):
    lose_answers(emulator, kind="drop_before", times=2)

    submit()

    assert made() == 1


def test_a_submission_that_keeps_leaving_no_trace_fails_and_is_found_by_the_next_try(
    submit, emulator, made, next_try, context
):
    lose_answers(emulator, kind="drop_before", times=3)
    with pytest.raises(e.NoResponseError):
        submit()
    assert made() == 0

    next_try(context)
    submit()
    assert made() == 1


def test_a_batch_that_the_list_shows_late_is_waited_for(submit, emulator, made, monkeypatch):
    emulator.control.change(list_hides_new_batches_seconds=5)
    monkeypatch.setattr(submission, "ADOPTION_PAUSES", (0.0, 1.0, 2.0, 4.0))
    monkeypatch.setattr(submitting, "sleep", emulator.control.advance)
    lose_answers(emulator, times=1)

    submit()

    assert made() == 1


def test_older_batches_of_the_same_directory_are_never_adopted(submit, emulator, made, hook, context):
    first = submit(fresh=True)
    lose_answers(emulator, times=1)

    second = submit(fresh=True)

    assert first != second
    assert made() == 2


@pytest.mark.parametrize("killed_at", ["before the POST", "after the POST", "before the id is recorded"])
def test_a_kill_at_any_step_costs_no_second_batch(
    submit, emulator, made, monkeypatch, context, next_try, killed_at
):
    with monkeypatch.context() as patch:
        real_send, store = LlamaBatchHook.send, context["task_state_store"]
        real_set = store.set

        def send(self, call, policy=None, *, within=None):
            posting = call.path.endswith("/batches") and call.method == "POST"
            if posting and killed_at == "before the POST":
                raise Killed
            value = real_send(self, call, policy, within=within)
            if posting and killed_at == "after the POST":
                raise Killed
            return value

        def set_value(key, value):
            if value["batch_id"] and killed_at == "before the id is recorded":
                raise Killed
            real_set(key, value)

        patch.setattr(LlamaBatchHook, "send", send)
        patch.setattr(store, "set", set_value)
        with pytest.raises(Killed):
            submit()

    next_try(context)
    batch_id = submit()

    assert made() == 1
    assert emulator.control.state()["batches"][0]["id"] == batch_id


def test_a_retry_rejoins_a_running_batch_and_returns_a_completed_one(
    submit, emulator, made, next_try, context
):
    first = submit()
    next_try(context)
    assert submit() == first
    emulator.control.advance(60)
    next_try(context)

    assert submit() == first
    assert made() == 1


def test_clearing_a_finished_task_gets_a_new_batch_and_a_running_one_is_rejoined(
    submit, emulator, made, next_try, context
):
    first = submit()
    next_try(context, cleared=True)
    assert submit() == first
    emulator.control.advance(60)
    next_try(context, cleared=True)

    second = submit()
    assert second != first
    emulator.control.advance(60)
    next_try(context)
    assert submit() == second
    assert made() == 2


def test_a_cleared_task_that_rejoined_its_batch_keeps_it_over_retries(
    submit, emulator, made, next_try, context
):
    first = submit()
    next_try(context, cleared=True)
    submit()
    emulator.control.advance(60)
    next_try(context)

    assert submit() == first
    assert made() == 1


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_batch_that_went_wrong_is_replaced(submit, emulator, made, next_try, context, status):
    emulator.control.change(final_status=status)
    first = submit()
    emulator.control.advance(60)
    next_try(context)

    assert submit() != first
    assert made() == 2


def test_other_arguments_and_fresh_get_a_batch_of_their_own(submit, made, next_try, context, make_directory):
    first = submit()
    next_try(context)
    second = submit(source_directory_id=make_directory())
    next_try(context)
    third = submit(fresh=True)

    assert len({first, second, third}) == 3
    assert made() == 3


def test_fresh_leaves_it_to_a_later_try_that_has_written_since_this_one_began(submit, made, context):
    submit()
    store = context["task_state_store"]
    store.set(RECORD_KEY, {**store.get(RECORD_KEY), "try_number": 2})
    context["ti"].start_date = datetime.now(UTC) - timedelta(minutes=1)
    with pytest.raises(submission.SubmissionUndecidedError):
        submit(fresh=True)
    context["ti"].start_date = datetime.now(UTC)
    submit(fresh=True)
    assert made() == 2


def test_a_record_that_cannot_be_read_stops_the_task_for_good(submit, made, context):
    context["task_state_store"].set(RECORD_KEY, {"version": 99})

    with pytest.raises(RequestRefusedError, match="fresh=True"):
        submit()
    assert made() == 0


def test_a_refusal_is_not_retried_and_leaves_nothing_to_list_for(submit, made, context):
    with pytest.raises(RequestRefusedError, match=r"POST /api/v2/batches was answered with 404"):
        submit(configuration_id="cfg-unknown")
    record = read_record(context["task_state_store"].get(RECORD_KEY), listed_seconds=0.0)
    assert record is not None
    assert (record.batch_id, record.unknown) == ("", 0)
    assert made() == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"source_directory_id": ""}, "source_directory_id"),
        ({"job_type": "split"}, "job_type"),
        ({"timeout": -1}, "timeout"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"poll_interval": "often"}, "poll_interval"),
        ({"llamabatch_conn_id": "nowhere"}, "llamabatch_conn_id"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_sent(submit, emulator, arguments, named):
    before = emulator.control.counters()["requests"]

    with pytest.raises((RequestRefusedError, InvalidInputError), match=rf"^{named}: "):
        submit(wait_for_completion=True, **arguments)
    assert emulator.control.counters()["requests"] == before


class TestBelowAirflow33:
    """Without a task state store."""

    @pytest.fixture(autouse=True)
    def older(self, context):
        del context["task_state_store"]
        context["dag_run"].start_date = datetime.now(UTC) - timedelta(minutes=5)

    def test_a_first_try_submits_even_beside_a_running_batch(self, submit, made, hook):
        assert submit() != submit()
        assert made() == 2

    def test_a_lost_answer_leads_to_the_batch_it_was_about(self, submit, emulator, made):
        lose_answers(emulator, times=1)

        submit()

        assert made() == 1

    def test_a_retry_rejoins_what_this_run_has_made(self, submit, emulator, made, next_try, context):
        first = submit()
        next_try(context)
        assert submit() == first
        emulator.control.advance(60)
        next_try(context)

        assert submit() == first
        assert made() == 1

    def test_a_cleared_task_gets_a_new_batch_once_the_old_one_has_completed(
        self, submit, emulator, made, next_try, context
    ):
        first = submit()
        emulator.control.advance(60)
        next_try(context, cleared=True)

        assert submit() != first
        assert made() == 2

    def test_fresh_never_rejoins(self, submit, made, next_try, context):
        submit()
        next_try(context)
        submit(fresh=True)

        assert made() == 2


class TestWhatIsNoVerdict:
    """A gateway does not know what became of a batch, and one response may be wrong."""

    def later(self, monkeypatch):
        monkeypatch.setattr("airflow_provider_llamabatch.defaults.MISSING_GRACE", 0.0)

    def test_a_gateways_404_is_no_reason_to_pay_again(
        self, submit, emulator, made, next_try, context, monkeypatch
    ):
        self.later(monkeypatch)
        submit()
        next_try(context)
        emulator.control.add_fault(kind="html", status=404, method="GET", path="/batches/", times=6)

        with pytest.raises(submission.SubmissionUndecidedError):
            submit()
        assert made() == 1

    def test_one_404_of_the_api_is_no_reason_to_pay_again(
        self, submit, emulator, made, next_try, context, monkeypatch
    ):
        self.later(monkeypatch)
        first = submit()
        next_try(context)
        emulator.control.add_fault(kind="status", status=404, method="GET", path="/batches/", times=1)

        assert submit() == first
        assert made() == 1

    def test_a_batch_that_the_list_shows_is_not_gone(
        self, submit, emulator, made, next_try, context, monkeypatch
    ):
        self.later(monkeypatch)
        first = submit()
        next_try(context)
        emulator.control.add_fault(kind="status", status=404, method="GET", path="/batches/", times=2)

        assert submit() == first
        assert made() == 1

    def test_a_refusal_after_a_lost_response_keeps_the_intent(
        self, submit, emulator, made, next_try, context
    ):
        emulator.control.change(list_hides_new_batches_seconds=20)
        lose_answers(emulator, times=1)
        lose_answers(emulator, kind="status", status=402, times=1)
        with pytest.raises(RequestRefusedError):
            submit()
        emulator.control.advance(60)
        next_try(context, cleared=True)

        submit()

        assert made() == 1

    def test_a_webhook_that_renders_differently_is_no_other_request(self, submit, made, next_try, context):
        first = submit(webhook_configurations=[{"webhook_url": "https://example.com/1"}])
        next_try(context)

        assert submit(webhook_configurations=[{"webhook_url": "https://example.com/2"}]) == first
        assert made() == 1


def test_the_record_never_expires(submit, context, monkeypatch):
    context_module = pytest.importorskip("airflow.sdk.execution_time.context")
    if not hasattr(context_module, "NEVER_EXPIRE"):
        pytest.skip("Airflow below 3.3 has no task state store")
    store, retentions = context["task_state_store"], []
    keep = store.set

    def keep_for(key, value, *, retention=None):
        retentions.append(retention)
        keep(key, value)

    monkeypatch.setattr(store, "set", keep_for)
    submit()

    assert set(retentions) == {context_module.NEVER_EXPIRE}
