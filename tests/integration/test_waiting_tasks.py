"""Operator and sensor wait: deferred, on the worker, or by poking, with the same results and the same errors."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_llamabatch import defaults, exceptions
from airflow_provider_llamabatch.batches import poller, polling
from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.polling.backoff import Backoff
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor

PARSE = "cfg-PARSE_AGENTIC"
NO_JOBS = {"mapping_error_files": ["1.txt"], "unresolved_files": ["2.txt"]}
MODES: dict[str, dict[str, Any]] = {
    "deferred": {"deferrable": True},
    "poke": {"deferrable": False, "mode": "poke"},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
}


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch, no_waiting):
    for module in (poller, polling):
        monkeypatch.setattr(module, "BACKOFF", Backoff(0.001, 0.001))
    monkeypatch.setattr(polling, "CONFIRM_AFTER", 0.01)
    monkeypatch.setattr(polling, "ROTATION_GRACE", 0.02)


@pytest.fixture
def batch(hook, make_directory):
    return hook.create_batch(source_directory_id=make_directory(4), configuration_id=PARSE)


@pytest.fixture(params=MODES)
def wait(request, batch, emulator, context):
    """
    Return a function that waits for the batch with a sensor, in each mode, and moves the clock to its end.

    Deferred, it runs the trigger's part by handing the sensor the event that the trigger would send.
    """

    def run(reason: Reason = Reason.COMPLETED, **arguments):
        sensor = BatchSensor(task_id="wait", batch_id=batch.id, **MODES[request.param], **arguments)
        emulator.control.advance(0 if request.param == "deferred" else 60)
        try:
            return sensor.execute(context)
        except TaskDeferred as deferred:
            emulator.control.advance(60)
            event = {"batch_id": batch.id, "reason": reason.value, "message": ""}
            return sensor.resume_execution(deferred.method_name, {"event": event}, context)

    return run


def test_the_references_are_returned_and_the_rest_is_pushed(wait, batch, context):
    references = wait()

    assert [set(entry) for entry in references] == [
        {"source_directory_file_id", "job_reference", "error_message"}
    ] * 4
    assert references == sorted(references, key=lambda entry: entry["source_directory_file_id"])
    assert context["ti"].xcoms["file_errors"] == []
    assert context["ti"].xcoms["batch"]["id"] == batch.id
    assert "results" not in context["ti"].xcoms["batch"]


class TestWhatGoesWrong:
    """The same exception for the same reason, whichever way the task waits."""

    @pytest.fixture
    def batch(self, emulator, hook, make_directory, request):
        emulator.control.change(**getattr(request, "param", {}))
        return hook.create_batch(source_directory_id=make_directory(4), configuration_id=PARSE)

    @pytest.mark.parametrize("batch", [{"final_status": "FAILED"}], indirect=True)
    def test_failed_says_that_the_orchestration_failed(self, wait):
        with pytest.raises(exceptions.BatchFailedError, match="orchestration failed"):
            wait(Reason.FAILED)

    @pytest.mark.parametrize("batch", [{"final_status": "CANCELLED"}], indirect=True)
    def test_cancelled_fails(self, wait):
        with pytest.raises(exceptions.BatchCancelledError, match="ended as CANCELLED"):
            wait(Reason.CANCELLED)

    @pytest.mark.parametrize("batch", [{"final_status": "FAILED"}], indirect=True)
    def test_soft_fail_skips(self, wait):
        with pytest.raises(AirflowSkipException):
            wait(Reason.FAILED, soft_fail=True)

    @pytest.mark.parametrize("batch", [NO_JOBS], indirect=True)
    def test_files_without_a_job_are_reported_and_fail_only_on_request(self, wait, context, monkeypatch):
        monkeypatch.setattr(defaults, "UNREAD_GRACE", 0.05)
        references = wait()

        assert len(references) == 2
        errors = context["ti"].xcoms["file_errors"]
        assert sorted(entry["error_message"] is None for entry in errors) == [False, True]
        with pytest.raises(exceptions.FilesWithoutJobError, match="2 of 4 files got no job"):
            wait(fail_on_partial_error=True)
        assert context["ti"].xcoms["file_errors"] == errors

    @pytest.mark.parametrize("batch", [{"mapping_error_files": ["*"]}], indirect=True)
    def test_all_files_without_a_job_always_fail(self, wait):
        with pytest.raises(exceptions.FilesWithoutJobError, match="4 of 4 files got no job"):
            wait()

    @pytest.mark.parametrize("batch", [{"results_null_when_completed_looks": 2}], indirect=True)
    def test_results_that_come_late_are_looked_at_again(self, wait):
        assert len(wait()) == 4

    @pytest.mark.parametrize("batch", [{"results_null_when_completed_looks": 9999}], indirect=True)
    def test_results_that_stay_null_are_an_error(self, wait, monkeypatch):
        monkeypatch.setattr(defaults, "RESULTS_GRACE", 0.05)
        with pytest.raises(exceptions.ResultsMissingError, match="stayed null"):
            wait()

    @pytest.mark.parametrize("mode", ["deferred", "poke"])
    def test_a_key_that_is_no_longer_good_fails_for_good(self, batch, emulator, context, mode):
        sensor = BatchSensor(task_id="wait", batch_id=batch.id, poll_interval=0.01, **MODES[mode])
        emulator.control.set_api_key("llx-other")
        event = {"batch_id": batch.id, "reason": "not_authenticated", "message": "401: check the password"}

        with pytest.raises(AirflowFailException, match="password"):
            sensor.execute_complete(context, event) if mode == "deferred" else sensor.execute(context)


def test_an_empty_batch_completes_with_an_empty_list(hook, emulator, make_directory, context):
    emulator.control.change(empty_directory_code=None)
    made = hook.create_batch(source_directory_id=make_directory(0), configuration_id=PARSE)
    emulator.control.advance(60)

    assert BatchSensor(task_id="wait", batch_id=made.id).execute(context) == []


def test_a_thousand_files_come_through(hook, emulator, make_directory, context):
    directory_id = make_directory(1000)
    made = hook.create_batch(source_directory_id=directory_id, configuration_id=PARSE)
    emulator.control.advance(600)

    references = BatchSensor(task_id="wait", batch_id=made.id).execute(context)

    assert len({entry["job_reference"]["id"] for entry in references}) == 1000


@pytest.mark.parametrize("changed", [{"extra_fields": True}, {"status_words": {"RUNNING": "DREAMING"}}])
def test_a_newer_service_changes_nothing(hook, emulator, make_directory, context, changed):
    emulator.control.change(**changed)
    made = hook.create_batch(source_directory_id=make_directory(2), configuration_id=PARSE)
    sensor = BatchSensor(task_id="wait", batch_id=made.id)
    emulator.control.advance(2)
    with pytest.raises(TaskDeferred):
        sensor.execute(context)
    emulator.control.advance(60)

    assert len(sensor.execute(context)) == 2


class TestDeferring:
    def deferral(self, batch, context, **arguments) -> TaskDeferred:
        sensor = BatchSensor(task_id="wait", batch_id=batch.id, **arguments)
        with pytest.raises(TaskDeferred) as raised:
            sensor.execute(context)
        return raised.value

    def test_a_finished_batch_never_defers(self, batch, emulator, context):
        emulator.control.advance(60)

        assert len(BatchSensor(task_id="wait", batch_id=batch.id).execute(context)) == 4

    def test_everything_the_wait_needs_is_fixed_before(self, batch, emulator, context):
        before = time.time()
        deferred = self.deferral(batch, context, timeout=600, poll_interval=20)
        path, arguments = deferred.trigger.serialize()

        assert path == "airflow_provider_llamabatch.triggers.batch.BatchTrigger"
        assert before + 600 <= arguments["deadline"] <= time.time() + 600
        assert arguments["first_look_at"] >= before + defaults.FIRST_POLL_AFTER
        assert arguments["poll_interval"] == 20
        assert arguments["created_at"] == batch.created_at.timestamp()
        assert emulator.api_key not in repr(arguments) + repr(deferred.trigger)

    def test_airflows_own_timeout_lies_behind_the_deadline(self, batch, context):
        deferred = self.deferral(batch, context, timeout=600)

        assert timedelta(seconds=600) < deferred.timeout < timedelta(seconds=900)

    def test_execution_timeout_counts_as_a_deadline(self, batch, context):
        deferred = self.deferral(batch, context, timeout=600, execution_timeout=timedelta(seconds=60))

        assert deferred.trigger.deadline <= time.time() + 60

    def test_what_a_submission_took_counts_as_well(self, emulator, batch, context):
        source, limit = batch.source_directory_id, timedelta(seconds=60)
        emulator.control.add_fault(kind="delay", method="POST", seconds=2)
        create = partial(CreateBatchOperator, task_id="create", source_directory_id=source, fresh=True)
        began = time.time()
        with pytest.raises(TaskDeferred) as deferred:
            create(configuration_id=PARSE, wait_for_jobs=True, execution_timeout=limit).execute(context)
        assert deferred.value.trigger.deadline <= began + 55

    def test_batches_made_together_are_not_looked_at_together(
        self, hook, make_directory, context, monkeypatch
    ):
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now)  # what differs is the spread, not the time of the test
        source = make_directory(1)
        made = [hook.create_batch(source_directory_id=source, configuration_id=PARSE) for _ in range(5)]
        polls = [self.deferral(batch, context).trigger.first_look_at - now for batch in made]

        assert len(set(polls)) == 5
        assert polls == [self.deferral(batch, context).trigger.first_look_at - now for batch in made]

    @pytest.mark.parametrize(
        "event", [None, "success", {}, {"status": "success"}, {"batch_id": "b", "reason": "ok"}]
    )
    def test_a_strange_event_is_a_failure_that_skips_nothing(self, batch, context, event):
        sensor = BatchSensor(task_id="wait", batch_id=batch.id)

        with pytest.raises(exceptions.WaitFailedError, match="the trigger sent"):
            sensor.execute_complete(context, event)


class TestTimeouts:
    @pytest.mark.parametrize("mode", MODES)
    def test_a_timeout_says_what_became_of_the_batch(self, batch, emulator, context, mode):
        sensor = BatchSensor(task_id="wait", batch_id=batch.id, timeout=0.001, **MODES[mode])

        with pytest.raises(AirflowSensorTimeout, match="left running") as raised:
            sensor.execute(context)
        assert isinstance(raised.value, exceptions.BatchSensorTimeout)
        assert emulator.control.counters()["cancels"] == 0

    @pytest.mark.parametrize("mode", MODES)
    def test_a_timeout_cancels_once_when_it_should(self, batch, emulator, context, mode):
        sensor = BatchSensor(
            task_id="w", batch_id=batch.id, timeout=0.001, cancel_on_timeout=True, **MODES[mode]
        )

        with pytest.raises(AirflowSensorTimeout, match="asked to cancel"):
            sensor.execute(context)
        assert emulator.control.counters()["cancels_by_batch"] == {batch.id: 1}

    def test_soft_fail_skips_at_a_timeout(self, batch, context):
        with pytest.raises(AirflowSkipException):
            BatchSensor(task_id="wait", batch_id=batch.id, timeout=0.001, soft_fail=True).execute(context)

    def test_a_batch_that_ended_since_the_last_look_is_no_timeout(self, batch, emulator, context):
        sensor = BatchSensor(task_id="wait", batch_id=batch.id)
        emulator.control.advance(60)

        event = {"batch_id": batch.id, "reason": Reason.TIMED_OUT.value}
        assert len(sensor.execute_complete(context, event)) == 4

    @pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
    def test_airflows_backstop_ends_the_same_way(self, batch, emulator, context, error):
        sensor = BatchSensor(task_id="wait", batch_id=batch.id, cancel_on_timeout=True)

        with pytest.raises(exceptions.BatchSensorTimeout, match="asked to cancel"):
            sensor.resume_execution("__fail__", {"error": error}, context)
        assert emulator.control.counters()["cancels"] == 1


class TestOperatorThatWaits:
    @pytest.fixture
    def operator(self, make_directory):
        directory_id = make_directory(3)
        return lambda **arguments: CreateBatchOperator(
            task_id="create",
            source_directory_id=directory_id,
            configuration_id=PARSE,
            wait_for_completion=True,
            **arguments,
        )

    def test_it_defers_once_and_pushes_everything(self, operator, emulator, context):
        with pytest.raises(TaskDeferred) as raised:
            operator().execute(context)
        emulator.control.advance(60)
        batch_id = raised.value.trigger.batch_id
        returned = operator().execute_complete(context, {"batch_id": batch_id, "reason": "completed"})

        assert returned == batch_id
        assert len(context["ti"].xcoms["job_references"]) == 3
        assert set(context["ti"].xcoms) - {"llamabatch_page"} == {  # that one where Airflow shows the page
            "batch_id",
            "llamacloud_url",
            "submissions",
            "job_references",
            "file_errors",
            "batch",
        }

    def test_it_waits_on_the_worker_with_the_same_result(self, operator, emulator, context, monkeypatch):
        monkeypatch.setattr(time, "sleep", emulator.control.advance)

        operator(deferrable=False).execute(context)

        assert len(context["ti"].xcoms["job_references"]) == 3

    def test_a_timeout_is_its_own_error(self, operator, context):
        with pytest.raises(exceptions.BatchTimeoutError, match="left running"):
            operator(timeout=0.001, deferrable=False).execute(context)

    def test_airflows_backstop_finds_the_batch_again(self, operator, emulator, context):
        with pytest.raises(TaskDeferred):
            operator().execute(context)
        with pytest.raises(exceptions.BatchTimeoutError, match="asked to cancel"):
            operator(cancel_on_timeout=True).resume_execution(
                "__fail__", {"error": "Trigger timeout"}, context
            )
        assert emulator.control.counters()["cancels"] == 1

    @pytest.mark.parametrize(("cancel_on_kill", "cancels"), [(True, 1), (False, 0)])
    def test_killing_the_waiting_worker_cancels_if_it_should(
        self, operator, emulator, context, monkeypatch, cancel_on_kill, cancels
    ):
        task = operator(deferrable=False, cancel_on_kill=cancel_on_kill)

        def killed(_seconds):
            task.on_kill()
            raise SystemExit

        monkeypatch.setattr(time, "sleep", killed)
        with pytest.raises(SystemExit):
            task.execute(context)
        assert emulator.control.counters()["cancels"] == cancels

    def test_a_kill_before_the_wait_cancels_nothing(self, operator, emulator):
        operator().on_kill()

        assert emulator.control.counters()["cancels"] == 0


def test_cancelling_returns_the_id_and_pushes_the_batch(batch, emulator, context):
    operator = CancelBatchOperator(task_id="cancel", batch_id=batch.id)

    assert operator.execute(context) == batch.id
    emulator.control.advance(60)
    operator.execute(context)
    assert context["ti"].xcoms["batch"]["status"] == "CANCELLED"


def test_cancelling_what_does_not_exist_fails_for_good(connection, context):
    with pytest.raises(exceptions.RequestRefusedError, match="404"):
        CancelBatchOperator(task_id="cancel", batch_id="bat-nowhere").execute(context)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch_id", ["", "a/b", "../x", None])
def test_a_bad_batch_id_is_named_before_anything_is_sent(emulator, connection, context, mode, batch_id):
    sensor = BatchSensor(task_id="wait", batch_id=batch_id, **MODES[mode])

    with pytest.raises(exceptions.RequestRefusedError, match=r"^batch_id: "):
        sensor.execute(context)
    assert emulator.control.counters()["requests"] == 0


def test_poke_interval_and_poll_interval_are_one_thing():
    assert BatchSensor(task_id="a", batch_id="b", poll_interval=7).poke_interval == 7
    assert BatchSensor(task_id="a", batch_id="b", poke_interval=9).poke_interval == 9
    assert BatchSensor(task_id="a", batch_id="b").poke_interval == 30
    assert BatchJobsSensor(task_id="a", job_references=[], poll_interval=7).poke_interval == 7
    assert BatchJobsSensor(task_id="a", job_references=[], poke_interval=9).poll_interval == 9


@pytest.mark.parametrize(
    "sensor", [partial(BatchSensor, batch_id="b"), partial(BatchJobsSensor, job_references=[])]
)
def test_the_poke_interval_that_a_dag_gives_all_its_sensors_counts(sensor):
    for given in (300, timedelta(minutes=5)):
        with DAG("d", schedule=None, default_args={"poke_interval": given}):
            assert (sensor(task_id="a").poke_interval, sensor(task_id="b").poll_interval) == (300, 300)
            assert sensor(task_id="c", poll_interval=7).poke_interval == 7
            assert sensor(task_id="d", poke_interval=9).poll_interval == 9
    with DAG("d", schedule=None, default_args={"poll_interval": 60}):
        assert sensor(task_id="a").poke_interval == 60


def test_constructors_only_assign():
    """Nothing is looked at before templates are rendered."""
    values: list[Any] = ["{{ params.x }}", "", None, 7]
    for value in values:
        BatchSensor(task_id="a", batch_id=value)
        CreateBatchOperator(task_id="a", source_directory_id=value, configuration_id=value, job_type="")
        CancelBatchOperator(task_id="a", batch_id=value)
