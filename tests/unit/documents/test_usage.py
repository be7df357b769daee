from __future__ import annotations

from airflow_provider_llamabatch.documents import usage
from airflow_provider_llamabatch.documents.manifest import Row


def test_a_wait_counts_jobs_that_did_not_complete_and_files_without_a_job():
    outcomes: list[dict[str, str | None]] = [
        {"status": "COMPLETED", "error_message": None},
        {"status": "FAILED", "error_message": "PDF_IS_BROKEN: page 3 of x.pdf"},
        {"status": "FAILED", "error_message": "PDF_IS_BROKEN: page 4 of y.pdf"},
        {"status": "CANCELLED", "error_message": None},
    ]
    counted = usage.of_outcomes(outcomes, [{"error_message": None}, {"error_message": "too large"}])
    assert (counted["source"], counted["files"], counted["failed"], counted["credits"]) == (
        "jobs",
        6,
        5,
        None,
    )
    assert counted["reasons"] == {"PDF_IS_BROKEN": 2, "CANCELLED": 1, "no job was made": 1, "too large": 1}


def test_a_wait_that_learnt_credits_adds_them_up():
    outcomes = [{"status": "COMPLETED", "credits": credits} for credits in (1.5, None, 2.0)]
    assert usage.of_outcomes(outcomes, [])["credits"] == 3.5


def test_a_save_counts_what_is_new_and_divides_credits_by_directory():
    rows = [
        Row("a", "COMPLETED", credits=3.0, directory_id="dir-1", path="x"),
        Row("b", "COMPLETED", credits=4.0, directory_id="dir-2", path="x"),
        Row("c", "COMPLETED", credits=100.0, directory_id="dir-1", path="x", reused=True),
        Row("d", "FAILED", error="PDF_IS_PROTECTED", directory_id="dir-1"),
    ]
    counted = usage.of_rows(rows, [rows[3]])
    assert (counted["files"], counted["failed"], counted["credits"]) == (3, 1, 7.0)
    assert counted["credits_by_directory"] == {"dir-1": 3.0, "dir-2": 4.0}
    assert counted["reasons"] == {"PDF_IS_PROTECTED": 1}


def test_many_different_reasons_stay_few_and_short():
    reasons = usage.reasons_of(
        [chr(97 + n % 26) * 500 + chr(97 + n // 26) for n in range(600)] + ["", " \n x"]
    )
    assert len(reasons) <= usage.MAX_REASONS + 1
    assert max(map(len, reasons)) <= usage.MAX_REASON_CHARACTERS
    assert sum(reasons.values()) == 602


def test_numbers_do_not_make_reasons_different():
    assert usage.reasons_of(["page 3 is broken", "page 17 is broken"]) == {"page # is broken": 2}
