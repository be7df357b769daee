from __future__ import annotations

import pytest

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
    assert counted == {
        "source": "jobs",
        "files": 6,
        "failed": 5,
        "reasons": {"PDF_IS_BROKEN": 2, "CANCELLED": 1, "no job was made": 1, "too large": 1},
        "credits": None,
        "credits_by_directory": {},
    }


def test_a_wait_that_learnt_credits_adds_them_up():
    outcomes = [{"status": "COMPLETED", "credits": credits} for credits in (1.5, None, 2.0)]
    assert usage.of_outcomes(outcomes, [])["credits"] == 3.5


def test_a_save_counts_what_is_new_and_divides_credits_by_directory():
    rows = [
        Row("a", "COMPLETED", credits=3.0, directory_id="dir-1", path="x"),
        Row("b", "COMPLETED", credits=4.0, directory_id="dir-2", path="x"),
        Row("c", "COMPLETED", credits=100.0, directory_id="dir-1", path="x", reused=True),
        Row("d", "FAILED", error="PDF_IS_PROTECTED", directory_id="dir-1"),
        Row("e", "COMPLETED", credits=0.5, directory_id="dir-1", path="x"),
        Row("f", "COMPLETED", credits=10.0, path="x"),
    ]
    assert usage.of_rows(rows, [rows[3]]) == {
        "source": "results",
        "files": 5,
        "failed": 1,
        "reasons": {"PDF_IS_PROTECTED": 1},
        "credits": 17.5,
        "credits_by_directory": {"dir-1": 3.5, "dir-2": 4.0},
    }


def test_a_save_whose_credits_nobody_knows_yet_does_not_say_that_it_cost_nothing():
    assert usage.of_rows([Row("a", "COMPLETED", directory_id="dir-1")], [])["credits"] is None


def test_many_different_reasons_stay_few_and_short():
    reasons = usage.reasons_of(
        [chr(97 + n % 26) * 500 + chr(97 + n // 26) for n in range(600)] + ["", " \n x"]
    )
    assert len(reasons) <= usage.MAX_REASONS + 1
    assert max(map(len, reasons)) <= usage.MAX_REASON_CHARACTERS
    assert sum(reasons.values()) == 602


def test_numbers_do_not_make_reasons_different():
    assert usage.reasons_of(["page 3 is broken", "page 17 is broken"]) == {"page # is broken": 2}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("TIMEOUT: page x: too slow", "TIMEOUT"),
        ("the worker died\nTraceback\nValueError", "the worker died"),
        ("  no room left\n", "no room left"),
        ("17", "#"),
        ("", "other"),
    ],
)
def test_a_reason_is_what_stands_before_the_details(error, reason):
    assert usage.reasons_of([error]) == {reason: 1}


def test_what_is_too_rare_to_be_named_is_counted_with_what_has_no_reason():
    rare = [f"fault {chr(97 + number)}" for number in range(usage.MAX_REASONS + 4)]
    reasons = usage.reasons_of(["", "", *rare])
    assert len(reasons) == usage.MAX_REASONS
    assert reasons["other"] == 2 + 5
