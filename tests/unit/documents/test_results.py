"""What a finished job gives."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_llamabatch.documents import results
from airflow_provider_llamabatch.documents.results import JobResult
from airflow_provider_llamabatch.llamacloud.models import ExtractJob, ParseResult


def page(number: int, **content: Any) -> dict[str, Any]:
    return {"page_number": number, "success": True, **content}


def bad_page(number: int, error: str = "unreadable") -> dict[str, Any]:
    return {"page_number": number, "success": False, "error": error}


def parsed(outputs: tuple[str, ...], job: dict[str, Any] | None = None, **parts: Any) -> JobResult:
    whole = {"job": {"id": "pjb-1", "status": "COMPLETED", **(job or {})}, **parts}
    return results.of_parse_job(ParseResult.model_validate(whole), outputs)


def extracted(**values: Any) -> JobResult:
    return results.of_extract_job(ExtractJob.model_validate({"id": "exj-1", "status": "COMPLETED", **values}))


@pytest.mark.parametrize(
    ("job_type", "asked", "given"),
    [
        ("parse_v2", ("text", "markdown"), ("text", "markdown")),
        ("parse_v2", ("markdown", "records", "items"), ("markdown", "items")),
        ("extract_v2", ("markdown",), ("records",)),
    ],
)
def test_a_job_gives_the_outputs_of_its_type(job_type, asked, given):
    assert results.outputs_for(job_type, asked) == given


def test_the_pages_of_a_parse_job_become_one_text_per_output():
    found = parsed(
        ("markdown", "text"),
        {"usage": {"credits": 3}},
        markdown={"pages": [page(1, markdown="# ü"), page(2, markdown="b")]},
        text={"pages": [page(1, text="one"), page(2)]},
    )

    assert found == JobResult(
        "COMPLETED",
        None,
        pages=2,
        pages_failed=0,
        credits=3.0,
        contents={"markdown": "# ü\n\nb".encode(), "text": b"one\n\n"},
    )


def test_items_are_compact_json_as_they_came():
    found = parsed(("items",), items={"pages": [{"page_number": 1, "success": True, "items": ["ü"]}, {}]})

    assert found.contents == {
        "items": '{"pages":[{"page_number":1,"success":true,"items":["ü"]},{}]}'.encode()
    }
    assert (found.pages, found.pages_failed, found.error) == (2, 0, None)


def test_items_without_pages_are_a_result_of_none():
    found = parsed(("items",), items={"metadata": 1})

    assert (found.contents, found.pages, found.pages_failed) == ({"items": b'{"metadata":1}'}, 0, 0)


def test_an_output_that_the_job_does_not_have_is_left_out_and_the_others_are_not():
    found = parsed(("markdown", "items", "text"), text={"pages": [page(1, text="one")]})

    assert (found.contents, found.pages) == ({"text": b"one"}, 1)


@pytest.mark.parametrize("output", ["markdown", "text"])
def test_pages_that_could_not_be_read_are_left_out_counted_and_named(output):
    pages = [page(1, **{output: "a"}), bad_page(2, "no text layer"), page(3, **{output: "c"}), bad_page(4)]
    found = parsed((output,), **{output: {"pages": pages}})

    assert found.contents == {output: b"a\n\nc"}
    assert (found.pages, found.pages_failed) == (4, 2)
    assert found.error == "page 2: no text layer; page 4: unreadable"


def test_items_of_pages_that_could_not_be_read_are_counted_and_named():
    found = parsed(("items",), items={"pages": [page(1), bad_page(2)]})

    assert (found.pages, found.pages_failed, found.error) == (2, 1, "page 2: unreadable")


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (5, "; ".join(f"page {number}: unreadable" for number in range(1, 6))),
        (7, "; ".join(f"page {number}: unreadable" for number in range(1, 6)) + "; and 2 more"),
    ],
)
def test_five_bad_pages_are_named_and_the_others_counted(bad, error):
    found = parsed(("text",), text={"pages": [bad_page(number) for number in range(1, bad + 1)]})

    assert (found.pages_failed, found.error) == (bad, error)


def test_the_output_with_the_most_bad_pages_speaks_for_the_document():
    few, many = {"pages": [page(1, text="a"), bad_page(2)]}, {"pages": [bad_page(1, "x"), bad_page(2, "y")]}
    three = {"pages": [page(1, markdown="a"), page(2, markdown="b"), page(3, markdown="c")]}

    assert parsed(("markdown", "text"), markdown=three, text=few).pages == 3
    assert parsed(("text", "markdown"), markdown=three, text=few).error == "page 2: unreadable"
    assert parsed(("text", "items"), text=few, items=many).error == "page 1: x; page 2: y"
    other = {"pages": [page(1), bad_page(2, "later")]}
    assert parsed(("text", "items"), text=few, items=other).error == "page 2: unreadable"


def test_a_job_keeps_its_own_error_where_no_page_is_bad():
    found = parsed(("text",), {"status": "FAILED", "error_message": "why"}, text={"pages": [page(1)]})

    assert (found.status, found.error, found.pages_failed) == ("FAILED", "why", 0)


def test_an_extract_job_gives_its_records_as_compact_json():
    metadata = {"usage": {"num_pages_extracted": 4}}
    found = extracted(extract_result=[{"a": "ü"}, {"a": 1}], metadata=metadata, usage={"credits": 2.5})

    assert found == JobResult(
        "COMPLETED", None, pages=4, credits=2.5, contents={"records": '[{"a":"ü"},{"a":1}]'.encode()}
    )


@pytest.mark.parametrize("metadata", [None, {}, {"usage": None}, {"usage": "much"}, {"usage": {"other": 1}}])
def test_an_extract_job_may_say_nothing_of_its_pages_or_results(metadata):
    found = extracted(status="FAILED", error_message="why", metadata=metadata)

    assert found == JobResult("FAILED", "why")


@pytest.mark.parametrize(
    ("usage", "credited"),
    [
        (None, None),
        ({}, None),
        ({"credits": 0}, 0.0),
        ({"credits": 1.5}, 1.5),
        ({"credits": True}, None),
        ({"credits": "3"}, None),
    ],
)
def test_credits_are_a_number_or_not_known_yet(usage, credited):
    found = results.credits_in(usage)

    assert found == credited
    assert found is None or isinstance(found, float)


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b'{"a": 1}', [{"file": "x.pdf", "a": 1}]),
        (b'{"a": 1, "file": "told"}', [{"file": "x.pdf", "a": 1, "record_file": "told"}]),
        (
            b'{"file": "told", "record_file": "taken"}',
            [{"file": "x.pdf", "record_file_": "told", "record_file": "taken"}],
        ),
        (b'[{"a": 1}, {"a": 2}]', [{"file": "x.pdf", "a": 1}, {"file": "x.pdf", "a": 2}]),
        (b"[]", []),
    ],
)
def test_each_record_says_which_file_it_is_from(content, records):
    assert results.records_in(content, "x.pdf") == records


@pytest.mark.parametrize(
    ("fields", "lowest"),
    [
        (None, None),
        ({"total": {"confidence": 0.9}}, 0.9),
        ({"total": {"confidence": 1}, "date": {"confidence": 0}}, 0.0),
        ({"total": {"confidence": 0.9, "parts": {"net": {"confidence": 0.3}}}}, 0.3),
        ({"lines": [{"price": {"confidence": 0.8}}, {"price": {"confidence": 0.2}}]}, 0.2),
        ([{"total": {"confidence": 0.7}}, {"total": {"confidence": 0.6}}], 0.6),
        ({"total": {"confidence": None}, "date": {"confidence": "low"}, "paid": {"confidence": False}}, None),
        ({"confidence": {"confidence": 0.5}, "total": {"confidence": True}}, 0.5),
        ({"total": {"citation": ["0.1"], "page": 3}}, None),
    ],
)
def test_a_document_is_as_sure_as_the_field_that_is_least_sure_however_deep_it_lies(fields, lowest):
    assert extracted(extract_metadata={"field_metadata": fields, "confidence": 0.01}).confidence == lowest
