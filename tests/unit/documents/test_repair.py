from __future__ import annotations

from typing import Any

from airflow_provider_llamabatch.documents.repair import merged, to_repeat, without_job


def entry(file: str, job: str | None = None, **more: Any) -> dict[str, Any]:
    reference = {"id": job, "type": "parse_v2"} if job else None
    return {"source_directory_file_id": file, "job_reference": reference, "error_message": None, **more}


def test_failed_stuck_and_job_less_files_get_another_attempt():
    outcomes = [
        entry("dfl-1", "j1", status="COMPLETED"),
        entry("dfl-2", "j2", status="FAILED"),
        entry("dfl-3", "j3", status="RUNNING"),
        entry("dfl-4", "j4", status="CANCELLED"),
    ]
    assert to_repeat(outcomes, [entry("dfl-5")], alike=True) == ["dfl-2", "dfl-3", "dfl-4", "dfl-5"]


def test_a_fault_of_the_content_gets_another_attempt_only_where_something_else_is_tried():
    outcomes = [
        entry("dfl-1", "j1", status="FAILED", error_message="PDF_IS_BROKEN: no trailer"),
        entry("dfl-2", "j2", status="FAILED", error_message="INTERNAL: PDF_IS_BROKEN"),
        entry("dfl-3", "j3", status="RUNNING", error_message="PDF_IS_BROKEN"),
    ]
    assert to_repeat(outcomes, [], alike=True) == ["dfl-2", "dfl-3"]
    assert to_repeat(outcomes, [], alike=False) == ["dfl-1", "dfl-2", "dfl-3"]


def test_a_new_attempt_stands_in_the_place_of_the_one_it_repeats():
    first = [entry("dfl-1", "j1", status="COMPLETED"), entry("dfl-2", "j2", status="FAILED")]
    both = merged(
        first,
        [entry("dfl-2b", "j9"), entry("dfl-3", "j8")],
        attempt=2,
        configuration="cfg-2",
        origin={"dfl-2b": "dfl-2"},
    )
    assert [
        (one["source_directory_file_id"], one["job_reference"]["id"], one.get("attempt")) for one in both
    ] == [
        ("dfl-1", "j1", None),
        ("dfl-2", "j9", 2),
        ("dfl-3", "j8", 2),
    ]
    assert [one.get("configuration") for one in both] == [None, "cfg-2", "cfg-2"]
    assert "status" not in both[1]


def test_a_job_that_completes_while_its_file_is_tried_again_is_the_files_outcome():
    first = [entry("dfl-1", "j1", status="COMPLETED"), entry("dfl-2", "j2", status="RUNNING")]
    again = [entry("dfl-1b", "j8"), entry("dfl-2b", "j9")]
    both = merged(
        first, again, attempt=2, configuration="cfg-2", origin={"dfl-1b": "dfl-1", "dfl-2b": "dfl-2"}
    )
    assert [one["job_reference"]["id"] for one in both] == ["j1", "j9"]


def test_a_file_that_gets_a_job_in_a_later_attempt_is_no_longer_without_one():
    left = without_job(
        [entry("dfl-1"), entry("dfl-2"), entry("dfl-3"), entry("dfl-4")],
        [entry("dfl-2b", error_message="again"), entry("dfl-5", error_message="new")],
        [entry("dfl-1b", "j1"), entry("dfl-4", "j4")],
        origin={"dfl-1b": "dfl-1", "dfl-2b": "dfl-2"},
    )
    assert [(one["source_directory_file_id"], one["error_message"]) for one in left] == [
        ("dfl-2", "again"),
        ("dfl-3", None),
        ("dfl-5", "new"),
    ]
