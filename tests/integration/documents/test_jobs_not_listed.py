"""Waits for jobs that the lists do not show, that are gone, or that the service refuses for a moment."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import polling
from airflow_provider_llamabatch.llamacloud import calls
from tests.integration.documents.test_jobs_in_trouble import ALL_DONE, BUSY, JOBS, references, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

__all__ = ["references"]  # the fixture

GONE = "LlamaCloud has no such job"
REFUSALS = [{"status": 403, "detail": "not now"}, {"status": 401, "detail": "not yet"}]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "CONFIRM_AFTER", 0.2)
    monkeypatch.setattr(polling, "ROTATION_GRACE", 2.0)
    monkeypatch.setattr(defaults, "CONFIRM_SECONDS", 0.2)
    monkeypatch.setattr(defaults, "MISSING_GRACE", 0.5)
    monkeypatch.setattr(defaults, "UNREAD_GRACE", 0.5)


@pytest.mark.parametrize("resumed", [True, False])
def test_a_job_that_no_list_shows_is_asked_for_by_itself(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator, resumed: bool
):
    emulator.control.add_fault(kind="missing_fields", path=JOBS)
    sensor = wait_for(references, timeout=5)
    outcomes = sensor.execute_complete(context, ALL_DONE) if resumed else sensor.execute(context)
    assert [one["status"] for one in outcomes] == ["COMPLETED"] * 3


@pytest.mark.parametrize("resumed", [True, False])
def test_a_job_that_is_gone_is_told_so_and_holds_up_no_worker_until_the_deadline(
    references: list[Any], context: Any, hook: LlamaBatchHook, resumed: bool
):
    hook.send(calls.delete_parse_job(references[1]["job_reference"]["id"]))
    sensor, began = wait_for(references, timeout=30), time.monotonic()
    outcomes = sensor.execute_complete(context, ALL_DONE) if resumed else sensor.execute(context)
    assert time.monotonic() - began < 20
    assert [one["status"] for one in outcomes] == ["COMPLETED", "UNKNOWN", "COMPLETED"]
    assert GONE in outcomes[1]["error_message"]


def test_a_job_that_is_gone_hides_not_what_the_others_cost(
    references: list[Any], context: Any, hook: LlamaBatchHook
):
    hook.send(calls.delete_parse_job(references[1]["job_reference"]["id"]))
    outcomes = wait_for(references, with_credits=True).execute_complete(context, ALL_DONE)
    assert [one["credits"] for one in outcomes] == [10.0, None, 10.0]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("resumed", [True, False])
def test_a_refusal_that_is_not_repeated_ends_no_wait(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator, refusal: dict[str, Any], resumed: bool
):
    sensor = wait_for(references)
    emulator.control.add_fault(
        kind="status", path=JOBS, times=3 if refusal["status"] == 401 else 1, **refusal
    )
    outcomes = sensor.execute_complete(context, ALL_DONE) if resumed else sensor.execute(context)
    assert [one["status"] for one in outcomes] == ["COMPLETED"] * 3


def test_trouble_after_the_wait_is_waited_out_until_its_deadline(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(defaults, "RESULTS_GRACE", 0.1)
    emulator.control.add_fault(**BUSY, times=3)
    event = {**ALL_DONE, "deadline": time.time() + 60}
    outcomes = wait_for(references).execute_complete(context, event)
    assert [one["status"] for one in outcomes] == ["COMPLETED"] * 3


@pytest.mark.parametrize("deferrable", [True, False])
def test_soft_fail_skips_however_soon_the_jobs_have_failed(
    references: list[Any], context: Any, deferrable: bool
):
    failed = [{**one, "status": "FAILED"} for one in references]
    sensor = wait_for(failed, deferrable=deferrable, soft_fail=True, fail_on_partial_error=True)
    with pytest.raises(AirflowSkipException):
        sensor.execute(context)


@pytest.mark.parametrize("deferrable", [True, False])
def test_soft_fail_skips_where_the_service_refuses_to_tell(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator, deferrable: bool
):
    emulator.control.add_fault(kind="status", status=403, detail="not yours", path=JOBS)
    with pytest.raises(AirflowSkipException):
        wait_for(references, deferrable=deferrable, soft_fail=True).execute(context)


def test_execution_timeout_counts_as_a_deadline_on_a_worker_too(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator
):
    emulator.control.add_fault(kind="missing_fields", path=JOBS)
    emulator.control.add_fault(kind="status", status=500, path="/api/v2/parse/")
    began = time.monotonic()
    limit = timedelta(seconds=4)
    sensor = wait_for(references, timeout=40, poll_interval=20, execution_timeout=limit)
    outcomes = sensor.execute(context)
    assert time.monotonic() - began < 4
    assert all("did not say how it ended" in one["error_message"] for one in outcomes)


@pytest.mark.parametrize(("bad", "statuses"), [(1, {"COMPLETED", "UNKNOWN"}), (99, {"COMPLETED"})])
def test_one_job_that_is_never_answered_for_holds_up_no_other_and_an_outage_is_waited_out(
    references: list[Any],
    context: Any,
    emulator: LlamaCloudEmulator,
    monkeypatch: pytest.MonkeyPatch,
    bad: int,
    statuses: set[str],
):
    monkeypatch.setattr(defaults, "MAX_CONCURRENCY", 1)
    emulator.control.add_fault(kind="missing_fields", path=JOBS)
    job_id = references[0]["job_reference"]["id"] if bad == 1 else ""
    times = {} if bad == 1 else {"times": 3}
    emulator.control.add_fault(kind="status", status=503, path=f"/api/v2/parse/{job_id}", **times)
    outcomes = wait_for(references).execute_complete(context, {**ALL_DONE, "deadline": time.time() + 30})
    assert {one["status"] for one in outcomes} == statuses


def test_a_job_that_cannot_be_read_once_is_asked_for_again_after_a_deferral(
    references: list[Any], context: Any, emulator: LlamaCloudEmulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(defaults, "UNREAD_GRACE", 20.0)
    emulator.control.add_fault(kind="missing_fields", path=JOBS)
    job_id = references[0]["job_reference"]["id"]
    emulator.control.add_fault(kind="status", status=503, path=f"/api/v2/parse/{job_id}", times=1)
    outcomes = wait_for(references).execute_complete(context, ALL_DONE)
    assert {one["status"] for one in outcomes} == {"COMPLETED"}


def test_a_key_that_is_refused_while_jobs_are_asked_for_one_by_one_is_read_again(
    references: list[Any],
    context: Any,
    emulator: LlamaCloudEmulator,
    connect: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
):
    emulator.control.add_fault(kind="missing_fields", path=JOBS)
    sensor = wait_for(references)
    listed = sensor._listed

    def rotated(*arguments: Any) -> Any:
        found = listed(*arguments)
        emulator.control.set_api_key("llx-second")
        connect(password="llx-second", host=emulator.url)
        return found

    monkeypatch.setattr(sensor, "_listed", rotated)
    outcomes = sensor.execute_complete(context, ALL_DONE)
    assert {one["status"] for one in outcomes} == {"COMPLETED"}


def test_jobs_whose_results_make_a_list_too_long_are_asked_for_by_themselves(
    references: list[Any], context: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_provider_llamabatch.llamacloud.calls.jobs.MAX_STATUS_PAGE_BYTES", 100)
    outcomes = wait_for(references).execute(context)
    assert [one["status"] for one in outcomes] == ["COMPLETED"] * 3
