from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")

SCHEMA = {
    "type": "object",
    "properties": {
        "invoice_number": {"type": "string"},
        "total": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "positions": {"type": "integer"},
    },
}
FILED = {"type": "object", "properties": {"file": {"type": "string"}}}


@pytest.fixture
def configuration_id(hook: LlamaBatchHook) -> str:
    parameters: dict[str, Any] = {"product_type": "extract_v2", "tier": "agentic", "data_schema": SCHEMA}
    return hook.send(calls.create_configuration(name="invoices", parameters=parameters)).id


def test_documents_of_which_the_service_is_not_sure_are_named_the_worst_first(
    line: Line, source: Path, target: Path, hook: LlamaBatchHook, emulator: LlamaCloudEmulator
):
    fill(
        source, {name: f"Invoice number: {name}\n".encode() for name in ("a.txt", "b.txt", "c.txt", "d.txt")}
    )
    emulator.control.change(file_results={"b*": {"confidence": 0.6}, "c*": {"confidence": 0.4}})
    parameters = {"product_type": "extract_v2", "data_schema": SCHEMA, "confidence_scores": True}
    configuration_id = hook.send(calls.create_configuration(name="scored", parameters=parameters)).id
    line.process(line.upload(source=str(source), target=str(target)), configuration_id, "extract_v2")
    summary = line.save(target, min_confidence=0.9)

    assert (summary["saved"], summary["doubtful"]) == (4, 2)
    listed = line.contexts["save"]["ti"].xcoms["doubtful"]
    assert [(one["file"], one["confidence"]) for one in listed] == [("c.txt", 0.4), ("b.txt", 0.6)]
    assert {file: row.confidence for file, row in rows_of(target).items()} == {
        "a.txt": 1.0,
        "b.txt": 0.6,
        "c.txt": 0.4,
        "d.txt": 1.0,
    }


def test_without_scores_nothing_is_doubtful(line: Line, source: Path, target: Path, configuration_id: str):
    fill(source, {"a.txt": b"Invoice number: A-1\n"})
    line.process(line.upload(source=str(source), target=str(target)), configuration_id, "extract_v2")
    assert line.save(target, min_confidence=0.9)["doubtful"] == 0
    assert rows_of(target)["a.txt"].confidence is None


def test_invoices_become_records_and_one_typed_parquet_file(
    line: Line, source: Path, target: Path, configuration_id: str
):
    fill(
        source,
        {
            "a.txt": b"Invoice number: A-1\nTotal: 12.5\nPositions: 3\n",
            "b.txt": b"Invoice number: B-2\nTotal: 7\nPositions: 1\n",
            "empty.txt": b"",
        },
    )
    ids = line.upload(source=str(source), target=str(target))
    line.process(ids, configuration_id, "extract_v2")
    summary = line.save(target, outputs=("records", "parquet"), configuration_id=configuration_id)

    rows = rows_of(target)
    assert (rows["a.txt"].status, rows["a.txt"].path) == ("COMPLETED", f"{target}/a.txt.json")
    assert summary["saved"] == 2
    records = [json.loads(text) for text in (target / "records.jsonl").read_text().splitlines()]
    assert [(record["file"], record["invoice_number"]) for record in records] == [
        ("a.txt", "A-1"),
        ("b.txt", "B-2"),
    ]
    table = pq.read_table(target / "records.parquet")
    assert table.schema.equals(
        pa.schema(
            [
                ("file", pa.string()),
                ("invoice_number", pa.string()),
                ("total", pa.float64()),
                ("positions", pa.int64()),
            ]
        )
    )
    assert table.column("total").to_pylist() == [12.5, 7.0]


def test_a_row_of_the_manifest_whose_result_is_called_otherwise_is_named(
    line: Line, source: Path, target: Path, configuration_id: str
):
    fill(source, {"a.txt": b"Invoice number: A-1\n"})
    line.process(line.upload(source=str(source), target=str(target)), configuration_id, "extract_v2")
    line.save(target)
    manifest = target / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace("a.txt.json", "other.json"))
    save = SaveBatchResultsOperator(task_id="save", job_references=[], target=str(target), keep_earlier=True)

    with pytest.raises(
        RequestRefusedError, match=r"^target: .*manifest\.jsonl: path of 'a\.txt' is '.*other\.json', "
    ):
        save.execute(line.context("save_again"))


def test_a_field_called_file_is_kept_beside_the_documents_path_and_that_is_said(
    line: Line, source: Path, target: Path, hook: LlamaBatchHook, caplog: pytest.LogCaptureFixture
):
    fill(source, {"a.txt": b"File: deed-7\n", "b.txt": b"File: deed-8\n"})
    parameters = {"product_type": "extract_v2", "data_schema": FILED}
    configuration_id = hook.send(calls.create_configuration(name="deeds", parameters=parameters)).id
    line.process(line.upload(source=str(source), target=str(target)), configuration_id, "extract_v2")

    with caplog.at_level(logging.INFO):
        line.save(target, outputs=("records", "parquet"), configuration_id=configuration_id)

    expected = [{"file": "a.txt", "record_file": "deed-7"}, {"file": "b.txt", "record_file": "deed-8"}]
    assert [json.loads(text) for text in (target / "records.jsonl").read_text().splitlines()] == expected
    assert pq.read_table(target / "records.parquet").to_pylist() == expected
    assert caplog.text.count("has a field 'file' of its own") == 1


def test_invoices_that_have_their_records_are_not_paid_for_again(
    new_line: Callable[[str], Line], source: Path, target: Path, configuration_id: str
):
    fill(source, {"a.txt": b"Invoice number: A-1\nTotal: 12.5\nPositions: 3\n"})
    arguments: dict[str, Any] = {"configuration_id": configuration_id, "outputs": ("records", "parquet")}
    for night, reused in (("first", 0), ("second", 1)):
        line = new_line(night)
        ids = line.upload(source=str(source), target=str(target), reuse=True, **arguments)
        line.process(ids, configuration_id, "extract_v2")
        assert line.save(target, **arguments)["reused"] == reused


def test_records_of_documents_that_have_none_any_more_do_not_stay(
    line: Line,
    new_line: Callable[..., Line],
    source: Path,
    target: Path,
    configuration_id: str,
    emulator: LlamaCloudEmulator,
):
    outputs = ("records", "parquet")
    for night, content in ((line, b"Invoice number: 1\n"), (new_line("second"), b"Invoice number: 2\n")):
        fill(source, {"a.txt": content})
        night.process(night.upload(source=str(source), target=str(target)), configuration_id, "extract_v2")
        night.save(target, configuration_id=configuration_id, outputs=outputs)
        if night is line:
            assert (target / "records.jsonl").read_text()
            emulator.control.change(file_results={"a.txt": {"error_message": "TIMEOUT: x"}})

    assert (target / "records.jsonl").read_text() == ""
    assert pq.read_table(target / "records.parquet").num_rows == 0
