"""
Two teams with keys of their own in two regions, next to each other in one deployment that keeps the service's limits.

Each team has a connection (its key, its region, and ``requests_per_minute``), a pool for uploads and saves, and another
one that counts deferred tasks: its slots are the batches of the team that run at once, and ``max_active_tis_per_dag``,
which counts deferred tasks too, leaves one of them to other DAGs. On Airflow 3.3, with ``[triggerer] queues_enabled``,
the ``queue`` of a task also chooses the triggerers that wait for it (``airflow triggerer --queues europe``).

For each team, once:

- ``airflow pools set llamacloud_europe 2 "uploads and saves"``
- ``airflow pools set llamacloud_europe_batches 4 "batches at once" --include-deferred``
- a connection ``llamacloud_europe`` of type ``llamabatch``: host ``eu``, the team's key as password, and as extra
  ``{"requests_per_minute": 10}``, which is 80 a minute for six slots and two triggerers
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator


@dataclass(frozen=True)
class Team:
    """What is a team's own; ``name`` is also that of its connection, its pools and its queue."""

    name: str
    configuration_id: str
    batches: int  # of one DAG at once, of its pool's four slots


TEAMS = (
    Team("europe", "cfg-PARSE_AGENTIC", batches=3),
    Team("america", "cfg-PARSE_COST_EFFECTIVE", batches=3),
)


def process(team: Team) -> None:
    sends: dict[str, Any] = {
        "llamabatch_conn_id": f"llamacloud_{team.name}",
        "pool": f"llamacloud_{team.name}",
        "queue": team.name,
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
    }
    upload = UploadDirectoryOperator(
        task_id="upload", source=f"{{{{ var.value.documents_of_{team.name} }}}}", **sends
    )
    create = CreateBatchOperator.partial(
        task_id="create_batch",
        configuration_id=team.configuration_id,
        wait_for_jobs=True,
        poll_interval=timedelta(minutes=2),
        max_active_tis_per_dag=team.batches,
        **{**sends, "pool": f"llamacloud_{team.name}_batches"},
    ).expand(source_directory_id=upload.output)
    SaveBatchResultsOperator(
        task_id="save_results",
        job_references=create.output["job_references"],
        file_errors=create.output["file_errors"],
        source_directory_id=upload.output,
        target=f"{{{{ var.value.results_of_{team.name} }}}}",
        max_concurrency=1,  # one process, one request after the other: more would only wait
        **sends,
    )


for team in TEAMS:
    with DAG(
        f"documents_of_{team.name}",
        schedule="@hourly",
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=8,
        tags=[team.name],
        doc_md=__doc__,
    ):
        process(team)
