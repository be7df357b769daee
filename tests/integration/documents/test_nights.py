"""The whole task group night after night, as Airflow runs it: on every version it finds out what is new."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_llamabatch.task_groups import process_directory
from tests.integration.documents.conftest import TELLS_ERRORS, fill, rows_of

if TYPE_CHECKING:
    from pathlib import Path

# Airflow's own, when a task of a test's DAG is a function.
pytestmark = pytest.mark.filterwarnings("ignore:.*operator_helpers.determine_kwargs")


def night(number: int, source: Path, target: Path, **arguments: Any) -> Any:
    with DAG(f"night_{number}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        process_directory(
            source=str(source), target=str(target), configuration_id="cfg-PARSE_AGENTIC", **arguments
        )
    return dag


def test_a_night_without_a_new_document_succeeds_and_pays_for_nothing(
    llamacloud, run_dag, source: Path, target: Path
):
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta"})
    run_dag(night(1, source, target))
    ran = run_dag(night(2, source, target))

    assert (ran.state, ran.tasks["process_directory.create_batch"]) == ("success", "skipped")
    assert ran.xcom("process_directory.save_results")["reused"] == 2
    assert llamacloud.control.counters()["batches"] == 1


def test_a_night_whose_batch_fails_keeps_what_there_was_and_says_what_is_missing(
    llamacloud,
    run_dag,
    source: Path,
    target: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta"})
    run_dag(night(1, source, target))
    fill(source, {"c.txt": b"gamma"})
    llamacloud.control.change(final_status="FAILED")
    capfd.readouterr()
    caplog.clear()
    ran = run_dag(night(2, source, target, default_args={"retries": 0}))

    said = caplog.text + "".join(capfd.readouterr())  # the one on Airflow 2, the other on 3
    assert "Clear process_directory.create_batch[0] to process the others" in said or not TELLS_ERRORS
    assert (ran.state, ran.tasks["process_directory.save_results"]) == ("failed", "failed")
    assert {file: (row.status, row.reused) for file, row in rows_of(target).items()} == {
        "a.txt": ("COMPLETED", True),
        "b.txt": ("COMPLETED", True),
        "c.txt": ("NO_JOB", False),
    }


def test_a_document_that_failed_for_its_content_is_told_of_every_night_and_not_sent_again(
    llamacloud,
    run_dag,
    source: Path,
    target: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    fill(source, {"a.txt": b"alpha", "broken.pdf": b"no pdf"})
    first = run_dag(night(1, source, target)).xcom("process_directory.save_results")
    assert (first["saved"], first["failed"], first["failed_before"]) == (1, 1, 0)
    capfd.readouterr()
    caplog.clear()

    second = run_dag(night(2, source, target))
    summary = second.xcom("process_directory.save_results")
    uploaded = second.xcom("process_directory.upload", key="upload")

    assert (summary["reused"], summary["failed"], summary["failed_before"]) == (1, 0, 1)
    assert (uploaded["reused"], uploaded["failed_before"]) == (1, 1)
    said = caplog.text + "".join(capfd.readouterr())
    assert "1 of 2 files already have a result and are reused; 1 failed before" in said
    assert "not sent again unless the document or the configuration changes" in said
    assert llamacloud.control.counters()["batches"] == 1


def test_every_night_in_which_a_document_has_no_result_fails_where_that_is_asked_for(
    run_dag, source: Path, target: Path
):
    fill(source, {"a.txt": b"alpha", "broken.pdf": b"no pdf"})
    for number in (1, 2):
        ran = run_dag(night(number, source, target, fail_on_partial_error=True))
        assert ran.tasks["process_directory.save_results"] == "failed", f"night {number}"
