from __future__ import annotations

from typing import TYPE_CHECKING

from dags_examples.demo.progress import summaries, table, task_name

if TYPE_CHECKING:
    from typing import Any

    import pytest


def test_the_table_shows_text_or_the_reason_and_fits_the_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows: list[dict[str, Any]] = [
        {"file": "a.md", "job_id": "pjb-1", "status": "COMPLETED", "pages": 2, "first_line": "long " * 40},
        {"file": "b.pdf", "job_id": "pjb-2", "status": "FAILED", "error": "no PDF"},
        {"file": "c.csv", "status": "NO_JOB", "error": "unsupported"},
    ]
    head, rule, *lines = table(rows).splitlines()
    assert head.split()[:4] == ["File", "Job", "Status", "Pages"]
    assert set(rule) == {"-", " "}
    assert [line.split()[:4] for line in lines] == [
        ["a.md", "pjb-1", "COMPLETED", "2"],
        ["b.pdf", "pjb-2", "FAILED", "-"],
        ["c.csv", "-", "NO_JOB", "-"],
    ]
    assert lines[0].endswith("...")
    assert lines[1].endswith("no PDF")
    assert max(len(line) for line in (head, rule, *lines)) <= 80


def test_a_mapped_task_is_named_with_its_index():
    assert task_name({"task_id": "fetch", "map_index": 3}) == "fetch [3]"
    assert task_name({"task_id": "report", "map_index": -1}) == "report"


def test_a_mapped_task_is_summed_up_and_a_waiting_one_not_mentioned():
    tasks = [("create", -1, "success"), ("wait", -1, "deferred"), ("report", -1, None)]
    tasks += [
        ("fetch", 0, "running"),
        ("fetch", 1, "queued"),
        ("fetch", 2, "success"),
        ("fetch", 3, "success"),
    ]
    instances = [{"task_id": task_id, "map_index": index, "state": state} for task_id, index, state in tasks]
    assert summaries(instances) == {
        "create": "success",
        "wait": "deferred",
        "report": "",
        "fetch": "2 success, 1 running of 4",
    }
