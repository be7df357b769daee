"""What a night makes of a list that lags, cannot be read, or shows more than it was asked for."""

from __future__ import annotations

import logging
from time import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_llamabatch.batches.submission import ADOPTION_PAUSES
from airflow_provider_llamabatch.documents.new_files import Processed
from airflow_provider_llamabatch.exceptions import BatchFailedError, RequestRefusedError
from airflow_provider_llamabatch.execution.following import follow_up_directory
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import NotFoundError, UnavailableError
from tests.integration.documents.conftest import LATER
from tests.integration.documents.nights import DiedError, Nights, die

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.usefixtures("connection")


@pytest.mark.parametrize("looks_without_it", [1, 6])
def test_what_a_run_that_died_has_paid_for_is_not_paid_again_though_its_batch_is_listed_late(
    nights: Nights, paused: list[float], looks_without_it: int
):
    nights.arrive(3)
    with pytest.raises(DiedError):
        nights.night(1, between=die)
    paused.clear()
    late = {"kind": "html", "status": 200, "body": '{"items": []}', "method": "GET", "path": "/batches$"}
    nights.emulator.control.add_fault(**late, times=looks_without_it)
    with pytest.raises(AirflowSkipException):
        nights.night(2)
    assert len(list(nights.hook.list_batches())) == 1
    assert paused == [0.0, *ADOPTION_PAUSES[: looks_without_it + 1]]


def test_nothing_that_may_have_been_paid_for_is_let_go_while_the_list_cannot_be_read(
    nights: Nights, variables: dict[str, str], no_waiting: None
):
    nights.arrive(3)
    with pytest.raises(DiedError):
        nights.night(1, between=die)
    kept = dict(variables)
    late = {"kind": "html", "status": 200, "body": '{"items": []}', "method": "GET", "path": "/batches$"}
    nights.emulator.control.add_fault(**late, times=2)
    nights.emulator.control.add_fault(kind="status", status=500, method="GET", path="/batches$", times=6)
    with pytest.raises(UnavailableError):
        nights.night(2)
    assert variables == kept
    with pytest.raises(AirflowSkipException):
        nights.night(2)
    assert len(list(nights.hook.list_batches())) == 1


def test_nothing_is_let_go_while_the_batch_of_a_run_that_died_does_not_tell_its_results(nights: Nights):
    nights.arrive(3)
    with pytest.raises(DiedError):
        nights.night(1, between=die)
    nights.emulator.control.change(results_null_when_completed_looks=1)
    nights.emulator.control.advance(LATER)
    for _ in range(2):
        with pytest.raises(AirflowSkipException):
            nights.night(2)
    assert len(list(nights.hook.list_batches())) == 1


def test_a_night_looks_once_for_the_batch_of_a_run_that_failed_long_before_it_and_else_for_none(
    nights: Nights, paused: list[float], monkeypatch: pytest.MonkeyPatch
):
    def looks() -> int:
        seen = [request.path for request in nights.emulator.control.requests() if request.method == "GET"]
        return sum(path.endswith("/batches") for path in seen)

    nights.arrive(1)
    nights.night(1)
    ordinary = looks()
    nights.emulator.control.change(final_status="FAILED")
    nights.arrive(1)
    with pytest.raises(BatchFailedError):
        nights.night(2)
    nights.emulator.control.change(final_status="COMPLETED")
    paused.clear()
    before = looks()
    monkeypatch.setattr("airflow_provider_llamabatch.execution.recurring.time", lambda: time() + LATER)
    assert len(nights.night(3)) == 1
    assert looks() - before == ordinary + 1
    assert paused == [0.0, 0.0]


def test_a_batch_of_another_directory_is_not_taken_for_that_of_a_run_where_the_list_shows_all(
    nights: Nights, make_directory: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    nights.hook.create_batch(source_directory_id=make_directory(), configuration_id="cfg-PARSE_AGENTIC")
    asked = LlamaBatchHook.list_batches

    def unfiltered(hook: LlamaBatchHook, *, source_directory_id: Any = None, **scope: Any) -> Any:
        return asked(hook, **scope)

    monkeypatch.setattr(LlamaBatchHook, "list_batches", unfiltered)
    nights.arrive(2)
    refused = {"kind": "status", "status": 402, "detail": "no credits", "method": "POST"}
    nights.emulator.control.add_fault(**refused, path="/batches$", times=1)
    with pytest.raises(RequestRefusedError, match="no credits"):
        nights.night(1)
    nights.contexts[1]["ti"].xcoms.clear()
    assert len(nights.night(1)) == 2  # somebody clears it
    assert len(list(nights.hook.list_batches())) == 2


def test_a_gateways_page_does_not_make_files_done_that_got_no_job(nights: Nights, no_waiting: None):
    nights.arrive(2)
    nights.emulator.control.change(mapping_error_files=("002.txt",))
    with pytest.raises(DiedError):
        nights.night(1, between=die)
    nights.emulator.control.advance(LATER)
    nights.emulator.control.change(mapping_error_files=())
    inbox = nights.directory_id
    page = nights.emulator.control.add_fault(
        kind="html", status=404, path=f"/directories/(?!{inbox})[^/]+/files$"
    )
    with pytest.raises(NotFoundError):
        nights.night(2)
    nights.emulator.control.remove_fault(page)
    assert len(nights.night(2)) == 1


@pytest.mark.parametrize("has_batch", [True, False])
def test_only_a_batch_of_its_own_keeps_a_surplus_file_in_a_follow_up_directory_where_the_list_shows_all(
    hook: LlamaBatchHook,
    make_directory: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    has_batch: bool,
):
    directory_id = make_directory(2)
    ids = [file.id for file in hook.iterate(calls.list_directory_files(directory_id))]

    def follow_up(file_ids: list[str]) -> tuple[str, list[str]]:
        log: Any = logging.getLogger()
        followed = follow_up_directory(hook, directory_id, file_ids, "again", log, None, None)
        assert followed is not None
        return followed[0], sorted(followed[1].values())

    again, _ = follow_up(ids)
    over = again if has_batch else directory_id
    hook.create_batch(source_directory_id=over, configuration_id="cfg-PARSE_AGENTIC")
    asked = calls.list_batches
    unfiltered = lambda source_directory_id, **values: asked(**values)  # noqa: E731
    monkeypatch.setattr("airflow_provider_llamabatch.llamacloud.calls.list_batches", unfiltered)

    assert follow_up(ids[:1]) == (again, sorted(ids) if has_batch else ids[:1])


@pytest.mark.parametrize("whose", ["the directory", "a follow-up directory"])
def test_a_list_of_files_that_is_short_once_has_nothing_paid_for_again(nights: Nights, whose: str):
    nights.arrive(3)
    if whose == "the directory":
        assert len(nights.night(1)) == 3
        path = f"/directories/{nights.directory_id}/files$"
    else:
        with pytest.raises(DiedError):
            nights.night(1, between=die)
        path = f"/directories/(?!{nights.directory_id})[^/]+/files$"
    nights.emulator.control.advance(LATER)
    short = {"kind": "html", "status": 200, "body": '{"items": []}', "method": "GET", "path": path}
    nights.emulator.control.add_fault(**short, times=1)
    for number in (2, 3):
        with pytest.raises(AirflowSkipException):
            nights.night(number)
    assert set(nights.paid().values()) == {1}


def test_a_file_that_is_deleted_is_forgotten(nights: Nights, variables: dict[str, str]):
    nights.arrive(2)
    [gone, stays] = sorted(nights.night(1))
    nights.hook.send(calls.delete_directory_file(nights.directory_id, gone))
    with pytest.raises(AirflowSkipException):
        nights.night(2)
    [kept] = variables.values()
    assert set(Processed.from_json(kept).done) == {stays}


def test_a_night_that_ends_after_a_later_one_took_a_newer_version_says_nothing_of_that(nights: Nights):
    nights.arrive(1)
    nights.emulator.control.change(batch_running_seconds=10 * LATER)
    with pytest.raises(DiedError):
        nights.night(1, between=die)
    nights.emulator.control.change(batch_running_seconds=4)
    [file] = nights.hook.iterate(calls.list_directory_files(nights.directory_id))
    nights.hook.send(calls.update_directory_file(nights.directory_id, file.id, metadata={"version": "2"}))
    assert nights.night(2) == [file.id]
    nights.emulator.control.advance(20 * LATER)
    with pytest.raises(AirflowSkipException):
        nights.night(3)
    assert sum(nights.paid().values()) == 2
