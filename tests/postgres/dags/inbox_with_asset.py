"""What is new in a directory that is an asset of the task: what was processed is kept with the asset."""

from __future__ import annotations

import os

from airflow.sdk import Asset, dag

from airflow_provider_llamabatch.assets import directory_uri
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator

DIRECTORY_ID = os.environ["INBOX_WITH_ASSET_DIRECTORY_ID"]


@dag(schedule=None)
def inbox_with_asset() -> None:
    CreateBatchOperator(
        task_id="create",
        source_directory_id=DIRECTORY_ID,
        configuration_id="cfg-PARSE_AGENTIC",
        wait_for_jobs=True,
        only_new=True,
        inlets=[Asset(directory_uri(DIRECTORY_ID))],
    )


inbox_with_asset()
