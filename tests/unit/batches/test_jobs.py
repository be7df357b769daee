from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llamabatch.batches.jobs import (
    GONE,
    NOT_ASKED_FOR,
    NOT_TOLD,
    Jobs,
    is_untold,
    problem_with,
)
from airflow_provider_llamabatch.llamacloud.models import JobStatusRow


def reference(number: int, job_type: str = "parse_v2", **more: Any) -> dict[str, Any]:
    job = {"id": f"job-{number}", "type": job_type}
    return {"source_directory_file_id": f"dfl-{number}", "job_reference": job, "error_message": None, **more}


def row(number: int, status: str, error: str | None = None) -> JobStatusRow:
    return JobStatusRow(id=f"job-{number}", status=status, error_message=error)


def test_a_thousand_jobs_take_ten_requests_and_fewer_as_they_end():
    jobs = Jobs([reference(number) for number in range(1000)])
    assert [len(ids) for _, ids in jobs.requests()] == [100] * 10
    jobs.saw([row(number, "COMPLETED") for number in range(950)])
    assert [len(ids) for _, ids in jobs.requests()] == [50]
    assert not jobs.have_ended
    jobs.saw([row(number, "FAILED") for number in range(950, 1000)])
    assert jobs.have_ended
    assert jobs.line() == "1,000 of 1,000 jobs done, 50 failed"


def test_parse_and_extract_jobs_are_asked_for_apart():
    jobs = Jobs([reference(1), reference(2, "extract_v2"), reference(3)])
    assert list(jobs.requests()) == [("parse_v2", ["job-1", "job-3"]), ("extract_v2", ["job-2"])]


def test_jobs_that_are_known_to_have_ended_are_not_asked_for():
    jobs = Jobs([reference(1, status="FAILED", error_message="broken"), reference(2, status="RUNNING")])
    assert jobs.pending() == {"parse_v2": ["job-2"]}
    assert jobs.outcomes()[0]["error_message"] == "broken"
    assert jobs.line() == "1 of 2 jobs done, 1 failed"


def test_an_unknown_status_word_is_still_running():
    jobs = Jobs([reference(1)])
    jobs.saw([row(1, "SOMETHING_NEW")])
    assert not jobs.have_ended


def test_outcomes_are_the_references_with_what_became_of_the_jobs():
    jobs = Jobs([reference(1), reference(2, credits=1.5), reference(3)])
    assert jobs.saw([row(1, "COMPLETED"), row(2, "FAILED", "PDF_IS_BROKEN")])
    assert not jobs.saw([row(1, "COMPLETED")])
    outcomes = jobs.outcomes(late="did not end within 60 s")
    assert [(one["status"], one["error_message"]) for one in outcomes] == [
        ("COMPLETED", None),
        ("FAILED", "PDF_IS_BROKEN"),
        ("UNKNOWN", "did not end within 60 s"),
    ]
    assert [one["credits"] for one in outcomes] == [None, 1.5, None]
    assert outcomes[0]["job_reference"] == {"id": "job-1", "type": "parse_v2"}
    assert jobs.summary() == {"COMPLETED": 1, "FAILED": 1, "UNKNOWN": 1}
    assert problem_with(outcomes, fail_on_partial_error=False) is None
    assert problem_with(outcomes, fail_on_partial_error=True) == (
        "2 of 3 jobs did not complete: dfl-2: FAILED PDF_IS_BROKEN; dfl-3: UNKNOWN did not end within 60 s"
    )
    assert problem_with([], fail_on_partial_error=True) is None


@pytest.mark.parametrize(("bad", "more"), [(20, ""), (21, "; and 1 more"), (25, "; and 5 more")])
def test_twenty_jobs_that_did_not_complete_are_named_and_the_others_counted(bad, more):
    jobs = Jobs([reference(number) for number in range(30)])
    jobs.saw([row(number, "CANCELLED" if number < bad else "COMPLETED") for number in range(30)])

    named = "; ".join(f"dfl-{number}: CANCELLED" for number in range(20))
    problem = problem_with(jobs.outcomes(), fail_on_partial_error=True)
    assert problem == f"{bad} of 30 jobs did not complete: {named}{more}"


def test_jobs_that_do_not_exist_are_not_waited_for_and_are_called_so():
    jobs = Jobs([reference(1), reference(2), reference(3)])
    jobs.lost(["job-2"])
    jobs.lost(["job-3"])
    assert jobs.pending() == {"parse_v2": ["job-1"]}
    assert [(one["status"], one["error_message"]) for one in jobs.outcomes(late="late")] == [
        ("UNKNOWN", "late"),
        ("UNKNOWN", GONE),
        ("UNKNOWN", GONE),
    ]


@pytest.mark.parametrize(
    ("job_id", "job_type"), [("job-1", "classify_v2"), ("job 1", "parse_v2"), ("bat-1", "parse_v2")]
)
def test_a_reference_to_what_cannot_be_asked_for_is_not_waited_for_and_says_so(job_id, job_type):
    jobs = Jobs([{**reference(1), "job_reference": {"id": job_id, "type": job_type}}])
    assert jobs.have_ended
    [outcome] = jobs.outcomes(late="late")
    assert (outcome["status"], outcome["error_message"]) == ("UNKNOWN", NOT_ASKED_FOR)


def test_jobs_that_could_not_be_read_say_why_and_may_have_ended_well():
    jobs = Jobs([reference(1), reference(2), reference(3, status="COMPLETED")])
    assert jobs.are_unread is False
    jobs.unread({"job-1": "503"})
    assert jobs.are_unread is True

    one, two, three = jobs.outcomes(late="too late")
    assert [one["error_message"], two["error_message"]] == [f"{NOT_TOLD}503", "too late"]
    assert [is_untold(outcome) for outcome in (one, two, three)] == [True, False, False]
    assert jobs.outcomes()[0]["error_message"] is None

    jobs.unread({})
    assert jobs.are_unread is False
    assert jobs.outcomes(late="too late")[0]["error_message"] == "too late"
