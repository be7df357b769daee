"""A directory that others keep filling, night after night: every file is paid for once."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_llamabatch.assets import directory_uri
from airflow_provider_llamabatch.documents.new_files import Processed
from airflow_provider_llamabatch.exceptions import BatchFailedError, RequestRefusedError
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from tests.integration.conftest import TaskStateStore
from tests.integration.documents.conftest import LATER, rows_of
from tests.integration.documents.nights import DiedError, Nights, die

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("connection")


def test_thirty_nights_with_one_that_failed_one_cleared_and_a_file_that_arrives_in_between(nights: Nights):
    given: Counter[str] = Counter()
    for number in range(30):
        nights.arrive(10)
        if number == 7:
            nights.emulator.control.change(final_status="FAILED")
            with pytest.raises(BatchFailedError):
                nights.night(number)
            nights.emulator.control.change(final_status="COMPLETED")
            continue
        late = (lambda: nights.arrive(1)) if number == 12 else (lambda: None)
        given.update(nights.night(number, between=late))
        if number == 20:
            before = len(list(nights.hook.list_batches()))
            nights.contexts[number]["ti"].xcoms.clear()
            again = nights.night(number)  # somebody clears it
            assert len(again) == 10
            assert len(list(nights.hook.list_batches())) == before
            [submitted] = nights.contexts[number]["ti"].xcoms["submissions"]
            assert submitted["action"] == "rejoin"
    assert nights.count == 301
    assert len(given) == 301
    assert set(given.values()) == {1}
    assert set(nights.paid().values()) == {1}
    assert len(nights.paid()) == 301


def test_a_night_without_anything_new_is_skipped(nights: Nights):
    nights.arrive(2)
    assert len(nights.night(1)) == 2
    with pytest.raises(AirflowSkipException, match="nothing new"):
        nights.night(2)
    assert len(list(nights.hook.list_batches())) == 1


def test_what_a_run_that_died_has_paid_for_is_not_paid_again(nights: Nights):
    nights.arrive(3)
    with pytest.raises(DiedError):
        nights.night(1, between=die)
    with pytest.raises(AirflowSkipException):
        nights.night(2)  # its batch is under way
    nights.emulator.control.advance(LATER)
    nights.arrive(1)
    assert len(nights.night(3)) == 1
    nights.contexts[1]["ti"].xcoms.clear()
    assert len(nights.night(1)) == 3  # somebody clears the run that died: its batch is still there
    assert set(nights.paid().values()) == {1}


@pytest.mark.parametrize("keeps_state", [True, False], ids=["Airflow 3.3", "below"])
def test_a_run_that_died_goes_on_with_its_batch_though_its_directory_is_not_listed_yet(
    nights: Nights, keeps_state: bool
):
    nights.arrive(3)
    context = nights.contexts[1] = nights._new_context("night-1", "create")
    if not keeps_state:
        del context["task_state_store"]
    with pytest.raises(DiedError):
        nights.night(1, between=die)
    unlisted = {"kind": "missing_fields", "method": "GET", "path": "/directories$", "fields": ("name",)}
    nights.emulator.control.add_fault(**unlisted)
    context["ti"].xcoms.clear()
    context["ti"].try_number = 2
    assert len(nights.night(1)) == 3
    assert len(list(nights.hook.list_batches())) == 1


@pytest.mark.parametrize("hidden", ["/directories$", "/batches$"])
def test_a_run_that_died_when_its_batch_had_just_ended_finds_it_once_it_is_listed(
    nights: Nights, hidden: str
):
    nights.arrive(3)
    context = nights.contexts[1] = nights._new_context("night-1", "create")
    del context["task_state_store"]
    assert len(nights.night(1)) == 3
    empty = {"kind": "html", "status": 200, "body": '{"items": []}', "method": "GET"}
    nights.emulator.control.add_fault(**empty, path=hidden, times=1)
    context["ti"].xcoms.clear()
    context["ti"].try_number = 2
    assert len(nights.night(1)) == 3
    assert len(list(nights.hook.list_batches())) == 1


def test_a_backfill_takes_what_is_new_when_it_runs_and_leaves_nothing_to_the_night_it_overtakes(
    nights: Nights,
):
    nights.arrive(3)
    assert len(nights.night(5)) == 3
    nights.arrive(2)
    assert len(nights.night(1)) == 2  # made up for after the fifth
    assert len(list(nights.hook.list_batches())) == 2
    with pytest.raises(AirflowSkipException):
        nights.night(6)
    nights.contexts[5]["ti"].xcoms.clear()
    assert len(nights.night(5)) == 3  # cleared: its own batch, not what came later
    assert set(nights.paid().values()) == {1}


def test_what_was_processed_is_kept_in_the_asset_where_the_task_has_it_and_found_without_it_later(
    nights: Nights, variables: dict[str, str]
):
    nights.arrive(2)
    nights.night(1)
    [name] = variables
    asset, store = SimpleNamespace(uri=directory_uri(nights.directory_id)), TaskStateStore()
    for number in (2, 3):
        context = nights.contexts.setdefault(number, nights._new_context(f"night-{number}", "create"))
        context["ti"].task.inlets = [asset]
        context["asset_state_store"] = FakeStores(asset, store)
    nights.arrive(1)
    assert len(nights.night(2)) == 1
    with pytest.raises(AirflowSkipException):
        nights.night(3)
    assert len(Processed.from_json(store.get(name)).done) == 3
    assert (list(variables), variables[name]) == ([name], store.get(name))

    nights.arrive(1)  # the DAG does not declare the asset any more
    assert len(nights.night(4)) == 1
    assert set(nights.paid().values()) == {1}


class FakeStores:
    """The state of a task's assets, by asset."""

    def __init__(self, asset: Any, store: TaskStateStore) -> None:
        self._asset, self._store = asset, store

    def __getitem__(self, asset: Any) -> TaskStateStore:
        assert asset is self._asset
        return self._store


def test_a_changed_file_is_processed_again(nights: Nights):
    nights.arrive(2)
    nights.night(1)
    [file, _] = nights.hook.iterate(calls.list_directory_files(nights.directory_id))
    nights.hook.send(calls.update_directory_file(nights.directory_id, file.id, metadata={"version": "2"}))
    assert nights.night(2) == [file.id]


def test_a_document_that_is_deleted_after_its_batch_keeps_its_name(
    nights: Nights, new_context: Callable[[str, str], Any], target: Path
):
    nights.arrive(2)
    [gone, _] = nights.night(1)
    nights.hook.send(calls.delete_directory_file(nights.directory_id, gone))
    save = SaveBatchResultsOperator(
        task_id="save",
        job_references=nights.contexts[1]["ti"].xcoms["job_references"],
        source_directory_id=nights.directory_id,
        target=str(target),
        keep_earlier=True,
    )
    assert save.execute(new_context("night-1", "save"))["saved"] == 2
    assert rows_of(target).keys() == {"001.txt", "002.txt"}


def test_documents_of_one_name_do_not_overwrite_each_others_results(
    nights: Nights, new_context: Callable[[str, str], Any], target: Path
):
    for number, text in enumerate((b"first", b"second", b"third")):
        nights.hook.send(calls.upload_directory_file(nights.directory_id, text, display_name="report.txt"))
        nights.night(number)
        save = SaveBatchResultsOperator(
            task_id="save",
            job_references=nights.contexts[number]["ti"].xcoms["job_references"],
            source_directory_id=nights.directory_id,
            target=str(target),
            keep_earlier=True,
        )
        assert save.execute(new_context(f"night-{number}", "save"))["saved"] == 1

    assert sorted(path.read_text() for path in target.glob("*.md")) == ["first", "second", "third"]
    assert [row.reused for row in rows_of(target).values()].count(True) == 2


def test_a_variable_that_somebody_has_edited_is_named(nights: Nights, variables: dict[str, str]):
    nights.arrive(1)
    nights.night(1)
    [name] = variables
    variables[name] = variables[name].removesuffix("}")

    with pytest.raises(
        RequestRefusedError, match=f"^the Airflow Variable {name}: holds '.*; put back what it held"
    ):
        nights.night(2)


def test_a_file_that_gets_its_job_in_a_second_attempt_is_not_taken_again(nights: Nights):
    nights.arrive(2)
    nights.emulator.control.change(mapping_error_files=("002.txt",))

    def mapped_from_now_on() -> None:
        nights.emulator.control.change(mapping_error_files=())

    assert len(nights.night(1, between=mapped_from_now_on, max_file_attempts=2)) == 2
    with pytest.raises(AirflowSkipException):
        nights.night(2)
    assert set(nights.paid().values()) == {1}


def test_a_night_that_failed_and_is_cleared_later_takes_only_what_no_other_night_has(nights: Nights):
    nights.arrive(2)
    nights.emulator.control.change(final_status="FAILED")
    with pytest.raises(BatchFailedError):
        nights.night(1)
    nights.emulator.control.change(final_status="COMPLETED")
    assert len(nights.night(2)) == 2
    nights.arrive(1)
    nights.contexts[1]["ti"].xcoms.clear()
    assert len(nights.night(1)) == 1  # somebody clears it, once the next night has made up for it
    assert set(nights.paid().values()) == {1}
    assert len(nights.paid()) == 3
