from __future__ import annotations

import json

import pytest

from airflow_provider_llamabatch.batches.outcome import outcome_of, problem_with
from airflow_provider_llamabatch.llamacloud.models import BatchResult, JobReference


def job(file_id: str, error: str | None = None) -> BatchResult:
    reference = JobReference(id=f"pjb-{file_id}", type="parse_v2")
    return BatchResult(source_directory_file_id=file_id, job_reference=reference, error_message=error)


def failed(file_id: str, error: str | None = "cannot map") -> BatchResult:
    return BatchResult(source_directory_file_id=file_id, error_message=error)


def test_references_have_the_apis_shape_and_are_sorted_by_file():
    outcome = outcome_of([job("c"), job("a"), failed("b")])

    assert outcome.job_references == [
        {
            "source_directory_file_id": name,
            "job_reference": {"id": f"pjb-{name}", "type": "parse_v2"},
            "error_message": None,
        }
        for name in ("a", "c")
    ]
    assert outcome.file_errors == [
        {"source_directory_file_id": "b", "job_reference": None, "error_message": "cannot map"}
    ]


def test_an_entry_with_neither_job_nor_error_counts_as_a_file_without_a_job():
    assert outcome_of([failed("a", None)]).file_errors[0]["error_message"] is None


@pytest.mark.parametrize(
    ("results", "strict", "fails"),
    [
        ([], False, False),
        ([], True, False),
        ([job("a")], True, False),
        ([job("a"), failed("b")], False, False),
        ([job("a"), failed("b")], True, True),
        ([failed("a"), failed("b", None)], False, True),
        ([job("a", "a warning")], True, False),
    ],
)
def test_which_outcomes_fail_the_task(results, strict, fails):
    assert (problem_with(outcome_of(results), fail_on_partial_error=strict) is not None) is fails


@pytest.mark.parametrize(
    ("results", "text"),
    [
        ([job("a"), failed("b"), job("c")], "1 of 3 files got no job: b: cannot map"),
        (
            [failed("a", None), failed("b")],
            "2 of 2 files got no job: a: neither a job nor an error; b: cannot map",
        ),
    ],
)
def test_the_problem_counts_all_files_and_says_what_is_known_of_each(results, text):
    assert problem_with(outcome_of(results), fail_on_partial_error=True) == text


@pytest.mark.parametrize(("count", "more"), [(9, ""), (10, ""), (11, "; and 1 more"), (25, "; and 15 more")])
def test_the_problem_names_the_first_ten_files(count, more):
    text = problem_with(outcome_of([failed(f"{n:03}") for n in range(count)]), fail_on_partial_error=False)

    named = "; ".join(f"{n:03}: cannot map" for n in range(min(count, 10)))
    assert text == f"{count} of {count} files got no job: {named}{more}"


def test_a_thousand_files_fit_into_an_xcom():
    outcome = outcome_of([job(f"dfl-{n:036}") for n in range(1000)])

    assert len(outcome.job_references) == 1000
    assert len(json.dumps(outcome.job_references)) < 250_000
