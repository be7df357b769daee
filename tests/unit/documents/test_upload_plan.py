from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from airflow_provider_llamabatch.documents import upload_plan
from airflow_provider_llamabatch.documents.upload_plan import (
    Held,
    Refused,
    SourceFile,
    assign,
    decide,
    preflight,
    split_pattern,
)
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.models import DirectoryFile

SHA = "a" * 64


def files(*names: str) -> list[SourceFile]:
    return [SourceFile(name, 1) for name in names]


def held(path: str | None, id: str = "dfl-1", sha256: str = SHA, version: str | None = None) -> Held:
    key = upload_plan.path_key(path) if path else None
    unique_id = upload_plan.unique_id(path, sha256, "") if path else "somebody-elses"
    return Held(id, "dir-1", unique_id, key, sha256, version)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (SourceFile("a.pdf", 1), None),
        (SourceFile("A.PDF", 1), None),
        (SourceFile("a.pdf", 0), "the file is empty; there is nothing to read in it"),
        (
            SourceFile("a.exe", 5),
            "files of type .exe cannot be read by LlamaCloud; convert it, or leave it out with the pattern",
        ),
        (
            SourceFile("Makefile", 5),
            "files without an extension cannot be read by LlamaCloud; convert it, or leave it out with the pattern",
        ),
        (SourceFile("a.pdf", 512 * 1024 * 1024), None),
        (
            SourceFile("a.pdf", 513 * 1024 * 1024),
            "it has 513 MB, LlamaCloud takes 512 MB at most; split it",
        ),
        (SourceFile("a\udcff.pdf", 1), "its name is not UTF-8, which LlamaCloud needs; rename it"),
        (SourceFile("b\udc80.pdf", 1), "its name is not UTF-8, which LlamaCloud needs; rename it"),
    ],
)
def test_what_llamacloud_would_refuse_is_known_before(file: SourceFile, reason: str | None):
    accepted, refused = preflight([file])
    assert (accepted, refused) == (([file], []) if reason is None else ([], [Refused(file.path, reason)]))


def test_files_are_told_apart_in_the_order_of_their_paths():
    accepted, refused = preflight([SourceFile(name, 9) for name in ("b.pdf", "d", "c", "a.pdf")])

    assert [file.path for file in accepted] == ["a.pdf", "b.pdf"]
    assert [file.path for file in refused] == ["c", "d"]


def test_a_path_is_told_apart_by_its_bytes():
    digest = hashlib.sha256(b"a\xff.pdf").hexdigest()

    assert upload_plan.path_key("a\udcff.pdf") == digest[:32]


def test_files_of_others_take_one_place_each():
    plan = assign(files("a", "b"), [[held(None)]], max_files=3, mirror=True)

    assert plan.places == {"a": 0, "b": 0}


def test_files_fill_directories_in_the_order_of_their_paths():
    plan = assign(files("c", "a", "b"), [], max_files=2, mirror=True)
    assert (plan.places, plan.count) == ({"a": 0, "b": 0, "c": 1}, 2)


def test_a_file_stays_in_the_directory_that_holds_its_path_even_with_other_content():
    plan = assign(files("a", "b"), [[], [held("a", sha256="b" * 64)]], max_files=2, mirror=True)
    assert plan.places == {"a": 1, "b": 0}
    assert plan.gone == []


def test_what_the_source_no_longer_has_goes_only_from_a_mirror():
    contents = [[held("old"), held(None, id="dfl-2")]]
    assert [one.id for one in assign(files("a"), contents, max_files=2, mirror=True).gone] == ["dfl-1"]
    kept = assign(files("a"), contents, max_files=2, mirror=False)
    assert (kept.gone, kept.places) == ([], {"a": 1})


def test_the_same_path_in_a_second_directory_goes():
    plan = assign(files("a"), [[held("a")], [held("a", id="dfl-2")]], max_files=2, mirror=False)
    assert (plan.places, [one.id for one in plan.gone]) == ({"a": 0}, ["dfl-2"])


def test_no_directory_ever_holds_more_than_its_number_of_files():
    contents = [[held(f"{number}") for number in range(5)], []]
    plan = assign(files(*(f"{number}" for number in range(17))), contents, max_files=5, mirror=False)
    counts = [list(plan.places.values()).count(index) for index in range(plan.count)]
    assert counts == [5, 5, 5, 2]


@pytest.mark.parametrize(
    ("contents", "kept", "outdated"),
    [
        ([], None, []),
        ([held("a", "dfl-1")], "dfl-1", []),
        ([held("a", "dfl-1", "b" * 64)], None, ["dfl-1"]),
        ([held("a", "dfl-1"), held("a", "dfl-2")], "dfl-1", ["dfl-2"]),  # an upload that was sent twice
        ([held("a", "dfl-1", "b" * 64), held("a", "dfl-2")], "dfl-2", ["dfl-1"]),
    ],
)
def test_one_upload_of_the_present_content_stays(contents: list[Held], kept: str | None, outdated: list[str]):
    decision = decide(upload_plan.unique_id("a", SHA, ""), contents)
    assert (decision.keep and decision.keep.id) == kept
    assert [one.id for one in decision.outdated] == outdated


def test_the_storages_own_version_spares_reading_a_file():
    contents = [held("a", version="etag-1")]
    assert upload_plan.known_content(SourceFile("a", 1, "etag-1"), contents) == SHA
    assert upload_plan.known_content(SourceFile("a", 1, "etag-2"), contents) is None
    assert upload_plan.known_content(SourceFile("a", 1), [held("a")]) is None


def test_the_id_tells_path_content_and_run_apart_and_is_recognised_again():
    ids = {
        upload_plan.unique_id(*parts)
        for parts in [("a", SHA, ""), ("b", SHA, ""), ("a", "b" * 64, ""), ("a", SHA, "abc123")]
    }
    assert len(ids) == 4
    for unique_id in ids:
        file = DirectoryFile(id="dfl-1", unique_id=unique_id)
        assert upload_plan.held_from(file, "dir-1").key in {
            upload_plan.path_key("a"),
            upload_plan.path_key("b"),
        }
    assert upload_plan.held_from(DirectoryFile(id="dfl-1", unique_id="invoice-17"), "dir-1").key is None


@pytest.mark.parametrize(
    ("version", "told"), [(None, {}), ("", {}), ("etag-1", {"source_version": "etag-1"})]
)
def test_an_upload_says_where_it_came_from_and_what_was_in_it(version: str | None, told: dict[str, str]):
    metadata = upload_plan.metadata_of(SourceFile("in/a.pdf", 1, version), SHA)

    assert metadata == {"source_path": "in/a.pdf", "source_sha256": SHA, **told}
    unique_id = upload_plan.unique_id("in/a.pdf", SHA, "run1")
    file = DirectoryFile(id="dfl-1", unique_id=unique_id, metadata=metadata)
    assert upload_plan.held_from(file, "dir-1") == Held(
        "dfl-1", "dir-1", unique_id, upload_plan.path_key("in/a.pdf"), SHA, version or None
    )


def test_a_file_that_somebody_else_put_there_says_nothing_of_a_source():
    for unique_id in (None, "invoice-17"):
        assert upload_plan.held_from(DirectoryFile(id="dfl-1", unique_id=unique_id), "dir-1") == Held(
            "dfl-1", "dir-1", unique_id or "", None, None, None
        )


def test_what_is_held_is_grouped_by_the_path_it_came_from():
    one, two, other = held("a", "dfl-1"), held("a", "dfl-2"), held("b", "dfl-3")

    assert upload_plan.by_key([one, held(None), other, two]) == {one.key: [one, two], other.key: [other]}


def test_a_directory_is_called_as_it_was_asked_for_with_what_finds_it_again():
    assert upload_plan.directory_name("in", "abc", 2) == "in [abc-2]"
    assert upload_plan.directory_name("x" * 300, "abc", 0) == "x" * 200 + " [abc-0]"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.pdf", "b.pdf"),
        ("a\nb.pdf", "a_b.pdf"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("ü n.pdf", "ü n.pdf"),
        ("Makefile", "Makefile"),
        ("x" * 300, "x" * 200),
        ("x" * 300 + "." + "b" * 19, "x" * 180 + "." + "b" * 19),
        ("x" * 190 + "." + "b" * 20, "x" * 190 + "." + "b" * 9),  # too long for an extension,
        ("", "file"),
    ],
)
def test_a_document_is_shown_under_its_own_name_short_and_clean(path: str, name: str):
    assert upload_plan.display_name(path) == name


def test_an_identity_is_twelve_characters_of_what_names_a_task_instance():
    digest = hashlib.sha256(b"d\0t\0r\0-1").hexdigest()

    assert (
        upload_plan.identity_of(("d", "t", "r", -1)) == digest[:12]
    )  # stays the same from version to version


def test_an_identity_is_the_same_for_every_try_and_another_for_every_map_index():
    assert upload_plan.identity_of(("d", "t", "r", -1)) == upload_plan.identity_of(("d", "t", "r", -1))
    assert upload_plan.identity_of(("d", "t", "r", 1)) != upload_plan.identity_of(("d", "t", "r", 11))
    assert upload_plan.identity_of(("d", "tr", "", 1)) != upload_plan.identity_of(("d", "t", "r", 1))


@pytest.mark.parametrize(
    ("source", "folder", "pattern"),
    [
        ("/data/in", "/data/in", "**/*"),
        ("/data/in/*.pdf", "/data/in", "*.pdf"),
        ("/data/[a-c]/**/*.pdf", "/data", "[a-c]/**/*.pdf"),
        ("s3://bucket/*.pdf", "s3://bucket", "*.pdf"),
        ("/*.pdf", "/", "*.pdf"),
        ("in/*.pdf", "in", "*.pdf"),
        ("*.pdf", ".", "*.pdf"),
        ("**/*.pdf", ".", "**/*.pdf"),
        (Path("/data/*.pdf"), "/data", "*.pdf"),
    ],
)
def test_a_glob_begins_at_the_folder_that_it_names(source: str | Path, folder: str, pattern: str):
    assert split_pattern(source, "**/*") == (folder, pattern)


@pytest.mark.parametrize("source", [None, 7, ["in/*.pdf"]])
def test_what_is_no_path_is_left_to_the_storage_which_refuses_it(source: object):
    assert split_pattern(source, "**/*") == (source, "**/*")


def test_a_pattern_beside_a_source_that_is_one_is_named_with_it():
    with pytest.raises(InvalidInputError) as raised:
        split_pattern("/in/*.pdf", "*.csv")
    assert raised.value.argument == "pattern"
    assert str(raised.value) == (
        "pattern: '*.csv' stands beside source='/in/*.pdf', which is a pattern itself; give one"
    )


def test_what_is_to_stay_is_not_gone_from_a_mirror():
    content = [held("a.pdf", "1"), held("b.pdf", "2"), held("c.pdf", "3")]
    assignment = assign(files("a.pdf"), [content], max_files=10, mirror=True, stay=["b.pdf"])
    assert [one.id for one in assignment.gone] == ["3"]
