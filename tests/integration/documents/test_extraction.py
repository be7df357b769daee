from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_llamabatch.llamacloud import calls
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.fixture
def configuration_id(hook: LlamaBatchHook) -> str:
    parameters: dict[str, Any] = {"product_type": "extract_v2", "tier": "agentic", "data_schema": SCHEMA}
    return hook.send(calls.create_configuration(name="invoices", parameters=parameters)).id


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
