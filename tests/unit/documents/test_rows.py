from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch.documents import rows
from airflow_provider_llamabatch.documents.manifest import Row
from airflow_provider_llamabatch.documents.upload_plan import Refused
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.models import DirectoryFile


def known(file: str, file_id: str) -> Row:
    return Row(file, "UPLOADED", directory_id="dir-1", directory_file_id=file_id)


def reference(file_id: str, **more: object) -> dict[str, object]:
    job = {"id": f"pjb-{file_id}", "type": "parse_v2"}
    return {"source_directory_file_id": file_id, "job_reference": job, "error_message": None, **more}


def test_every_document_has_a_row_whatever_became_of_it():
    made = rows.rows_of(
        [
            known("a.pdf", "dfl-a"),
            known("b.pdf", "dfl-b"),
            known("c.pdf", "dfl-c"),
            Row("d.exe", "SKIPPED", error="why"),
            Row("e.pdf", "COMPLETED", directory_file_id="dfl-old", job_id="pjb-old", reused=True),
        ],
        [reference("dfl-a"), reference("dfl-x", status="FAILED", credits=2.0, attempt=2)],
        [{"source_directory_file_id": "dfl-b", "error_message": None}],
        "cfg-1@v1",
        is_complete=True,
    )
    assert {row.file: (row.status, row.job_id) for row in made} == {
        "a.pdf": ("UPLOADED", "pjb-dfl-a"),
        "b.pdf": ("NO_JOB", None),
        "c.pdf": ("NO_JOB", None),
        "d.exe": ("SKIPPED", None),
        "e.pdf": ("COMPLETED", "pjb-old"),
        "dfl-x": ("FAILED", "pjb-dfl-x"),
    }
    assert [row.file for row in rows.missing(made)] == ["c.pdf"]
    assert [(row.attempt, row.credits) for row in made if row.file == "dfl-x"] == [(2, 2.0)]


def test_documents_of_the_same_name_are_told_apart():
    made = rows.rows_of([known("a.pdf", "dfl-1"), known("a.pdf", "dfl-2")], [], [], None, is_complete=True)
    assert sorted(row.file for row in made) == ["a (dfl-1).pdf", "a (dfl-2).pdf"]


def test_a_job_tells_what_became_of_its_document():
    told = reference("dfl-1", status="FAILED", error_message="why", credits=2.0, attempt=3)
    (made,) = rows.rows_of([known("a.pdf", "dfl-1")], [told], [], "cfg-1@v1", is_complete=True)

    assert made == replace(
        known("a.pdf", "dfl-1"),
        status="FAILED",
        error="why",
        job_id="pjb-dfl-1",
        job_type="parse_v2",
        credits=2.0,
        configuration="cfg-1@v1",
        attempt=3,
    )


def test_a_job_that_tells_nothing_yet_is_the_first_attempt_of_an_uploaded_document():
    (made,) = rows.rows_of([known("a.pdf", "dfl-1")], [reference("dfl-1")], [], None, is_complete=True)

    assert (made.status, made.error, made.credits, made.attempt) == ("UPLOADED", None, None, 1)


def test_a_job_of_an_unknown_document_has_a_row_under_its_id():
    (made,) = rows.rows_of([], [reference("dfl-1")], [], None, is_complete=True)

    assert (made.file, made.directory_file_id, made.job_id) == ("dfl-1", "dfl-1", "pjb-dfl-1")


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"error_message": "too large"}, "too large"),
        ({"error_message": None}, "the batch gave neither a job nor a reason"),
        ({}, "the batch gave neither a job nor a reason"),
    ],
)
def test_a_document_without_a_job_has_the_batchs_reason(told, error):
    errors = [{"source_directory_file_id": "dfl-1", **told}, {"source_directory_file_id": "dfl-2", **told}]
    made = rows.rows_of([known("a.pdf", "dfl-1")], [], errors, None, is_complete=False)

    assert made == [
        replace(known("a.pdf", "dfl-1"), status="NO_JOB", error=error),
        Row("dfl-2", "NO_JOB", error=error, directory_file_id="dfl-2"),
    ]


def test_what_no_batch_speaks_of_is_named_where_the_upload_is_known_and_left_out_where_a_directory_is():
    rows_known = [known("a.pdf", "dfl-1")]

    assert rows.rows_of(rows_known, [], [], None, is_complete=False) == []
    (made,) = rows.rows_of(rows_known, [], [], None, is_complete=True)
    assert made == replace(rows_known[0], status="NO_JOB", error=rows.NOT_IN_ANY_BATCH)
    assert rows.missing([made, *rows_known]) == [made]


def test_a_row_that_is_used_again_is_no_document_of_the_batch():
    old = Row("a.pdf", "COMPLETED", directory_file_id="dfl-1", reused=True)
    made = rows.rows_of([old], [reference("dfl-1")], [], None, is_complete=True)

    assert [(row.file, row.reused) for row in made] == [("a.pdf", True), ("dfl-1", False)]


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("a.pdf", "a (dfl-1).pdf"),
        ("x/y.z/a", "x/y.z/a (dfl-1)"),
        ("x/a.tar.gz", "x/a.tar (dfl-1).gz"),
        ("/", "/ (dfl-1)"),
        ("..", ".. (dfl-1)"),
        ("x.pdf/", "x.pdf/ (dfl-1)"),
    ],
)
def test_the_id_stands_before_the_extension(file, named):
    made = rows.rows_of([known(file, "dfl-1"), Row(file, "SKIPPED")], [], [], None, is_complete=True)

    assert [row.file for row in made] == [file, named]


SOURCE = {"source_path": "in/a.pdf", "source_sha256": "s1", "source_version": "v1"}


@pytest.mark.parametrize(
    ("file", "row"),
    [
        (
            {"display_name": "b.pdf", "metadata": SOURCE},
            {"file": "in/a.pdf", "source_sha256": "s1", "source_version": "v1"},
        ),
        ({"display_name": "b.pdf", "metadata": {"source_path": ""}}, {"file": "b.pdf"}),
        ({"display_name": "b.pdf"}, {"file": "b.pdf"}),
        ({"display_name": ""}, {"file": "dfl-1"}),
        ({}, {"file": "dfl-1"}),
        ({"metadata": {"source_path": 7}}, {"file": "7"}),
    ],
)
def test_a_file_of_a_directory_is_called_as_in_the_source_or_as_it_is_shown(file, row):
    made = rows.from_directory_file(DirectoryFile(id="dfl-1", **file), "dir-1")

    assert made == Row(status="UPLOADED", directory_id="dir-1", directory_file_id="dfl-1", **row)


def test_earlier_rows_of_other_documents_stay_and_are_marked_as_used_again():
    new, same, other = Row("a.pdf", "FAILED"), Row("a.pdf", "COMPLETED"), Row("b.pdf", "COMPLETED")

    assert rows.with_earlier([new], [same, other], []) == [new, replace(other, reused=True)]


def test_a_job_that_is_told_of_twice_and_an_error_beside_a_job_make_no_further_document():
    error = {"source_directory_file_id": "dfl-1", "error_message": "no job"}
    told = [reference("dfl-1"), reference("dfl-1"), reference("dfl-2")]
    both = [known("a.pdf", "dfl-1"), known("b.pdf", "dfl-2")]
    made = rows.rows_of(both, told, [error], None, is_complete=True)

    assert [(row.file, row.job_id) for row in made] == [("a.pdf", "pjb-dfl-1"), ("b.pdf", "pjb-dfl-2")]


def test_many_jobs_of_one_document_are_told_apart():
    told = [{**reference("dfl-1"), "job_reference": {"id": f"pjb-{n}", "type": "parse_v2"}} for n in range(4)]
    made = rows.rows_of([known("a.pdf", "dfl-1")], told, [], None, is_complete=True)

    assert len({row.file for row in made}) == 4


@given(
    nights=st.lists(
        st.lists(
            st.tuples(st.integers(1, 5), st.sampled_from(["", "a.pdf", "b.pdf"])),
            unique_by=lambda one: one[0],
        )
    )
)
def test_in_a_directory_that_others_fill_every_document_keeps_one_row_and_no_other_takes_its_name(
    nights: list[list[tuple[int, str]]],
):
    """Each night some documents come, change, are renamed or go (without a name)."""
    there: dict[str, str] = {}
    kept: list[Row] = []
    for night in nights:
        changed = {f"dfl-{number}": name for number, name in night}
        there = {id_: name for id_, name in {**there, **changed}.items() if name}
        listed = [known(name, id_) for id_, name in there.items()]
        new = rows.rows_of(
            listed, [reference(id_) for id_ in changed if id_ in there], [], None, is_complete=False
        )
        before = {row.directory_file_id: row.file for row in kept}
        kept = rows.with_earlier(new, kept, listed)

        names = [row.file for row in kept]
        assert len(set(names)) == len(names)
        now = {row.directory_file_id: row.file for row in kept}
        assert len(now) == len(kept)
        assert now.keys() >= there.keys()
        assert all(now[id_] == before[id_] for id_ in there if id_ not in changed)


def test_lists_of_mapped_tasks_are_flattened():
    assert rows.flat({"a": 1}) == [{"a": 1}]
    assert rows.flat([[{"a": 1}, {"b": 2}], None, [], ({"c": 3},)]) == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert rows.flat(None) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("bat-1", "not 'bat-1' (a batch id: use a BatchSensor first)"),
        (["bat-1"], "not ['bat-1']"),
        ([{"a": 1}], "not {'a': 1}"),
        ([{"source_directory_file_id": "dfl-1", "job_reference": None}], "'job_reference': None"),
        (None, "not None (nothing: what the task before returned is not there)"),
        (7, "not 7"),
        ("llx-0123456789abcdef0123", "not an API key"),
    ],
)
def test_what_are_no_job_references_is_named_in_one_sentence(given, said):
    with pytest.raises(InvalidInputError) as raised:
        rows.references_in(given)

    assert str(raised.value).startswith("job_references: must be the list that BatchSensor returned, not ")
    assert said in str(raised.value)
    assert "llx-" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("bat-1", "not 'bat-1' (a batch id: use a BatchSensor first)"),
        ([7], "not [7]"),
        ([{"error_message": "no job"}], "not {'error_message': 'no job'}"),
        ([{"source_directory_file_id": ["dfl-1"]}], "not {'source_directory_file_id': ['dfl-1']}"),
        ([{"source_directory_file_id": "dfl-1", "error_message": {}}], "'error_message': {}}"),
        ("llx-0123456789abcdef0123", "not an API key"),
    ],
)
def test_what_are_no_file_errors_is_named_in_one_sentence(given, said):
    with pytest.raises(InvalidInputError) as raised:
        rows.errors_in(given)

    assert str(raised.value).startswith(
        "file_errors: must be the list in XCom file_errors of the batch, not "
    )
    assert str(raised.value).endswith(said)


def test_the_file_errors_of_mapped_tasks_become_one_list_and_may_be_missing():
    one, two = (
        {"source_directory_file_id": "dfl-1", "error_message": None},
        {"source_directory_file_id": "dfl-2"},
    )
    assert rows.errors_in([[one], None, [two]]) == [one, two]
    assert rows.errors_in(None) == []


@pytest.mark.parametrize("given", [[], [[]], [None, []], ()])
def test_no_references_at_all_are_an_empty_list(given):
    assert rows.references_in(given) == []


def test_the_references_of_mapped_tasks_become_one_list():
    one, two = reference("dfl-1"), reference("dfl-2")
    assert rows.references_in([[one], None, [two]]) == [one, two]


def test_what_a_list_of_dicts_is_not_is_named_by_its_kind():
    with pytest.raises(TypeError, match="must be a list of dicts, not int"):
        rows.flat([[{"a": 1}], 7])


@pytest.mark.parametrize("wrong", [["a"], {"a": 1}, 1.5])
@pytest.mark.parametrize("place", ["source_directory_file_id", "status", "id", "type"])
def test_a_reference_whose_words_are_no_words_is_refused(place, wrong):
    strange: dict[str, Any] = {**reference("dfl-1"), "status": "COMPLETED"}
    strange["job_reference"] = dict(strange["job_reference"])
    (strange["job_reference"] if place in ("id", "type") else strange)[place] = wrong

    with pytest.raises(
        InvalidInputError, match=r"^job_references: must be the list that BatchSensor returned"
    ):
        rows.references_in([reference("dfl-2"), strange])


def test_the_hint_is_for_those_whom_it_helps():
    with pytest.raises(InvalidInputError) as raised:
        rows.references_in(7)

    assert str(raised.value).endswith("not 7")


def test_a_document_carries_its_id_where_another_one_has_its_name_and_only_there():
    earlier = [known("a.pdf", "dfl-1")]
    there = [*earlier, known("x/a.pdf", "dfl-2")]
    new = [known("a.pdf", "dfl-3"), known("x/a.pdf", "dfl-4"), known("b.pdf", "dfl-5")]

    assert [row.file for row in rows.with_earlier(new, there, there)][:3] == [
        "a (dfl-3).pdf",
        "x/a (dfl-4).pdf",
        "b.pdf",
    ]


def test_a_file_that_was_refused_before_it_was_sent_is_a_skipped_document():
    row = rows.skipped(Refused("a.exe", "nothing reads this type"))
    assert row == Row("a.exe", "SKIPPED", error="nothing reads this type")
