"""Files of the source that cannot be read or sent hold up none of the others, and are named."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.exceptions import StorageError
from airflow_provider_llamabatch.execution.uploading import Uploader
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import UnavailableError
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.documents.upload_plan import SourceFile
    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection", "no_waiting")


@pytest.fixture
def after_listing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Return a function that has something done between the listing of the source and its reading."""

    def do(what: Callable[[], Any]) -> None:
        report = UploadDirectoryOperator._report

        def reported(self: UploadDirectoryOperator, *found: Any) -> None:
            report(self, *found)
            what()

        monkeypatch.setattr(UploadDirectoryOperator, "_report", reported)

    return do


def skipped(
    line: Line, source: Path, target: Path, *, status: str = "SKIPPED", **arguments: Any
) -> dict[str, str]:
    """Run the line; return the files that were left out and why, after a look at the others."""
    line.process(line.upload(source=str(source), target=str(target), **arguments))
    line.save(target)
    rows = rows_of(target).values()
    assert [row.file for row in rows if row.status == "COMPLETED"] == ["a.txt", "sub/b.txt"]
    return {row.file: row.error or "" for row in rows if row.status == status}


def test_a_file_that_is_gone_since_the_listing_is_left_out(
    line: Line, source: Path, target: Path, after_listing: Callable[[Any], None]
):
    fill(source, {"a.txt": b"alpha", "gone.txt": b"gone", "sub/b.txt": b"beta"})
    after_listing((source / "gone.txt").unlink)

    assert "gone since the folder was listed" in skipped(line, source, target)["gone.txt"]


def test_a_large_file_that_is_gone_since_the_listing_is_left_out(
    line: Line, source: Path, target: Path, after_listing: Callable[[Any], None]
):
    fill(source, {"a.txt": b"alpha", "gone.txt": b"x" * 5_000_000, "sub/b.txt": b"beta"})
    after_listing((source / "gone.txt").unlink)

    assert "gone since the folder was listed" in skipped(line, source, target)["gone.txt"]


def test_an_object_that_is_gone_since_the_listing_is_left_out(
    line: Line, target: Path, s3, after_listing: Callable[[Any], None]
):
    for name in ("a.txt", "gone.txt", "sub/b.txt"):
        s3.put_object(Bucket="documents", Key=f"in/{name}", Body=name.encode())
    after_listing(lambda: s3.delete_object(Bucket="documents", Key="in/gone.txt"))
    ids = line.upload(source="s3://documents/in", source_conn_id="storage", target=str(target))

    assert line.names_in(ids) == ["a.txt", "sub/b.txt"]


def test_an_object_that_was_replaced_since_the_listing_is_left_to_the_next_run(
    line: Line, target: Path, s3, after_listing: Callable[[Any], None]
):
    for name in ("a.txt", "busy.txt", "sub/b.txt"):
        s3.put_object(Bucket="documents", Key=f"in/{name}", Body=name.encode())
    after_listing(lambda: s3.put_object(Bucket="documents", Key="in/busy.txt", Body=b"other content"))
    ids = line.upload(source="s3://documents/in", source_conn_id="storage", target=str(target))

    assert line.names_in(ids) == ["a.txt", "sub/b.txt"]


def test_a_file_that_was_reused_and_is_gone_since_the_listing_is_left_out(
    new_line: Callable[[str], Line], source: Path, target: Path, after_listing: Callable[[Any], None]
):
    fill(source, {"a.txt": b"alpha", "gone.txt": b"gone", "sub/b.txt": b"beta"})
    monday, tuesday = new_line("monday"), new_line("tuesday")
    monday.process(monday.upload(source=str(source), target=str(target)))
    monday.save(target, configuration_id="cfg-PARSE_AGENTIC")
    after_listing((source / "gone.txt").unlink)

    reusing: dict[str, Any] = {"reuse": True, "configuration_id": "cfg-PARSE_AGENTIC", "max_pages": 5}
    assert "gone since" in skipped(tuesday, source, target, **reusing)["gone.txt"]


def test_a_source_of_which_nothing_can_be_read_is_no_empty_one(
    line: Line, source: Path, after_listing: Callable[[Any], None]
):
    fill(source, {"a.txt": b"alpha", "b.txt": b"beta"})
    after_listing(lambda: source.rename(source.with_name("elsewhere")))

    with pytest.raises(StorageError, match="in is gone since it was listed"):
        line.upload(source=str(source))


def test_links_and_what_is_no_file_are_named_and_not_followed(line: Line, source: Path, target: Path):
    fill(source, {"a.txt": b"alpha", "sub/b.txt": b"beta"})
    (source / "link.txt").symlink_to(source / "a.txt")
    (source / "broken.txt").symlink_to("nowhere")
    (source / "loop").symlink_to(source)
    os.mkfifo(source / "pipe.txt")

    reasons = skipped(line, source, target)
    assert reasons.keys() == {"link.txt", "broken.txt", "loop", "pipe.txt"}
    assert all("link" in reasons[name] for name in ("link.txt", "broken.txt", "loop"))
    assert "neither a file" in reasons["pipe.txt"]


def test_a_link_that_the_pattern_leaves_out_is_not_spoken_of(line: Line, source: Path, target: Path):
    fill(source, {"a.txt": b"alpha", "sub/b.txt": b"beta"})
    (source / "loop").symlink_to(source)

    assert skipped(line, source, target, pattern="**/*.txt") == {}


@pytest.fixture
def locked(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that the worker may not list (the tests may run as root, who may list any)."""
    fill(source, {"a.txt": b"alpha", "sub/b.txt": b"beta", "locked/c.txt": b"gamma"})
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("/locked"):  # a number where somebody else removes a folder
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


@pytest.mark.usefixtures("locked")
def test_a_folder_that_may_not_be_listed_is_named_whatever_the_pattern(
    line: Line, source: Path, target: Path
):
    assert "may not be listed" in skipped(line, source, target, pattern="**/*.txt")["locked/"]


@pytest.mark.usefixtures("locked")
def test_a_mirror_removes_nothing_for_a_folder_that_may_not_be_listed(
    line: Line, source: Path, make_directory: Callable[..., str], hook: Any
):
    directory_id = make_directory(0)
    with pytest.raises(StorageError, match="may not be listed"):
        line.upload(source=str(source), directory_id=directory_id, changed_only=True, mirror=True)


@pytest.fixture
def bad_file(source: Path, emulator: LlamaCloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each response to its upload is lost, and what the requests made is not seen before the upload is over."""
    fill(source, {"a.txt": b"alpha", "bad.txt": b"bad", "sub/b.txt": b"beta"})
    bring = Uploader._bring

    async def brought(self: Uploader, file: SourceFile, directory_id: str) -> Row:
        if file.path != "bad.txt":
            return await bring(self, file, directory_id)
        lost = {"kind": "drop_after", "method": "POST", "path": "/files/upload$"}
        faults = [
            emulator.control.add_fault(**lost),
            emulator.control.add_fault(kind="status", status=503, method="GET", path="/files$"),
        ]
        try:
            return await bring(self, file, directory_id)
        finally:
            for fault in faults:
                emulator.control.remove_fault(fault)

    monkeypatch.setattr(Uploader, "_bring", brought)


@pytest.mark.usefixtures("bad_file")
def test_a_file_that_the_service_fails_over_is_a_failed_document_after_the_last_try(
    line: Line, source: Path, target: Path
):
    line.context("upload")["ti"].max_tries = 0
    assert "503" in skipped(line, source, target, status="NO_JOB", max_concurrency=1)["bad.txt"]
    assert line.context("save")["ti"].xcoms["summary"]["failed"] == 1


@pytest.mark.parametrize("trouble", ["gone", "a folder", "refused"])
def test_a_file_that_an_earlier_try_sent_keeps_its_name_where_it_cannot_be_sent_anew(
    line: Line,
    source: Path,
    target: Path,
    emulator: LlamaCloudEmulator,
    after_listing: Callable[[Any], None],
    trouble: str,
):
    def become_a_folder() -> None:
        (source / "bad.txt").unlink()
        (source / "bad.txt").mkdir()

    fill(source, {"a.txt": b"alpha", "bad.txt": b"first", "sub/b.txt": b"beta"})
    line.upload(source=str(source), target=str(target))  # and dies before it can say so
    fill(source, {"bad.txt": b"second"})
    if trouble == "refused":
        emulator.control.add_fault(kind="status", status=415, method="POST", path="/files/upload$")
    elif trouble == "gone":
        after_listing((source / "bad.txt").unlink)
    else:
        after_listing(become_a_folder)
    line.process(line.upload(source=str(source), target=str(target)))
    summary = line.save(target)

    assert {row.file: row.status for row in rows_of(target).values()} == dict.fromkeys(
        ("a.txt", "bad.txt", "sub/b.txt"), "COMPLETED"
    )
    assert (target / "bad.txt.md").read_text() == "first"
    assert rows_of(target)["bad.txt"].source_sha256 == hashlib.sha256(b"first").hexdigest()
    assert (summary["saved"], summary["skipped"]) == (3, 0)


@pytest.mark.usefixtures("bad_file")
def test_a_file_that_the_service_fails_over_is_asked_for_again_once_the_others_are_there(
    line: Line, source: Path, target: Path, hook: Any
):
    with pytest.raises(UnavailableError):
        line.upload(source=str(source), target=str(target), max_concurrency=1)
    directories = hook.send(calls.list_directories()).items
    assert {"a.txt", "sub/b.txt"} <= set(line.names_in([one.id for one in directories]))


def test_a_service_that_takes_nothing_ends_the_upload(line: Line, source: Path, emulator: LlamaCloudEmulator):
    fill(source, {f"{number}.txt": b"%d" % number for number in range(40)})
    emulator.control.add_fault(kind="status", status=500, method="POST", path="/files/upload$")
    before = len(emulator.control.requests())

    with pytest.raises(UnavailableError):
        line.upload(source=str(source), max_concurrency=2)
    assert len(emulator.control.requests()) - before < 60
