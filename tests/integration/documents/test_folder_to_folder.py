from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_llamabatch.exceptions import (
    DocumentsRefusedError,
    RequestRefusedError,
    ResultsMissingError,
    StorageError,
)
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.loaders import documents_from_manifest
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.storage import Storage
from tests.integration.documents.conftest import fill, rows_of
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")


def test_a_folder_of_documents_becomes_a_folder_of_markdown(line: Line, source: Path, target: Path):
    fill(source, {"a.txt": b"alpha", "sub/b c.md": b"# beta", "sub/a.txt": "ünï".encode()})
    ids = line.upload(source=str(source), target=str(target))
    line.process(ids)
    summary = line.save(target)

    assert (target / "a.txt.md").read_text() == "alpha"
    assert (target / "sub/b c.md.md").read_text() == "# beta"
    assert (target / "sub/a.txt.md").read_text() == "ünï"
    assert summary["manifest"] == f"{target}/manifest.jsonl"
    assert (summary["saved"], summary["failed"]) == (3, 0)
    rows = rows_of(target)
    assert {name: (row.status, row.path, row.bytes, row.pages) for name, row in rows.items()} == {
        "a.txt": ("COMPLETED", f"{target}/a.txt.md", 5, 1),
        "sub/b c.md": ("COMPLETED", f"{target}/sub/b c.md.md", 6, 1),
        "sub/a.txt": ("COMPLETED", f"{target}/sub/a.txt.md", 5, 1),
    }
    assert summary["credits"] == sum(row.credits for row in rows.values()) == 30
    assert all(row.directory_id == ids[0] for row in rows.values())


def test_what_cannot_be_read_is_named_and_everything_else_is_done(line: Line, source: Path, target: Path):
    fill(source, {"good.txt": b"good", "broken.pdf": b"%PDF-nonsense", "empty.txt": b"", "tool.exe": b"MZ"})
    line.process(line.upload(source=str(source), target=str(target)))
    summary = line.save(target)

    rows = rows_of(target)
    assert {name: row.status for name, row in rows.items()} == {
        "good.txt": "COMPLETED",
        "broken.pdf": "FAILED",
        "empty.txt": "SKIPPED",
        "tool.exe": "SKIPPED",
    }
    assert "PDF_IS_BROKEN" in rows["broken.pdf"].error
    assert "empty" in rows["empty.txt"].error
    assert ".exe" in rows["tool.exe"].error
    assert (summary["saved"], summary["failed"], summary["skipped"]) == (1, 1, 2)


def test_a_folder_that_was_done_already_sends_and_pays_nothing(
    new_line: Callable[[str], Line], source: Path, target: Path, emulator
):
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta", "broken.pdf": b"%PDF-nonsense", "empty.txt": b""})
    arguments = {
        "source": str(source),
        "target": str(target),
        "reuse": True,
        "configuration_id": "cfg-PARSE_AGENTIC",
    }
    monday = new_line("monday")
    monday.process(monday.upload(**arguments))
    monday.save(target, configuration_id="cfg-PARSE_AGENTIC")
    before = rows_of(target)

    tuesday = new_line("tuesday")
    assert tuesday.upload(**arguments) == []
    summary = tuesday.save(target, configuration_id="cfg-PARSE_AGENTIC")
    assert (summary["saved"], summary["reused"], summary["failed_before"], summary["credits"]) == (
        0,
        2,
        1,
        None,
    )
    after = rows_of(target)
    assert {name: (row.status, row.path) for name, row in after.items()} == {
        name: (row.status, row.path) for name, row in before.items()
    }

    fill(source, {"a.txt": b"alpha, changed", "c.txt": b"gamma"})
    (target / "b.txt.md").unlink()  # a result that somebody deleted is made again
    wednesday = new_line("wednesday")
    ids = wednesday.upload(**arguments)
    assert wednesday.names_in(ids) == ["a.txt", "b.txt", "c.txt"]
    wednesday.process(ids)
    wednesday.save(target, configuration_id="cfg-PARSE_AGENTIC")
    assert (target / "a.txt.md").read_text() == "alpha, changed"
    assert {name: row.reused for name, row in rows_of(target).items()} == {
        "a.txt": False,
        "b.txt": False,
        "c.txt": False,
        "broken.pdf": True,
        "empty.txt": False,
    }


def test_more_files_than_a_directory_takes_become_several(line: Line, source: Path, target: Path):
    fill(source, {f"{number:02}.txt": b"x%d" % number for number in range(7)})
    ids = line.upload(source=str(source), target=str(target), max_files_per_directory=3)
    assert len(ids) == 3
    line.process(ids)
    assert line.save(target)["saved"] == 7
    assert len(list(target.glob("*.md"))) == 7


def test_names_that_lead_elsewhere_or_meet_are_told_apart(line: Line, s3, target: Path):
    names = [
        "../up.txt",
        "a/../../b.txt",
        "Report.txt",
        "report.txt",
        "x" * 300 + ".txt",
        "#1?.txt",
        "ü n.txt",
    ]
    for name in names:
        s3.put_object(Bucket="documents", Key=f"in/{name}", Body=name.encode())
    line.process(line.upload(source="s3://documents/in", source_conn_id="storage", target=str(target)))
    line.save(target)
    rows = rows_of(target)
    assert set(rows) == set(names)
    assert len({row.path.casefold() for row in rows.values()}) == len(names)
    for name, row in rows.items():
        assert (target / row.path).resolve().is_relative_to(target.resolve())
        assert (target / row.path).read_bytes() == name.encode()


def test_results_go_to_s3(line: Line, source: Path, s3):
    fill(source, {"a.txt": b"alpha", "big.txt": b"0123456789" * 700_000})
    target = "s3://documents/out"
    line.process(line.upload(source=str(source), target=target, target_conn_id="storage"))
    summary = line.save(target, target_conn_id="storage")
    assert summary["saved"] == 2
    body = s3.get_object(Bucket="documents", Key="out/big.txt.md")["Body"].read()
    assert body == b"0123456789" * 700_000
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket="documents")["Contents"]}
    assert {key for key in keys if "/.llamabatch/" not in key} == {
        "out/a.txt.md",
        "out/big.txt.md",
        "out/manifest.jsonl",
    }


@pytest.mark.parametrize("scheme", ["gs", "abfs"])
def test_any_scheme_of_airflows_object_storage_is_read_and_written_through_its_file_system(
    line: Line, attach_bucket: Callable[[str], Path], scheme: str
):
    bucket = attach_bucket(scheme)
    fill(bucket / "in", {"a.txt": b"alpha", "north/b c.txt": b"beta", "big.txt": b"0123456789" * 700_000})
    source, target = f"{scheme}://documents/in", f"{scheme}://documents/out"
    arguments = {"source_conn_id": "storage", "target_conn_id": "storage"}
    line.process(line.upload(source=source, target=target, **arguments))
    assert line.save(target, target_conn_id="storage")["saved"] == 3
    rows = rows_of(bucket / "out")
    assert {file: row.path for file, row in rows.items()} == {
        file: f"{target}/{file}.md" for file in ("a.txt", "north/b c.txt", "big.txt")
    }
    for file in rows:
        assert (bucket / "out" / f"{file}.md").read_bytes() == (bucket / "in" / file).read_bytes()


def test_failed_pages_of_a_large_result_are_counted(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator
):
    pages = ["first " * 300_000, "second", "third " * 300_000]
    large = {"markdown": "\f".join(pages), "failed_pages": (2,)}
    emulator.control.change(file_results={"large*": large}, allowed_page_failure_ratio=1)
    fill(source, {"large.txt": b"x"})
    line.process(line.upload(source=str(source), target=str(target)))
    line.save(target)
    row = rows_of(target)["large.txt"]
    assert (row.status, row.pages, row.pages_failed) == ("COMPLETED", 3, 1)
    assert row.bytes is not None
    assert row.bytes > 3_000_000


def test_a_large_file_is_streamed_and_arrives_whole(line: Line, source: Path, target: Path):
    content = bytes(range(32, 127)) * 100_000
    fill(source, {"large.txt": content})
    line.process(line.upload(source=str(source), target=str(target)))
    line.save(target)
    assert (target / "large.txt.md").read_bytes() == content


def test_a_configuration_that_does_not_exist_is_found_before_anything_is_sent(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator
):
    fill(source, {"a.txt": b"alpha"})
    with pytest.raises(RequestRefusedError, match="cfg-nope"):
        line.upload(source=str(source), target=str(target), configuration_id="cfg-nope", reuse=True)

    assert emulator.control.counters()["requests_by_route"].keys() == {
        "GET /api/v1/beta/configurations/{config_id}"
    }


def test_outputs_that_no_job_has_are_refused_and_not_silently_nothing(line: Line, source: Path, target: Path):
    fill(source, {"a.txt": b"alpha"})
    line.process(line.upload(source=str(source), target=str(target)))

    with pytest.raises(RequestRefusedError, match=r"outputs: must be some of markdown, text, items, not"):
        line.save(target, outputs=("records", "parquet"))
    assert line.save(target, outputs=("text",))["saved"] == 1


@pytest.mark.parametrize(
    ("use", "place", "done"),
    [
        (lambda storage: storage.files("**/*"), "", "listed"),
        (lambda storage: storage.exists(), "", "looked at"),
        (lambda storage: storage.read_bytes("a.txt"), "a.txt", "read"),
        (lambda storage: storage.size_of("a.txt"), "a.txt", "looked at"),
        (lambda storage: storage.write("a.txt", [b"alpha"]), "a.txt", "written"),
        (lambda storage: storage.delete("a.txt"), "a.txt", "deleted"),
        (lambda storage: storage.names_in("saves"), "saves", "listed"),
    ],
)
def test_a_storage_that_nobody_answers_for_is_named_whatever_it_is_asked(
    use: Callable[[Storage], Any], place: str, done: str, monkeypatch: pytest.MonkeyPatch
):
    extra = {
        "endpoint_url": f"http://127.0.0.1:{free_port()}",
        "region_name": "us-east-1",
        "config_kwargs": {"retries": {"total_max_attempts": 1}},
    }
    connection = {"conn_type": "aws", "login": "moto-key", "password": "moto-secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", json.dumps(connection))

    with pytest.raises(
        StorageError, match=f"^s3://documents/in/{place} could not be {done}: Could not connect"
    ):
        use(Storage("s3://documents/in", "nowhere"))


def test_a_storage_that_cannot_be_opened_is_named(monkeypatch: pytest.MonkeyPatch):
    connection = {"conn_type": "aws", "extra": {"profile_name": "nope"}}
    monkeypatch.setenv("AIRFLOW_CONN_WITHOUT_PROFILE", json.dumps(connection))

    with pytest.raises(StorageError, match=r"^s3://documents/in/ could not be opened: .*profile \(nope\)"):
        Storage("s3://documents/in", "without_profile")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), RuntimeError("no such right")])
def test_a_save_succeeds_on_a_storage_that_lets_no_file_be_deleted(
    line: Line, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    fill(source, {"a.txt": b"alpha"})
    line.process(line.upload(source=str(source), target=str(target)))

    def refuse(_self: object, _path: str) -> None:
        raise error

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.rm_file", refuse)

    assert line.save(target)["saved"] == 1


@pytest.mark.parametrize("pattern", ["", "*.txt"])
def test_source_and_target_may_be_paths(line: Line, source: Path, target: Path, pattern: str):
    fill(source, {"a.txt": b"alpha"})
    line.process(line.upload(source=source / pattern, target=target))
    assert line.save(target)["saved"] == 1
    save = SaveBatchResultsOperator(task_id="save", job_references=line.references, target=target)
    assert save.execute(line.context("again"))["saved"] == 1
    [document] = documents_from_manifest(target / "manifest.jsonl")
    assert document["text"] == "alpha"


def test_what_is_no_source_is_named(line: Line, source: Path):
    with pytest.raises(RequestRefusedError, match=r"^source: must be a path or a URL, not None"):
        line.upload(source=None)
    with pytest.raises(RequestRefusedError, match=r"^pattern: is empty, or no text: None"):
        line.upload(source=str(source), pattern=None)


@pytest.mark.parametrize("given", [["dir-1", "dir-2"], "dir-1", {"directories": 1}])
def test_what_is_no_xcom_of_an_upload_is_named(line: Line, target: Path, given: Any):
    save = SaveBatchResultsOperator(task_id="save", job_references=[], target=str(target), upload=given)

    with pytest.raises(RequestRefusedError, match=r"^upload: must be XCom 'upload' of .*, not ") as raised:
        save.execute(line.context("save"))
    assert repr(given) in str(raised.value)


def test_what_are_no_file_errors_is_named(line: Line, target: Path):
    save = SaveBatchResultsOperator(
        task_id="save", job_references=[], target=str(target), file_errors=["dfl-1"]
    )

    with pytest.raises(
        RequestRefusedError, match=r"^file_errors: must be the list in XCom file_errors .*'dfl-1'"
    ):
        save.execute(line.context("save"))


def test_an_id_in_a_list_of_directories_is_named_by_the_argument_that_holds_it(line: Line, target: Path):
    with pytest.raises(
        RequestRefusedError, match=r"^source_directory_id: must be the id of a directory, not of a"
    ):
        line.save(target, source_directory_id=["bat-1"])


def test_an_empty_folder_does_what_was_asked_for(line: Line, source: Path):
    with pytest.raises(AirflowSkipException):
        line.upload(source=str(source))
    with pytest.raises(DocumentsRefusedError, match="if_empty"):
        line.upload(source=str(source), if_empty="fail")
    assert line.upload(source=str(source), if_empty="succeed") == []


def test_a_pattern_that_turns_out_empty_is_an_error(
    line: Line, source: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(source, {"a.txt": b"1"})
    upload = UploadDirectoryOperator(task_id="upload", source=str(source), if_empty="succeed")
    monkeypatch.setattr(upload, "pattern", "")  # what a template has become

    with pytest.raises(RequestRefusedError, match="pattern: is empty"):
        upload.execute(line.context("upload"))


def test_a_surprise_is_refused_before_anything_is_sent(line: Line, source: Path, hook):
    fill(source, {"a.txt": b"a", "b.txt": b"b", "c.exe": b"c"})
    with pytest.raises(DocumentsRefusedError, match="max_files=1"):
        line.upload(source=str(source), max_files=1)
    with pytest.raises(DocumentsRefusedError, match=r"c\.exe"):
        line.upload(source=str(source), on_unsupported="fail")
    assert list(hook.iterate(calls.list_directories())) == []


def test_documents_that_no_batch_took_make_the_save_fail_after_it_has_saved_the_others(
    line: Line, source: Path, target: Path
):
    fill(source, {"a.txt": b"a", "b.txt": b"b"})
    first, _ = line.upload(source=str(source), target=str(target), max_files_per_directory=1)
    line.process([first])
    with pytest.raises(ResultsMissingError, match="1 of 2"):
        line.save(target)
    assert {name: row.status for name, row in rows_of(target).items()} == {
        "a.txt": "COMPLETED",
        "b.txt": "NO_JOB",
    }
    assert line.contexts["save"]["ti"].xcoms["summary"]["saved"] == 1


def test_results_are_handed_on_as_texts_with_metadata(line: Line, source: Path, target: Path):
    fill(source, {"a.txt": b"alpha", "broken.pdf": b"%PDF-nonsense"})
    line.process(line.upload(source=str(source), target=str(target)))
    manifest = line.save(target)["manifest"]
    [document] = documents_from_manifest(manifest)
    assert document["text"] == "alpha"
    assert document["metadata"]["file"] == "a.txt"
    assert document["metadata"]["path"] == f"{target}/a.txt.md"


def test_objects_whose_keys_have_slashes_too_many_are_documents_too(line: Line, target: Path, s3):
    keys = ["a.txt", "/a.txt", "//a.txt", "sub//a.txt", "sub/a.txt"]
    for key in keys:
        s3.put_object(Bucket="documents", Key=f"in/{key}", Body=key.encode())
    line.process(
        line.upload(
            source="s3://documents/in", source_conn_id="storage", pattern="**/*.txt", target=str(target)
        )
    )
    line.save(target)

    rows = rows_of(target)
    assert {row.file: (target / row.places[0]).read_text() for row in rows.values()} == {
        key: key for key in keys
    }
