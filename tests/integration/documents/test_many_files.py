"""More than a thousand files over three directories: everything lands exactly once, whatever it is called."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from tests.integration.documents.conftest import fill, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

pytestmark = [pytest.mark.usefixtures("connection"), pytest.mark.timeout(400)]

ODD = {
    "broken.pdf": b"%PDF-nonsense",
    "empty.txt": b"",
    "north/report.txt": b"report of the north",
    "south/report.txt": b"report of the south",
    "name with spaces.txt": b"spaces",
    "ünïcödé 漢字.txt": b"unicode",
    "a..b/..c.txt": b"dots",
    "x" * 240 + ".txt": b"long",
    "Twin.txt": b"upper",
    "twin.txt": b"lower",
}


def test_everything_lands_exactly_once_and_a_second_night_has_nothing_to_do(
    new_line: Callable[[str], Line],
    source: Path,
    target: Path,
    emulator: LlamaCloudEmulator,
    hook: LlamaBatchHook,
):
    plain = {
        f"{number % 50:02}/{number:04}.txt": b"document %d" % number for number in range(1250 - len(ODD))
    }
    fill(source, plain | ODD)
    arguments = {
        "source": str(source),
        "target": str(target),
        "reuse": True,
        "configuration_id": "cfg-PARSE_AGENTIC",
        "max_files_per_directory": 500,
        "max_concurrency": 16,
    }
    line = new_line("first")
    ids = line.upload(**arguments)
    assert len(ids) == 3
    assert Counter(line.names_in(ids)) == dict.fromkeys((plain | ODD).keys() - {"empty.txt"}, 1)
    line.process(ids)
    seen = len(emulator.control.requests())
    sensor = BatchJobsSensor(task_id="wait", job_references=line.references[:1000], deferrable=True)
    outcomes = sensor.execute(line.context("wait"))
    assert len(outcomes) == 1000
    assert len(emulator.control.requests()) - seen <= 12
    summary = line.save(target, configuration_id="cfg-PARSE_AGENTIC", max_concurrency=16)

    rows = rows_of(target)
    assert set(rows) == set(plain | ODD)
    assert summary["statuses"] == {"COMPLETED": 1248, "FAILED": 1, "SKIPPED": 1}
    written = {path for path in target.rglob("*") if path.is_file()} - {target / "manifest.jsonl"}
    results = {path for path in written if ".llamabatch" not in path.parts}
    assert {Path(row.path) for row in rows.values() if row.path} == results
    assert len({str(path).casefold() for path in results}) == 1248
    for name, content in (plain | ODD).items():
        if rows[name].path:
            assert Path(rows[name].path).read_bytes() == content
    assert {path.name for path in target.parent.iterdir()} == {"in", "out"}

    before = len(emulator.control.requests())
    second = new_line("second")
    assert second.upload(**arguments) == []
    told = second.save(target, configuration_id="cfg-PARSE_AGENTIC")
    assert (told["reused"], told["failed_before"]) == (1248, 1)
    paths = [(request.method, request.path) for request in emulator.control.requests()[before:]]
    assert all(method == "GET" for method, _ in paths)
    assert len(list(hook.list_batches())) == 3
    assert set(rows_of(target)) == set(plain | ODD)
