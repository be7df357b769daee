from __future__ import annotations

from airflow_provider_llamabatch.documents import rows
from airflow_provider_llamabatch.documents.manifest import Row


def known(file: str, file_id: str) -> Row:
    return Row(file, "UPLOADED", directory_id="dir-1", directory_file_id=file_id)


def reference(file_id: str, **more: object) -> dict[str, object]:
    job = {"id": f"pjb-{file_id}", "type": "parse_v2"}
    return {"source_directory_file_id": file_id, "job_reference": job, "error_message": None, **more}


def test_every_document_has_a_row_whatever_became_of_it():
    made = rows.rows_of(
        [
            known("a.pdf", "dfl-a"),
            known("b.pdf", "dfl-b"),
            known("c.pdf", "dfl-c"),
            Row("d.exe", "SKIPPED", error="why"),
            Row("e.pdf", "COMPLETED", directory_file_id="dfl-old", job_id="pjb-old", reused=True),
        ],
        [reference("dfl-a"), reference("dfl-x", status="FAILED", credits=2.0, attempt=2)],
        [{"source_directory_file_id": "dfl-b", "error_message": None}],
        "cfg-1@v1",
        is_complete=True,
    )
    assert {row.file: (row.status, row.job_id) for row in made} == {
        "a.pdf": ("UPLOADED", "pjb-dfl-a"),
        "b.pdf": ("NO_JOB", None),
        "c.pdf": ("NO_JOB", None),
        "d.exe": ("SKIPPED", None),
        "e.pdf": ("COMPLETED", "pjb-old"),
        "dfl-x": ("FAILED", "pjb-dfl-x"),
    }
    assert [row.file for row in rows.missing(made)] == ["c.pdf"]
    assert [(row.attempt, row.credits) for row in made if row.file == "dfl-x"] == [(2, 2.0)]


def test_documents_of_the_same_name_are_told_apart():
    made = rows.rows_of([known("a.pdf", "dfl-1"), known("a.pdf", "dfl-2")], [], [], None, is_complete=True)
    assert sorted(row.file for row in made) == ["a (dfl-1).pdf", "a (dfl-2).pdf"]


def test_lists_of_mapped_tasks_are_flattened():
    assert rows.flat([[{"a": 1}, {"b": 2}], None, [], ({"c": 3},)]) == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert rows.flat(None) == []
