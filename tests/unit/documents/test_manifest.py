from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch.documents import manifest, reuse, rows
from airflow_provider_llamabatch.documents.manifest import Row
from airflow_provider_llamabatch.documents.result_plan import SUFFIXES, plan_paths
from airflow_provider_llamabatch.documents.upload_plan import SourceFile

DONE = Row(
    "a.pdf",
    "COMPLETED",
    path="/out/a.pdf.md",
    bytes=7,
    source_sha256="s1",
    source_version="v1",
    configuration="cfg-1@v2",
    credits=3.0,
)
FAILED = replace(
    DONE, file="b.pdf", status="FAILED", error="PDF_IS_BROKEN: no trailer", path=None, bytes=None
)


def test_a_manifest_is_read_as_it_was_written_sorted_by_file():
    rows = [FAILED, DONE, replace(DONE, file="ü\udcff.pdf")]
    content = b"".join(manifest.to_lines(rows))
    assert content.count(b"\n") == 3
    assert manifest.from_lines(content) == [DONE, FAILED, rows[2]]


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("a.pdf", "a.pdf"),
        ("x" * 250, "x" * 250),
        ("x" * 251, "x" * 233 + "~mark"),
    ],
)
def test_a_partition_is_called_like_its_file_as_far_as_airflow_takes_it(file: str, key: str):
    found = manifest.partition_key(replace(DONE, file=file))
    assert len(found) <= 250
    assert found.rpartition("~")[0] == key.rpartition("~")[0]
    assert found != manifest.partition_key(replace(DONE, file=f"{file}x"))


def test_documents_are_doubtful_below_a_bound_and_only_where_the_service_said_how_sure_it_is():
    sure, doubtful, worse = (
        replace(DONE, file=name, confidence=c) for name, c in (("a", 0.9), ("b", 0.8), ("c", 0.1))
    )
    rows = [sure, doubtful, worse, DONE, replace(worse, file="d", reused=True)]
    assert manifest.doubtful(rows, below=0.9) == [worse, doubtful]
    assert manifest.doubtful(rows, below=None) == []


def test_a_manifest_is_compact_ascii_with_all_fields_of_a_row():
    (line,) = manifest.to_lines([Row("ü.pdf", "SKIPPED")])

    assert line.startswith(b'{"file":"\\u00fc.pdf","status":"SKIPPED","job_id":null,')
    assert line.endswith(b',"attempt":1,"reused":false}\n')


def test_documents_of_the_same_name_are_sorted_by_their_ids():
    rows = [Row("a", "FAILED", directory_file_id=id_) for id_ in ("2", None, "1")]

    read = manifest.from_lines(b"".join(manifest.to_lines(rows)))
    assert [row.directory_file_id for row in read] == [None, "1", "2"]


def test_fields_of_a_newer_version_are_left_out():
    assert manifest.from_lines(
        b'{"file": "a", "status": "COMPLETED", "colour": "red"}\n\n{"file": "b", "status": "X"}\n'
    ) == [
        Row("a", "COMPLETED"),
        Row("b", "X"),
    ]


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"file": "a"}', b"17"])
def test_what_is_no_manifest_is_an_error_with_its_line(line: bytes):
    with pytest.raises(manifest.ManifestUnreadableError, match="line 2"):
        manifest.from_lines(b'{"file": "a", "status": "COMPLETED"}\n' + line)


def test_costs_are_those_of_this_run_and_unknown_is_not_nothing():
    other = replace(DONE, credits=4.0)
    assert manifest.credits_of([DONE, other, replace(DONE, credits=None), replace(DONE, reused=True)]) == 7.0
    assert manifest.credits_of([replace(DONE, credits=None)]) is None


@pytest.mark.parametrize(
    ("row", "reused"),
    [
        (DONE, True),
        (FAILED, True),  # another try over the same content would say the same
        (replace(DONE, pages_failed=1), False),
        (replace(DONE, path=None), False),
        (replace(DONE, status="NO_RESULT"), False),
        (replace(FAILED, error="TIMEOUT: took too long"), False),
        (replace(DONE, configuration="cfg-1@v1"), False),
        (replace(DONE, source_sha256=None), False),
    ],
)
def test_only_an_outcome_as_good_as_a_new_one_is_used_again(row: Row, reused: bool):
    found = reuse.earlier([row], configuration="cfg-1@v2", outputs=["markdown"], present={"a.pdf.md": 7})
    assert (found.row_of(SourceFile(row.file, 9, "v3"), "s1") is not None) == reused


def test_a_row_that_is_used_again_is_about_the_file_as_it_is_now():
    found = reuse.earlier([DONE], configuration="cfg-1@v2", outputs=["markdown"], present={"a.pdf.md": 7})

    assert found.row_of(SourceFile("a.pdf", 9, "v3"), "s1") == replace(
        DONE, reused=True, source_version="v3", source_bytes=9
    )
    assert found.row_of(SourceFile("a.pdf", 9, "v3"), "s2") is None


def test_a_configuration_is_called_by_its_id_and_its_version():
    assert reuse.configuration_key("cfg-1", "v2") == "cfg-1@v2"
    assert reuse.configuration_key("cfg-1", None) == "cfg-1"


def test_the_places_of_a_documents_results_are_told_by_its_name_wherever_the_folder_was():
    more: dict[str, dict[str, Any]] = {
        "text": {"path": "/moved/to/a.pdf.txt"},
        "items": {"path": "/else/b.pdf.items.json"},
        "gone": {"path": None},
    }
    row = replace(DONE, other_outputs=more)

    assert row.places == ["a.pdf.md", "a.pdf.txt"]
    assert row.below("s3://b/").path == "s3://b/a.pdf.md"
    assert {name: one["path"] for name, one in row.below("s3://b/").other_outputs.items()} == {
        "text": "s3://b/a.pdf.txt",
        "items": "/else/b.pdf.items.json",
        "gone": None,
    }
    assert FAILED.places == []
    assert FAILED.below("s3://b/") == FAILED


def test_a_result_that_lies_elsewhere_is_made_again():
    row = replace(DONE, path="/out/another.pdf.md")
    found = reuse.earlier([row], configuration="cfg-1@v2", outputs=["markdown"], present={"a.pdf.md": 7})
    assert found.row_of(SourceFile("a.pdf", 9), "s1") is None


def test_statuses_are_counted_the_most_frequent_first():
    counted = manifest.statuses_of([FAILED, DONE, DONE])

    assert list(counted.items()) == [("COMPLETED", 2), ("FAILED", 1)]


@pytest.mark.parametrize("present", [{}, {"a.pdf.md": 6}])
def test_a_result_that_is_gone_or_cut_short_is_made_again(present: dict[str, int]):
    found = reuse.earlier([DONE], configuration="cfg-1@v2", outputs=["markdown"], present=present)
    assert found.row_of(SourceFile("a.pdf", 9), "s1") is None


def test_a_result_without_all_outputs_is_made_again():
    present = {"a.pdf.md": 7, "a.pdf.txt": 3}
    both = replace(DONE, other_outputs={"text": {"path": "/out/a.pdf.txt", "bytes": 3, "sha256": "x"}})
    for row, expected in ((DONE, False), (both, True)):
        found = reuse.earlier([row], configuration="cfg-1@v2", outputs=["markdown", "text"], present=present)
        assert (found.row_of(SourceFile("a.pdf", 9), "s1") is not None) == expected


@pytest.mark.parametrize(
    ("job_type", "has", "asked", "reused"),
    [
        ("parse_v2", ["markdown"], ["markdown"], ["markdown"]),
        ("parse_v2", ["markdown"], ["text"], None),
        ("parse_v2", ["markdown"], ["text", "markdown"], None),
        ("parse_v2", ["markdown", "text"], ["text"], ["text", "markdown"]),
        ("parse_v2", ["markdown", "text"], ["text", "markdown"], ["text", "markdown"]),
        ("parse_v2", ["markdown", "text", "items"], ["items", "text"], ["items", "markdown", "text"]),
        ("extract_v2", ["records"], ["markdown"], ["records"]),  # it gives its records whatever is asked for
        ("extract_v2", ["records"], ["records", "parquet"], ["records"]),  # made anew of all records
    ],
)
def test_results_are_used_again_for_other_outputs_where_all_of_them_are_there(
    job_type: str, has: list[str], asked: list[str], reused: list[str] | None
):
    results: dict[str, dict[str, Any]] = {
        output: {"path": f"/out/a.pdf{SUFFIXES[output]}", "bytes": 7, "sha256": f"of {output}"}
        for output in has
    }
    row = replace(DONE, **results.pop(has[0]), job_type=job_type, other_outputs=results)
    present = {f"a.pdf{SUFFIXES[output]}": 7 for output in has}
    found = reuse.earlier([row], configuration="cfg-1@v2", outputs=asked, present=present)
    again = found.row_of(SourceFile("a.pdf", 9), "s1")

    if reused is None:
        assert again is None
        return
    assert again is not None
    assert (again.path, again.sha256) == (f"/out/a.pdf{SUFFIXES[reused[0]]}", f"of {reused[0]}")
    assert {output: one["sha256"] for output, one in again.other_outputs.items()} == {
        output: f"of {output}" for output in reused[1:]
    }


def test_an_unchanged_file_need_not_be_read_where_the_storage_has_versions():
    found = reuse.earlier([DONE], configuration="cfg-1@v2", outputs=["markdown"], present={"a.pdf.md": 7})
    assert found.content_of(SourceFile("a.pdf", 9, "v1")) == "s1"
    assert found.content_of(SourceFile("a.pdf", 9, "v2")) is None
    assert found.content_of(SourceFile("a.pdf", 9)) is None
    unversioned = replace(DONE, source_version=None)
    found = reuse.earlier([unversioned], configuration="", outputs=[], present={})
    assert found.content_of(SourceFile("a.pdf", 9)) is None


def test_of_doubtful_documents_those_of_which_nothing_is_sure_come_first():
    half, none = replace(DONE, file="a", confidence=0.5), replace(DONE, file="b", confidence=0.0)
    assert manifest.doubtful([half, none], below=0.9) == [none, half]


def test_a_long_name_that_is_no_text_is_a_partition_too():
    names = [f"{'x' * 250}\udcff{end}" for end in "ab"]
    keys = [manifest.partition_key(replace(DONE, file=name)) for name in names]
    assert [key.rpartition("~")[0] for key in keys] == ["x" * 233] * 2
    assert len(set(keys)) == 2


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800")
VALUES = SCALARS | st.lists(SCALARS) | st.dictionaries(st.sampled_from(["text", "path", "bytes"]), SCALARS)
EDITED = st.fixed_dictionaries(
    {"file": st.text() | VALUES, "status": st.just("COMPLETED") | VALUES},
    optional={
        **{field.name: VALUES for field in fields(Row) if field.name not in {"file", "status"}},
        "other_outputs": VALUES | st.dictionaries(st.text(), VALUES),
    },
)


@given(st.lists(EDITED, max_size=3))
def test_a_manifest_that_somebody_has_edited_is_usable_or_an_error_of_its_own(
    edited: list[dict[str, Any]],
):
    try:
        found = manifest.from_lines("\n".join(map(json.dumps, edited)).encode())
    except manifest.ManifestUnreadableError:
        return
    reuse.earlier(found, configuration="cfg-1", outputs=("markdown", "text"), present={"a.md": 1})
    kept = rows.with_earlier([Row("a.pdf", "FAILED")], found, found)
    plan_paths(
        [row.file for row in kept], ["markdown"], taken=[place for row in kept for place in row.places]
    )
    assert all(row.below("s3://b/") for row in kept)
    assert len(list(manifest.to_lines(kept))) == len(kept)
    assert manifest.doubtful(kept, below=1.0) is not None
    assert sum(manifest.statuses_of(kept).values()) == len(kept)


def test_no_field_of_a_row_is_read_unchecked() -> None:
    assert {field.name for field in fields(Row)} == set(manifest._FIELDS)


TEXT = {"path": "/out/a.pdf.txt", "bytes": 3, "sha256": "t"}
ITEMS = {"path": "/out/a.pdf.items.json", "bytes": 5, "sha256": "i"}


def test_the_result_that_was_first_is_kept_among_the_others():
    row = replace(DONE, sha256="m", other_outputs={"text": TEXT, "items": ITEMS})
    again = row.with_first("items")
    assert (again.path, again.bytes, again.sha256) == (ITEMS["path"], 5, "i")
    assert again.other_outputs == {
        "markdown": {"path": "/out/a.pdf.md", "bytes": 7, "sha256": "m"},
        "text": TEXT,
    }
    assert again.with_first("markdown") == row
    assert row.with_first("records") is row
    bare = replace(row, other_outputs={"text": {"path": "/out/a.pdf.txt"}}).with_first("text")
    assert (bare.path, bare.bytes, bare.sha256) == ("/out/a.pdf.txt", None, None)


@pytest.mark.parametrize("other", [7, "/out/a.pdf.txt", {}, {"path": None}, {"path": 7}])
def test_a_further_output_without_a_path_is_no_row_of_a_manifest(other: Any):
    line = json.dumps({"file": "a.pdf", "status": "COMPLETED", "other_outputs": {"text": other}})
    with pytest.raises(manifest.ManifestUnreadableError, match="other_outputs has no path for 'text'"):
        manifest.from_lines(line.encode())
    known = json.dumps({"file": "a.pdf", "status": "COMPLETED", "other_outputs": {"text": TEXT}})
    assert manifest.from_lines(known.encode())[0].other_outputs == {"text": TEXT}


def test_a_field_of_another_kind_is_named():
    with pytest.raises(manifest.ManifestUnreadableError, match="pages is 'many'"):
        manifest.from_lines(b'{"file": "a.pdf", "status": "COMPLETED", "pages": "many"}')


def test_what_cannot_be_used_again_hides_nothing_behind_it():
    rows = [
        replace(DONE, configuration="cfg-2"),
        replace(DONE, file="b.pdf", source_sha256=None),
        replace(DONE, file="c.pdf", job_type="parse_v2"),
    ]
    found = manifest.reusable(rows, configuration="cfg-1@v2", outputs=())
    assert found == {("c.pdf", "s1"): rows[2]}
    assert manifest.reusable(rows, configuration="cfg-1@v2", outputs=["text"]) == {}


def test_what_an_earlier_run_made_is_counted_apart_from_what_failed_then():
    done = replace(DONE, reused=True)
    failed = Row("b", "FAILED", reused=True)
    assert manifest.reused_counts([DONE, done, done, failed]) == {"reused": 2, "failed_before": 1}
