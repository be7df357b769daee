"""A DAG that runs once for each batch of a directory that completes, whoever made it."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_llamabatch.assets import directory_uri
from airflow_provider_llamabatch.triggers.assets import DirectoryBatchesTrigger

DIRECTORY_ID = os.environ["WATCHED_DIRECTORY_ID"]

inbox = Asset(
    directory_uri(DIRECTORY_ID),
    watchers=[AssetWatcher(name="inbox", trigger=DirectoryBatchesTrigger(DIRECTORY_ID, poll_interval=2))],
)


@dag(schedule=[inbox])
def watched() -> None:
    @task
    def batch_ids(triggering_asset_events: Any = None) -> list[str]:
        return [event.extra["payload"]["batch_id"] for event in triggering_asset_events[inbox]]

    batch_ids()


watched()
