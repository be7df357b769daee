"""A result counts by its path below the target, however the target is written and wherever it was moved."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.documents.manifest import NO_RESULT, Row, to_lines
from airflow_provider_llamabatch.documents.result_plan import KEPT, MANIFEST
from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.execution.reusing import as_before, keep_results
from airflow_provider_llamabatch.execution.saving import rows_at
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.loaders import documents_from_manifest
from airflow_provider_llamabatch.storage import Storage
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")

CONFIGURATION = "cfg-PARSE_AGENTIC"
DOCUMENTS = {"a.txt": b"alpha", "sub/a.txt": b"beta", "sub/#1?.txt": b"gamma"}


@pytest.fixture
def processed(new_line: Callable[[str], Line], source: Path, target: Path) -> Path:
    """A target with the results of a first night."""
    fill(source, DOCUMENTS)
    process(new_line("first"), source, target)
    return target


def process(line: Line, source: Path, target: Any) -> dict[str, Any]:
    arguments = {"target": str(target), "reuse": True, "configuration_id": CONFIGURATION, "outputs": OUTPUTS}
    line.process(line.upload(source=str(source), **arguments))
    return line.save(target, configuration_id=CONFIGURATION, outputs=OUTPUTS)


OUTPUTS = ("markdown", "text")


@pytest.mark.parametrize("spelled", ["file://{target}", "../{name}", "{target}/", "{target}/../{name}"])
def test_results_are_reused_however_the_target_is_written(
    new_line: Callable[[str], Line], source: Path, processed: Path, monkeypatch, spelled: str
):
    monkeypatch.chdir(source)
    written = spelled.format(target=processed, name=processed.name)

    assert process(new_line("second"), source, written)["reused"] == len(DOCUMENTS)
    assert process(new_line("third"), source, processed)["reused"] == len(DOCUMENTS)
    assert {row.path for row in rows_of(processed).values()} == {
        f"{processed}/a.txt.md",
        f"{processed}/sub/a.txt.md",
        f"{processed}/sub/_1_.txt.md",
    }


@pytest.mark.parametrize("how", ["moved", "copied", "linked"])
def test_results_are_reused_from_a_folder_that_was_moved_copied_or_linked(
    new_line: Callable[[str], Line], source: Path, processed: Path, tmp_path: Path, how: str
):
    elsewhere = tmp_path / "else" / "where"
    elsewhere.parent.mkdir()
    if how == "moved":
        processed.rename(elsewhere)
    elif how == "copied":
        shutil.copytree(processed, elsewhere)
    else:
        elsewhere.symlink_to(processed)
    texts = [document["text"] for document in documents_from_manifest(f"{elsewhere}/manifest.jsonl")]
    assert sorted(texts) == ["alpha", "beta", "gamma"]

    assert process(new_line("second"), source, elsewhere)["reused"] == len(DOCUMENTS)
    assert rows_of(elsewhere)["a.txt"].path == f"{elsewhere}/a.txt.md"
    assert rows_of(elsewhere)["a.txt"].other_outputs["text"]["path"] == f"{elsewhere}/a.txt.txt"


def test_a_file_like_a_result_is_none_where_the_manifest_means_another(
    new_line: Callable[[str], Line], source: Path, processed: Path, tmp_path: Path
):
    """A manifest that was copied alone, beside files of the same names and sizes."""
    other = tmp_path / "other"
    shutil.copytree(processed, other)
    (other / "a.txt.md").write_bytes(b"ALPHA")

    assert process(new_line("second"), source, other)["reused"] == len(DOCUMENTS) - 1


def test_results_on_s3_are_reused_from_a_prefix_that_was_copied(
    new_line: Callable[[str], Line], source: Path, s3
):
    fill(source, DOCUMENTS)
    where = {"target_conn_id": "storage", "configuration_id": CONFIGURATION}
    monday, tuesday = new_line("monday"), new_line("tuesday")
    monday.process(monday.upload(source=str(source), target="s3://documents/out", reuse=True, **where))
    monday.save("s3://documents/out", **where)
    for entry in s3.list_objects_v2(Bucket="documents")["Contents"]:
        key = entry["Key"].replace("out/", "moved/", 1)
        s3.copy_object(Bucket="documents", Key=key, CopySource={"Bucket": "documents", "Key": entry["Key"]})

    target = "s3://storage@documents/moved"
    arguments = {"source": str(source), "target": target, "configuration_id": CONFIGURATION}
    assert tuesday.upload(**arguments, reuse=True) == []


def test_a_manifest_that_somebody_has_spoiled_is_named_before_anything_is_sent(
    new_line: Callable[[str], Line], source: Path, processed: Path
):
    manifest = processed / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes().replace(b'"pages":1', b'"pages":"one"', 1))

    with pytest.raises(RequestRefusedError, match=r"out/manifest\.jsonl: line 1 .* pages is 'one'; correct"):
        process(new_line("second"), source, processed)
    with pytest.raises(InvalidInputError, match="line 1"):
        list(documents_from_manifest(str(manifest)))


def test_what_a_save_that_was_given_up_tells_of_a_result_holds_only_while_that_result_is_there(
    new_line: Callable[[str], Line], source: Path, processed: Path
):
    given_up = processed / ".llamabatch" / "saves" / "given-up"
    given_up.mkdir(parents=True)
    shutil.copy(processed / "manifest.jsonl", given_up / "000000.jsonl")
    for night, content in (
        ("second", b"delta"),
        ("third", b"alpha"),
    ):  # of one size, and the first comes back
        fill(source, {"a.txt": content})
        assert process(new_line(night), source, processed)["saved"] == 1
        assert (processed / "a.txt.md").read_bytes() == content
    assert process(new_line("fourth"), source, processed)["reused"] == len(DOCUMENTS)


def test_results_below_a_folder_that_was_moved_and_linked_are_reused(
    new_line: Callable[[str], Line], source: Path, processed: Path, tmp_path: Path
):
    (processed / "sub").rename(tmp_path / "elsewhere")
    (processed / "sub").symlink_to(tmp_path / "elsewhere")

    assert process(new_line("second"), source, processed)["reused"] == len(DOCUMENTS)


def test_a_configuration_that_is_changed_while_its_batch_runs_has_made_no_result_yet(
    new_line: Callable[[str], Line], source: Path, target: Path, hook: Any
):
    fill(source, DOCUMENTS)
    parameters: dict[str, Any] = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
    configuration = hook.send(calls.create_configuration(name="mine", parameters=parameters))
    using = {"target": str(target), "reuse": True, "configuration_id": configuration.id}
    first, second = new_line("first"), new_line("second")
    first.process(first.upload(source=str(source), **using), configuration.id)
    change = calls.get_configuration(configuration.id)
    body = {"parameters": {**parameters, "tier": "agentic"}}
    changed = hook.send(replace(change, method="PUT", body=body))
    first.save(target, configuration_id=configuration.id)

    assert {row.configuration for row in rows_of(target).values()} == {
        f"{configuration.id}@{configuration.version}"
    }
    assert changed.version != configuration.version
    second.upload(source=str(source), **using)
    assert second.context("upload")["ti"].xcoms["upload"]["reused"] == 0


@pytest.mark.parametrize("how", ["linked", "deleted"])
def test_a_document_that_is_missing_for_some_nights_is_not_paid_for_again(
    new_line: Callable[[str], Line], source: Path, processed: Path, tmp_path: Path, how: str
):
    (source / "a.txt").rename(tmp_path / "a.txt")
    if how == "linked":
        (source / "a.txt").symlink_to(tmp_path / "a.txt")
    for night in ("second", "third"):
        process(new_line(night), source, processed)
        row = rows_of(processed).get("a.txt")
        assert (row and row.status) == ("SKIPPED" if how == "linked" else None)
    (source / "a.txt").unlink(missing_ok=True)
    (tmp_path / "a.txt").rename(source / "a.txt")

    assert process(new_line("fourth"), source, processed)["reused"] == len(DOCUMENTS)
    assert rows_of(processed)["a.txt"].path == f"{processed}/a.txt.md"
    fill(source, {"a.txt": b"omega"})
    assert process(new_line("fifth"), source, processed)["saved"] == 1
    fill(source, {"a.txt": b"alpha"})
    assert process(new_line("sixth"), source, processed)["saved"] == 1
    assert (processed / "a.txt.md").read_text() == "alpha"


def test_a_manifest_in_the_working_directory_is_found_and_a_result_that_is_gone_is_no_empty_text(
    processed: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(processed)
    assert len(list(documents_from_manifest("manifest.jsonl"))) == len(DOCUMENTS)
    (processed / "a.txt.md").unlink()
    with pytest.raises(InvalidInputError, match=r"manifest: .*manifest\.jsonl.*a\.txt\.md"):
        list(documents_from_manifest("manifest.jsonl"))


def test_an_inbox_with_other_documents_every_night_has_a_bounded_memory_of_them(tmp_path: Path):
    target = Storage(str(tmp_path))

    def night(number: int, files: int) -> list[Row]:
        names = (f"{number}/{file}.txt" for file in range(files))
        return [Row(name, "COMPLETED", path=f"{tmp_path}/{name}.md", source_sha256="a") for name in names]

    for number in range(4):
        rows = night(number, 4_000)
        keep_results(target, rows)
        target.write(MANIFEST, to_lines(rows))
    keep_results(target, night(4, 1))
    kept = rows_at(target, [KEPT])
    assert len(kept) == 10_000
    assert {row.file for row in night(3, 4_000)} <= {row.file for row in kept}


def test_a_row_that_points_elsewhere_is_no_result_of_a_job_whose_own_cannot_be_had(tmp_path: Path):
    target = Storage(str(tmp_path))
    target.write(MANIFEST, to_lines([Row("a.txt", "COMPLETED", job_id="pjb-1", path="/elsewhere/b.md")]))
    lacking = Row("a.txt", NO_RESULT, job_id="pjb-1")
    assert as_before(target, [lacking], MANIFEST) == [lacking]
