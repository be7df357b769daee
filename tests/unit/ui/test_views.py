from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_llamabatch.llamacloud import models
from airflow_provider_llamabatch.ui.reading import Detail, JobState
from airflow_provider_llamabatch.ui.runs import Count, Made, Task
from airflow_provider_llamabatch.ui.views import words
from airflow_provider_llamabatch.ui.views.batch import (
    failed_files,
    files_table,
    name_of,
    preview,
    timeline,
)
from airflow_provider_llamabatch.ui.views.batches import batches_table, files_bar
from airflow_provider_llamabatch.ui.views.directories import directories_table, directory_files_table
from airflow_provider_llamabatch.ui.views.overview import DAYS, overview
from airflow_provider_llamabatch.ui.views.tables import Query

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TASK = Task("invoices", "run 1", "create_batch", 3)


def batch(id_: str, *, hours: float | None = 1.0, status: str = "COMPLETED", **more: Any) -> models.Batch:
    created = None if hours is None else (NOW - timedelta(hours=hours)).isoformat()
    values = {
        "id": id_,
        "status": status,
        "source_directory_id": "dir-1",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
        "created_at": created,
        "updated_at": created,
        **more,
    }
    return models.Batch.model_validate(values)


def count(files: int = 10, failed: int = 1, **more: Any) -> Count:
    return Count(**{"task": TASK, "at": NOW, "source": "jobs", "files": files, "failed": failed, **more})


def made(batch_id: str = "bat-1", **more: Any) -> Made:
    known = {
        "batch_id": batch_id,
        "connection_id": "c",
        "directory_id": "dir-1",
        "configuration_id": "cfg-1",
        "job_type": "parse_v2",
        "action": "rejoin",
        "reason": "it still runs",
        "task": TASK,
        "at": NOW,
    }
    return Made(**{**known, **more})


def result(file_id: str, job_id: str | None = None, error: str | None = None) -> models.BatchResult:
    job = {"id": job_id, "type": "parse_v2"} if job_id else None
    return models.BatchResult.model_validate(
        {"source_directory_file_id": file_id, "job_reference": job, "error_message": error}
    )


FILES = [
    result("dfl-1", "pjb-1"),
    result("dfl-2", "pjb-2"),
    result("dfl-3", error="not supported"),
    result("dfl-4"),
    result("dfl-5", "pjb-5"),
]
DETAIL = Detail(
    batch("bat-1"),
    FILES,
    {
        "pjb-1": JobState("COMPLETED", name="as the job says.pdf"),
        "pjb-2": JobState("FAILED", "PDF_IS_BROKEN", name="b.pdf"),
    },
    {"dfl-1": "a.pdf"},
)


def test_batches_come_the_newest_first_and_those_without_a_date_last():
    shown = batches_table(
        [batch("bat-old", hours=50), batch("bat-none", hours=None), batch("bat-new", hours=0.5)],
        {},
        {},
        Query(),
        NOW,
    )
    assert [(row.id, row.age) for row in shown.rows] == [
        ("bat-new", "30 min"),
        ("bat-old", "2 d 2 h"),
        ("bat-none", words.NOTHING),
    ]


@pytest.mark.parametrize(
    ("search", "found"),
    [("invoices", ["bat-1"]), ("run", ["bat-1"]), ("cfg-1", ["bat-1", "bat-2"]), ("bat-2", ["bat-2"])],
)
def test_batches_are_found_by_their_ids_and_by_the_dag_that_made_them(search, found):
    shown = batches_table([batch("bat-1"), batch("bat-2")], {"bat-1": made()}, {}, Query(search=search), NOW)
    assert sorted(row.id for row in shown.rows) == found


def test_a_batch_that_says_little_is_shown_all_the_same():
    bare = models.Batch.model_validate({"id": "bat-1", "status": "HOVERING"})
    [row] = batches_table([bare], {}, {}, Query(), NOW).rows
    assert (row.status, row.kind, row.directory_id, row.configuration_id) == ("HOVERING", "plain", "", "")


@pytest.mark.parametrize(
    ("of_task", "detail", "label"),
    [
        (None, None, None),
        (made(), None, None),
        (made(count=count(10, 1)), None, "9 of 10, 1 failed"),
        (None, DETAIL, "1 of 5, 2 failed"),
        (made(count=count(10, 1)), DETAIL, "1 of 5, 2 failed"),
        (made(count=count(10, 1)), Detail(batch("bat-1")), "9 of 10, 1 failed"),
    ],
)
def test_files_are_counted_by_who_knows_best(of_task, detail, label):
    drawn = files_bar(of_task, detail)
    assert (drawn and drawn.label) == label


def test_files_that_failed_come_first_then_by_name():
    shown = files_table(DETAIL, Query(), {})
    assert [(row.name, row.status, row.error) for row in shown.rows] == [
        ("b.pdf", "FAILED", "PDF_IS_BROKEN"),
        ("dfl-3", "NO JOB", "not supported"),
        ("a.pdf", "COMPLETED", ""),
        ("dfl-4", "UNKNOWN", ""),
        ("dfl-5", "UNKNOWN", ""),
    ]


def test_only_files_that_surely_have_no_result_are_processed_again():
    assert failed_files(DETAIL) == ["dfl-2", "dfl-3"]


@pytest.mark.parametrize(("number", "name"), [(0, "a.pdf"), (1, "b.pdf"), (2, "dfl-3"), (4, "dfl-5")])
def test_a_file_is_called_as_its_directory_says_else_its_job_else_its_id(number, name):
    assert name_of(FILES[number], DETAIL) == name


def test_pages_and_credits_of_files_that_were_opened_are_in_the_table():
    opened = models.ParseResult.model_validate(
        {
            "job": {"id": "pjb-1", "status": "COMPLETED", "usage": {"credits": 30}},
            "markdown": {"pages": [{"page_number": 1, "markdown": "x"}, {"page_number": 2, "markdown": "y"}]},
        }
    )
    rows = {row.name: row for row in files_table(DETAIL, Query(), {"pjb-1": preview(opened)}).rows}
    assert (rows["a.pdf"].pages, rows["a.pdf"].credits) == ("2", "30")
    assert (rows["b.pdf"].pages, rows["b.pdf"].credits) == (words.NOTHING, words.NOTHING)


def test_the_timeline_tells_what_the_service_the_task_and_the_page_know_in_order():
    hour = NOW.timestamp() - 3600
    of_task = made(at=NOW - timedelta(minutes=59), count=count(at=NOW - timedelta(minutes=1)))
    ended = batch("bat-1", updated_at=(NOW - timedelta(minutes=10)).isoformat())
    events = timeline(ended, of_task, (("RUNNING", hour + 120), ("COMPLETED", hour + 3500)), NOW)
    assert [(event.what, event.why) for event in events] == [
        ("Made by LlamaCloud", ""),
        ("Task create_batch rejoined it", "it still runs"),
        ("Seen RUNNING", ""),
        ("Ended COMPLETED", ""),
        ("Wait for the jobs was over", "10 files, 1 failed"),
    ]


def test_a_batch_that_runs_is_what_it_is_now():
    [last] = timeline(batch("bat-1", hours=None, status="RUNNING"), None, (), NOW)
    assert (last.what, last.at) == ("Is RUNNING", NOW)


def test_of_a_long_result_the_first_lines_are_shown():
    pages = [{"page_number": 1, "markdown": "\n".join(["x" * 10_000] * 100)}]
    shown = preview(
        models.ParseResult.model_validate(
            {"job": {"id": "pjb-1", "status": "COMPLETED"}, "markdown": {"pages": pages}}
        )
    )
    assert len(shown.lines) < 20_000
    assert shown.more == "60 more lines"
    assert shown.credits == words.NOTHING


def test_extracted_records_are_shown_as_indented_json():
    job = models.ExtractJob.model_validate(
        {"id": "ext-1", "status": "COMPLETED", "extract_result": {"total": 3, "name": "Größe"}}
    )
    assert preview(job).lines == '{\n  "total": 3,\n  "name": "Größe"\n}'


def test_a_job_without_a_result_has_no_lines():
    assert preview(models.ExtractJob.model_validate({"id": "ext-1", "status": "FAILED"})).lines == ""


def test_the_overview_adds_up_per_day_and_leaves_out_what_is_older():
    counts = [
        count(10, 2, reasons={"a": 2}),
        count(5, 5, reasons={"a": 4, "b": 1}, at=NOW - timedelta(days=1)),
        count(1000, 0, at=NOW - timedelta(days=DAYS)),
    ]
    view = overview(counts, [batch("bat-1"), batch("bat-2", hours=24 * 40), batch("bat-3", hours=None)], NOW)
    assert view.totals == (
        ("Batches", "1"),
        ("Files done", "8"),
        ("Files failed", "7"),
        ("Credits", words.NOTHING),
    )
    assert [(name, number) for name, number, _ in view.reasons] == [("a", 6), ("b", 1)]


def test_a_run_that_waits_and_saves_is_counted_once():
    save = Task("invoices", "run 1", "save_results")
    view = overview(
        [count(10, 2, credits=5.0), count(10, 3, task=save, source="results", credits=30.0)], [], NOW
    )
    assert view.totals[1:] == (("Files done", "8"), ("Files failed", "2"), ("Credits", "30"))


def test_credits_are_told_apart_by_dag_the_dearest_first():
    counts = [count(credits=1.0), count(credits=9.0, task=Task("dear", "run 1", "t"))]
    assert [(name, total) for _, name, total in overview(counts, [], NOW).credits.legend] == [
        ("dear", "9"),
        ("invoices", "1"),
    ]


def test_directories_come_the_newest_first_with_when_they_expire():
    def directory(id_: str, hours: float, **more: Any) -> models.Directory:
        at = (NOW - timedelta(hours=hours)).isoformat()
        return models.Directory.model_validate({"id": id_, "created_at": at, **more})

    shown = directories_table(
        [
            directory("dir-1", 5, name="kept", type="user"),
            directory("dir-2", 1, type="ephemeral", expires_at=(NOW + timedelta(days=2)).isoformat()),
        ],
        Query(),
        NOW,
    )
    assert [(row.name, row.type, row.expires) for row in shown.rows] == [
        ("dir-2", "ephemeral", "in 2 d 0 h"),
        ("kept", "user", ""),
    ]


def test_the_files_of_a_directory_are_found_by_name():
    files = [
        models.DirectoryFile.model_validate({"id": "dfl-1", "display_name": n}) for n in ("b.txt", "A.txt")
    ]
    assert [row.name for row in directory_files_table(files, Query(), NOW).rows] == ["A.txt", "b.txt"]
    assert [row.name for row in directory_files_table(files, Query(search="B."), NOW).rows] == ["b.txt"]
