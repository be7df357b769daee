"""Documents that become partitions of an asset, and a DAG that runs once for each."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, PartitionedAssetTimetable, dag, task

from airflow_provider_llamabatch.task_groups import process_directory

texts = Asset("texts")


@dag(schedule=None)
def partitioned() -> None:
    process_directory(
        source="{{ var.value.partitioned_folder }}",
        target="{{ var.value.partitioned_folder }}-out",
        configuration_id="cfg-PARSE_AGENTIC",
        partitions=texts,
    )


@dag(schedule=PartitionedAssetTimetable(assets=texts))
def for_each_text() -> None:
    @task
    def name(dag_run: Any = None) -> str:
        key: str = dag_run.partition_key
        return key

    name()


partitioned()
for_each_text()
