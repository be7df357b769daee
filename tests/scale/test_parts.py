"""The parts that measure, in small: figures, the page, and wires on real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.scale.budget import busiest
from tests.scale.load import share
from tests.scale.load_report import submissions_per_minute
from tests.scale.pipelines import PipelineRun, saved
from tests.scale.services import Wire
from tests.support.measured import write_part

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator


def test_the_busiest_minute_is_found_wherever_it_begins():
    assert busiest([], 60.0) == 0
    assert busiest([0.0, 59.0, 60.0, 61.0, 200.0], 60.0) == 3


def test_shares_of_sorted_values():
    values = [float(number) for number in range(100)]
    assert (share(values, 0.5), share(values, 0.99), share([1.0], 0.99)) == (50.0, 99.0, 1.0)


def test_submissions_per_minute_are_counted_between_the_first_and_the_last():
    assert submissions_per_minute([0.0, 10.0, 20.0, 30.0]) == 6.0


def test_a_part_of_the_page_is_replaced_and_the_others_stay(tmp_path):
    (tmp_path / "scale.md").write_text(
        "# A\n<!-- a -->old<!-- end of a -->\n<!-- b -->\nkept\n<!-- end of b -->\n"
    )

    write_part(tmp_path / "scale.md", "a", r"new \1")

    assert (tmp_path / "scale.md").read_text() == (
        "# A\n<!-- a -->\nnew \\1\n<!-- end of a -->\n<!-- b -->\nkept\n<!-- end of b -->\n"
    )
    with pytest.raises(ValueError, match="has no part 'c'"):
        write_part(tmp_path / "scale.md", "c", "")


def test_only_documents_whose_results_are_there_count_as_saved(tmp_path):
    (tmp_path / "a.md").write_text("a")
    rows = '{"file": "a", "path": "%s/a.md"}\n{"file": "b", "path": "%s/b.md"}\n{"file": "c", "path": null}\n'
    (tmp_path / "manifest.jsonl").write_text(rows.replace("%s", str(tmp_path)))

    assert saved(PipelineRun("run", tmp_path, 3)) == {"a": 1}
    assert saved(PipelineRun("run", tmp_path / "nowhere", 3)) == {}


async def test_a_wire_counts_requests_and_lets_nothing_through_while_it_is_cut(
    llamacloud: LlamaCloudEmulator,
):
    port = int(llamacloud.url.rpartition(":")[2])
    headers = {"Authorization": f"Bearer {llamacloud.api_key}"}
    with Wire(port) as wire:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{wire.port}", headers=headers) as client:
            for _ in range(3):
                assert (await client.get("/api/v2/batches")).status_code == 200
            assert wire.requests == 3

            wire.cut()
            answer = asyncio.ensure_future(client.get("/api/v2/batches"))
            await asyncio.wait({answer}, timeout=0.3)
            assert not answer.done()
            assert len(llamacloud.control.requests()) == 3

            wire.mend()
            assert (await answer).status_code == 200
            assert len(llamacloud.control.requests()) == 4
