"""
Parse every file of a LlamaCloud directory: one batch, one mapped task per file, one report.

Trigger it with the id of a directory that holds files and a path for the report (local, or a URL such as
``s3://bucket/report.jsonl`` where the provider for it is installed). The markdown of each file is written
next to the report, so no document passes through XCom. A file that could not be parsed becomes a row of the
report with the reason; it does not fail the run.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import Param, PokeReturnValue, dag, task

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor

CONN_ID = "llamabatch_default"
JOB_ENDED = {"COMPLETED", "FAILED", "CANCELLED"}


# A COMPLETED batch has started a job for every file, but a job may still be running. The sensor looks again
# every 15 s without holding a worker slot, and gives a job half an hour: a file that takes longer is skipped
# here and gets its row in the report all the same. The retries cover a result that cannot be read at once.
@task.sensor(
    poke_interval=15,
    timeout=30 * 60,
    mode="reschedule",
    soft_fail=True,
    retries=3,
    retry_delay=timedelta(seconds=15),
)
def fetch_markdown(reference: dict[str, Any], report_path: str) -> PokeReturnValue:
    """Write one file's markdown next to the report and return the file's row."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud import calls

    job_id = reference["job_reference"]["id"]
    file_id = reference["source_directory_file_id"]
    with LlamaBatchHook(CONN_ID) as hook:
        job = hook.send(calls.get_parse_job(job_id)).job
        if job.status not in JOB_ENDED:
            return PokeReturnValue(is_done=False)
        row = {"file_id": file_id, "job_id": job_id, "status": job.status, "error": job.error_message}
        if job.status != "COMPLETED":
            return PokeReturnValue(is_done=True, xcom_value=row)
        result = hook.send(calls.get_parse_job(job_id, expand=("markdown",)))

    pages = result.markdown.pages if result.markdown else []
    text = "\n\n".join(page.markdown or "" for page in pages if page.success)
    markdown_path = ObjectStoragePath(report_path).parent / "markdown" / f"{file_id}.md"
    markdown_path.parent.mkdir(parents=True, exist_ok=True)
    markdown_path.write_text(text, encoding="utf-8")
    unread = [f"page {page.page_number}: {page.error}" for page in pages if not page.success]
    row |= {
        "pages": len(pages),
        "first_line": next((line.strip() for line in text.splitlines() if line.strip()), ""),
        "markdown_path": str(markdown_path),
        "error": "; ".join(unread) or None,
    }
    return PokeReturnValue(is_done=True, xcom_value=row)


@task(trigger_rule="none_failed")
def write_report(
    source_directory_id: str,
    rows: list[dict[str, Any]],
    files_without_job: list[dict[str, Any]],
    report_path: str,
) -> dict[str, Any]:
    """Write one JSON line per file of the directory; return how many there are of each status, and where."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud import calls

    by_file = {row["file_id"]: row for row in rows or ()}
    for entry in files_without_job or ():
        reason = entry["error_message"] or "LlamaCloud gave no reason"
        by_file[entry["source_directory_file_id"]] = {"status": "NO_JOB", "error": reason}
    no_result = {"status": "NO_RESULT", "error": "its job did not end in time"}
    with LlamaBatchHook(CONN_ID) as hook:
        files = hook.iterate(calls.list_directory_files(source_directory_id))
        names = {file.id: file.display_name for file in files}
    report = [
        {"file": names.get(file_id, file_id), "file_id": file_id, **by_file.get(file_id, no_result)}
        for file_id in names | by_file
    ]
    report.sort(key=lambda row: row["file"])

    path = ObjectStoragePath(report_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in report), encoding="utf-8")
    return {"report": report_path, "statuses": dict(Counter(row["status"] for row in report))}


@dag(
    schedule=None,
    catchup=False,
    tags=["llamacloud", "example"],
    doc_md=__doc__,
    params={
        "source_directory_id": Param(type="string", minLength=1, description="the directory to parse"),
        "configuration_id": Param(
            "cfg-PARSE_AGENTIC", type="string", minLength=1, description="how to parse it"
        ),
        "report_path": Param(type="string", minLength=1, description="where the report goes: path or URL"),
    },
)
def parse_directory() -> None:
    create = CreateBatchOperator(
        task_id="create_batch",
        llamabatch_conn_id=CONN_ID,
        source_directory_id="{{ params.source_directory_id }}",
        configuration_id="{{ params.configuration_id }}",
        retries=2,  # a retry rejoins the batch that is already there
        retry_delay=timedelta(seconds=30),
    )
    wait = BatchSensor(
        task_id="wait_for_batch",
        llamabatch_conn_id=CONN_ID,
        batch_id=create.output,
        deferrable=True,  # waits in the triggerer, holding no worker slot
        timeout=6 * 60 * 60,
    )
    rows = fetch_markdown.partial(report_path="{{ params.report_path }}").expand(reference=wait.output)
    write_report(
        source_directory_id="{{ params.source_directory_id }}",
        rows=rows,
        files_without_job=wait.output["file_errors"],
        report_path="{{ params.report_path }}",
    )


parse_directory()
