"""What the page in Airflow's UI reads of a batch and its jobs, against the emulator."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import NotFoundError
from airflow_provider_llamabatch.ui.reading import Detail, Reader


@pytest.fixture
def reader(connection):
    return Reader("llamabatch_default")


@pytest.fixture
def batch(emulator, hook, make_directory):
    """A batch whose jobs run on after it."""
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=1000)
    return hook.create_batch(source_directory_id=make_directory(2), configuration_id="cfg-PARSE_AGENTIC")


def read(reader: Reader, batch_id: str, last: Detail | None = None) -> Detail:
    return reader._read_detail(batch_id, last)


@pytest.mark.parametrize(
    ("changes", "seconds", "status"),
    [
        ({"unfinished_results_code": 404}, 60, "RUNNING"),
        ({"results_expire_seconds": 10}, 5000, "COMPLETED"),
    ],
)
def test_a_job_without_results_yet_or_any_more_is_not_taken_for_a_deleted_one(
    emulator, reader, batch, changes, seconds, status
):
    emulator.control.change(**changes)
    emulator.control.advance(seconds)
    files = read(reader, batch.id).files
    assert files is not None
    job = files[0].job_reference
    assert job is not None

    reading = reader.results[f"{job.type}/{job.id}"].get()

    assert reading.problem is None
    assert reading.value is not None
    assert (reading.value.status, reading.value.lines) == (status, "")


def test_files_that_were_known_stay_where_the_service_shows_none_and_are_read_again_soon(
    emulator, reader, batch
):
    emulator.control.change(partial_results_while_running=True, results_null_when_completed_looks=1)
    emulator.control.advance(4.9)
    running = read(reader, batch.id)
    assert len(running.jobs) == 2
    emulator.control.advance(5000)

    unshown = read(reader, batch.id, running)
    shown = read(reader, batch.id, unshown)

    assert (unshown.files, unshown.jobs, unshown.has_ended) == (running.files, running.jobs, False)
    assert {job.status for job in shown.jobs.values()} == {"COMPLETED"}
    assert shown.has_ended


def test_files_that_are_not_shown_any_more_are_not_the_last_word_though_their_jobs_have_ended(
    emulator, hook, reader, make_directory
):
    emulator.control.change(partial_results_while_running=True, results_null_when_completed_looks=1)
    batch = hook.create_batch(source_directory_id=make_directory(2), configuration_id="cfg-PARSE_AGENTIC")
    emulator.control.advance(4.99)
    running = read(reader, batch.id)
    emulator.control.advance(5000)

    assert not read(reader, batch.id, running).has_ended


def test_a_directory_is_shown_as_deleted_only_by_the_apis_own_word(emulator, hook, reader, batch):
    page = emulator.control.add_fault(kind="html", status=404, path="/files$")
    with pytest.raises(NotFoundError):
        read(reader, batch.id)
    emulator.control.remove_fault(page)
    assert not read(reader, batch.id).directory_is_gone

    hook.send(calls.delete_directory(batch.source_directory_id))
    assert read(reader, batch.id).directory_is_gone
