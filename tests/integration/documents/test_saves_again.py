"""Saves that share a target, are tried again, or are mapped: none takes away what another has."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_llamabatch.documents import manifest
from airflow_provider_llamabatch.exceptions import RequestRefusedError, StorageError
from airflow_provider_llamabatch.execution import recording, saving
from airflow_provider_llamabatch.execution.following import follow_up_directory
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.storage import Storage
from tests.integration.documents.conftest import LATER, fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line
    from tests.integration.documents.nights import Nights

pytestmark = pytest.mark.usefixtures("connection")

CONFIGURATION = "cfg-PARSE_AGENTIC"
LOG: Any = logging.getLogger("test")


@pytest.fixture
def reusing(source: Path, target: Path) -> dict[str, Any]:
    return {
        "source": str(source), "target": str(target), "reuse": True, "configuration_id": CONFIGURATION
    }  # fmt: skip


def test_a_save_of_one_document_over_the_same_target_takes_nothing_from_the_next_night(
    new_line: Callable[[str], Line],
    source: Path,
    target: Path,
    reusing: dict[str, Any],
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
):
    fill(source, {f"{number}.txt": b"document %d" % number for number in range(5)})
    emulator.control.change(file_results={"4.txt": {"error_message": "TIMEOUT: x"}})
    one, extra, two = new_line("one"), new_line("extra"), new_line("two")
    ids = one.upload(**reusing)
    one.process(ids)
    one.save(target, configuration_id=CONFIGURATION)
    emulator.control.change(file_results={})
    failed = [row.directory_file_id or "" for row in rows_of(target).values() if not row.is_saved]
    followed = follow_up_directory(hook, ids[0], failed, "again", LOG, None, None)
    assert followed is not None
    extra.process([followed[0]])
    SaveBatchResultsOperator(
        task_id="save",
        job_references=extra.references,
        source_directory_id=followed[0],
        target=str(target),
        configuration_id=CONFIGURATION,
    ).execute(extra.context("save"))
    assert two.upload(**reusing) == []


def test_each_instance_of_a_mapped_save_has_its_own_records(
    new_context: Any, line: Line, source: Path, target: Path, hook: LlamaBatchHook
):
    fill(source, {"a.txt": b"Number: A-1\n", "b.txt": b"Number: B-2\n"})
    schema = {"type": "object", "properties": {"number": {"type": "string"}}}
    parameters = {"product_type": "extract_v2", "tier": "agentic", "data_schema": schema}
    configuration_id = hook.send(calls.create_configuration(name="invoices", parameters=parameters)).id
    for index, directory_id in enumerate(line.upload(source=str(source), max_files_per_directory=1)):
        line.references = []
        line.process([directory_id], configuration_id, "extract_v2")
        context = new_context("run", "save")
        context["ti"].map_index = index
        SaveBatchResultsOperator(
            task_id="save",
            job_references=line.references,
            source_directory_id=directory_id,
            configuration_id=configuration_id,
            target=str(target),
            outputs=("records", "parquet"),
        ).execute(context)
    files = [
        [json.loads(text)["file"] for text in (target / f"records-{index}.jsonl").read_text().splitlines()]
        for index in (0, 1)
    ]
    assert files == [["a.txt"], ["b.txt"]]
    assert sorted(path.name for path in target.glob("*.parquet")) == [
        "records-0.parquet", "records-1.parquet"
    ]  # fmt: skip


def test_a_mapped_save_keeps_what_its_own_earlier_manifest_tells(
    nights: Nights, new_context: Any, target: Path
):
    for number in (1, 2):
        nights.hook.send(
            calls.upload_directory_file(nights.directory_id, b"%d" % number, display_name="a.txt")
        )
        nights.emulator.control.advance(60)
        nights.night(number)
        context = new_context(f"night-{number}", "save")
        context["ti"].map_index = 0
        SaveBatchResultsOperator(
            task_id="save",
            job_references=nights.contexts[number]["ti"].xcoms["job_references"],
            source_directory_id=nights.directory_id,
            target=str(target),
            keep_earlier=True,
        ).execute(context)
    assert sorted(path.read_text() for path in target.glob("*.md")) == ["1", "2"]
    assert len(manifest.from_lines((target / "manifest-0.jsonl").read_bytes())) == 2


def test_a_job_that_had_not_ended_at_the_first_try_of_a_save_is_asked_for_at_the_next(
    line: Line,
    source: Path,
    target: Path,
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
    no_waiting: None,
):
    fill(source, {"a.txt": b"alpha", "slow.txt": b"slow"})
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=10 * LATER)
    [directory_id] = line.upload(source=str(source), target=str(target))
    line.process([directory_id])
    slow = [
        file.id for file in hook.iterate(calls.list_directory_files(directory_id, display_name="slow.txt"))
    ]
    [other] = [
        one["job_reference"]["id"] for one in line.references if one["source_directory_file_id"] not in slow
    ]
    fault = emulator.control.add_fault(kind="status", status=503, path=f"/api/v2/parse/{other}")
    with pytest.raises(LlamaCloudError):
        line.save(target)
    emulator.control.remove_fault(fault)
    emulator.control.advance(20 * LATER)
    assert line.save(target)["saved"] == 2


def test_what_a_checkpoint_could_not_be_written_of_is_in_the_next_one(
    new_line: Callable[[str], Line],
    source: Path,
    target: Path,
    reusing: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(saving, "ROWS_PER_CHECKPOINT", 5)
    fill(source, {f"{number:02}.txt": b"document %d" % number for number in range(12)})
    one, two = new_line("one"), new_line("two")
    one.process(one.upload(**reusing))
    write, failed = Storage.write, False

    def failing(self: Storage, path: str, content: Any) -> Any:
        nonlocal failed
        if "/saves/" in path and not failed:
            failed = True
            raise StorageError("no space for a moment")
        return write(self, path, content)

    monkeypatch.setattr(Storage, "write", failing)
    with pytest.raises(StorageError, match="no space"):
        one.save(target, configuration_id=CONFIGURATION)
    assert len(two.names_in(two.upload(**reusing))) <= 12 - 5


@pytest.mark.parametrize("keep_earlier", [False, True])
def test_a_save_that_is_told_of_nothing_fails_and_leaves_the_manifest(
    line: Line, source: Path, target: Path, keep_earlier: bool
):
    fill(source, {"a.txt": b"alpha"})
    line.process(line.upload(source=str(source), target=str(target)))
    line.save(target)
    written = (target / "manifest.jsonl").read_bytes()
    save = SaveBatchResultsOperator(
        task_id="save", job_references=None, target=str(target), keep_earlier=keep_earlier
    )
    with pytest.raises(
        RequestRefusedError, match=r"job_references: must be .* not None \(nothing: what the task"
    ):
        save.execute(line.context("save"))
    assert (target / "manifest.jsonl").read_bytes() == written


def test_parquet_without_its_package_is_refused_before_anything_is_sent(
    line: Line, source: Path, emulator: LlamaCloudEmulator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recording, "find_spec", lambda _name: None)
    fill(source, {"a.txt": b"alpha"})
    with pytest.raises(RequestRefusedError, match="outputs: parquet needs pyarrow"):
        line.upload(source=str(source), outputs=("records", "parquet"))
    assert emulator.control.requests() == []
