from __future__ import annotations

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_llamabatch.documents.result_plan import (
    numbered,
    output_of,
    place_of,
    plan_paths,
    safe_path,
    written_by_us,
)
from tests.support.arbitrary import bounded


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("a.pdf", "a.pdf"),
        ("sub/ü n.pdf", "sub/ü n.pdf"),
        ("../../etc/passwd", "__/__/etc/passwd"),
        ("/absolute.pdf", "absolute.pdf"),
        ("a//b/./c.pdf", "a/b/c.pdf"),
        ("..", "__"),
        ("X", "X"),
        ("", "_"),
        ("a#b?c*.pdf", "a_b_c_.pdf"),
        ("a\\..\\b.pdf", "a_.._b.pdf"),
        ("a\0\n.pdf", "a__.pdf"),
        ("trailing. ", "trailing._"),
        ("50%20.pdf", "50_20.pdf"),
    ],
)
def test_a_path_never_leads_elsewhere(document: str, path: str):
    assert safe_path(document) == path


def test_each_document_keeps_its_own_path():
    planned = plan_paths(["b/x.pdf", "a.pdf", "a.docx"], ["markdown"])
    assert planned == {"a.docx": "a.docx", "a.pdf": "a.pdf", "b/x.pdf": "b/x.pdf"}


@pytest.mark.parametrize(
    "documents",
    [
        ["Report.pdf", "report.pdf", "REPORT.pdf"],  # the same where case does not count
        ["é.pdf", "e\u0301.pdf"],  # two spellings of the same letters
        ["a?.pdf", "a#.pdf"],  # the same once it is safe
        ["a.pdf", "a.pdf.md/b.pdf"],  # a folder called like another document's result
        ["manifest.jsonl/a.pdf", ".llamabatch/a.pdf", "a.pdf"],
        ["x" * 300 + ".pdf", "x" * 301 + ".pdf"],
        ["a/" * 500 + "b.pdf", "a/" * 501 + "b.pdf"],
    ],
)
def test_documents_that_would_meet_are_told_apart(documents: list[str]):
    assert_all_apart(documents)


@bounded(100)
@given(st.sets(st.text(alphabet="aA.é/#\u0301 ", min_size=1, max_size=6), max_size=20))
def test_any_set_of_documents_is_told_apart(documents: set[str]):
    assert_all_apart(sorted(documents))


def assert_all_apart(documents: list[str]) -> None:
    planned = plan_paths(documents, ["markdown", "text"])
    assert set(planned) == set(documents)
    for document, stem in planned.items():
        assert place_of(f"/any/where/{stem}.txt", document) == f"{stem}.txt"
    written = [f"{stem}{suffix}" for stem in planned.values() for suffix in (".md", ".txt")]
    keys = [unicodedata.normalize("NFC", path.casefold()) for path in written]
    assert len(set(keys)) == len(keys)
    folders = {key.rsplit("/", depth)[0] for key in keys for depth in range(1, key.count("/") + 1)}
    assert not folders & {*keys, "manifest.jsonl", "records.jsonl", "records.parquet"}
    assert not any(path.split("/")[0] == ".llamabatch" for path in written)
    for path in written:
        assert ".." not in path.split("/")
        assert all(0 < len(part.encode()) <= 255 for part in path.split("/"))
        assert len(path.encode()) < 1000


def digest_of(document: str) -> str:
    return hashlib.sha256(document.encode(errors="surrogateescape")).hexdigest()


def test_a_document_that_would_meet_another_one_carries_a_mark_before_its_extension():
    for folder in ("", "x/y/"):
        first, second = f"{folder}Report.pdf", f"{folder}report.pdf"
        marked = f"{folder}report~{digest_of(second)[:8]}.pdf"
        assert plan_paths([second, first], ["markdown"]) == {first: first, second: marked}


def test_names_that_are_no_utf_8_are_told_apart_by_their_bytes():
    first, second = "a\udcfe.pdf", "a\udcff.pdf"
    marked = f"a\ufffd~{digest_of(second)[:8]}.pdf"
    assert plan_paths([second, first], ["markdown"]) == {first: "a\ufffd.pdf", second: marked}


@pytest.mark.parametrize("document", ["a.pdf.md/b.pdf", "a.pdf.md/c/b.pdf"])
def test_a_document_below_a_folder_that_is_called_like_a_result_moves_out_of_it(document: str):
    digest = digest_of(document)
    moved = plan_paths(["a.pdf", document], ["markdown"])
    assert moved == {"a.pdf": "a.pdf", document: f"{digest[:32]}/b.pdf"}
    moved = plan_paths(["a.pdf", document], ["markdown"], taken=[f"{digest[:32]}/b.pdf.md"])
    assert moved[document] == f"{digest}/b.pdf"


def test_a_result_is_not_called_like_a_folder_of_another_document():
    for document in ("x/a.pdf.md/b.pdf", "x/a.pdf.md/c/b.pdf"):
        planned = plan_paths(["x/a.pdf"], ["markdown"], taken=[document])
        assert planned == {"x/a.pdf": f"x/a~{digest_of('x/a.pdf')[:8]}.pdf"}


def test_a_path_that_is_too_long_for_a_storage_loses_its_folders():
    longest = "/".join(["a" * 179] * 4 + ["b" * 180])
    longer = f"{longest}b"
    assert plan_paths([longest], ["text"])[longest] == longest
    assert plan_paths([longer], ["text"])[longer] == f"{digest_of(longer)[:16]}/{'b' * 181}"


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("x" * 196 + ".pdf", "x" * 196 + ".pdf", None),
        ("x" * 197 + ".pdf", "x" * 187, ".pdf"),
        ("x" * 300 + "." + "y" * 19, "x" * 171, "." + "y" * 19),
        ("x" * 300 + "." + "y" * 20, "x" * 191, ""),  # no extension that anything knows
        ("x" * 150 + "." + "y" * 60, "x" * 150 + "." + "y" * 40, ""),
        ("é" * 150, "é" * 95, ""),
        ("x" * 100 + " " * 150 + "y", "x" * 100, ""),
        (" " + "x" * 300, " " + "x" * 190, ""),
        ("\udcff" + "x" * 300, "\ufffd" + "x" * 188, ""),
    ],
)
def test_a_name_that_is_too_long_for_a_file_system_is_cut_and_marked(name: str, start: str, end: str | None):
    assert safe_path(name) == (start if end is None else f"{start}~{digest_of(name)[:8]}{end}")


def test_the_plan_does_not_depend_on_the_order():
    documents = ["b.pdf", "B.pdf", "a/x.pdf", "A/X.pdf"]
    assert plan_paths(documents, ["markdown"]) == plan_paths(documents[::-1], ["markdown"])


def test_results_that_stay_keep_their_paths():
    planned = plan_paths(["report.pdf"], ["markdown"], taken=["Report.pdf.md"])
    assert planned["report.pdf"].startswith("report~")


def test_each_instance_of_a_mapped_task_has_its_own_manifest():
    assert [numbered("manifest.jsonl", index) for index in (None, -1, 0, 7)] == [
        "manifest.jsonl",
        "manifest.jsonl",
        "manifest-0.jsonl",
        "manifest-7.jsonl",
    ]
    assert numbered("a.b.jsonl", 1) == "a.b-1.jsonl"


def test_only_what_is_called_like_a_result_of_the_document_has_a_place():
    assert place_of("s3://bucket/out/sub/a.pdf.md", "sub/a.pdf") == "sub/a.pdf.md"
    assert place_of("sub/a.pdf.items.json", "sub/a.pdf") == "sub/a.pdf.items.json"
    assert place_of("/out/a.pdf.md", "sub/a.pdf") is None
    assert place_of("/out/xa.pdf.md", "a.pdf") is None
    assert place_of("/out/a.pdf.docx", "a.pdf") is None


def test_a_result_is_told_by_its_name_and_what_is_called_otherwise_is_none():
    assert output_of("/out/a.pdf.items.json", "a.pdf") == "items"
    assert output_of("/out/b.pdf.md", "a.pdf") is None


def test_bookkeeping_is_what_lies_in_its_folder_and_the_manifests_beside_it():
    ours = {
        "manifest.jsonl",
        ".llamabatch/uploads/x.json",
        "sub/folder/manifest-3.jsonl",
        "sub/folder/.llamabatch/y",
        "deep/manifest.jsonl",
        "deep/.llamabatch/copied/.llamabatch/z",
    }
    others = {
        "a.pdf",
        "other/manifest.jsonl",
        "sub/manifest.jsonl",
        "sub/folder/manifest.jsonl.bak",
        "my.llamabatch/z",
    }
    assert written_by_us(iter([*ours, *others])) == ours
    assert written_by_us(others) == set()
