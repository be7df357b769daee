"""The facets for OpenLineage. Imported only when its listener asks, as it needs the package ``openlineage-python``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
from airflow.providers.common.compat.openlineage.facet import (
    Dataset,
    LifecycleStateChange,
    LifecycleStateChangeDatasetFacet,
    OutputDataset,
    OutputStatisticsOutputDatasetFacet,
    RunFacet,
)

from airflow_provider_llamabatch import PROJECT_URL, __version__
from airflow_provider_llamabatch.defaults import MAX_LINEAGE_JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Dataset", "LlamaCloudBatchRunFacet", "OutputDataset", "output_facets"]

SCHEMA_URL = f"{PROJECT_URL}/blob/v{__version__}/docs/openlineage/LlamaCloudBatchRunFacet.json"


@attrs.define
class LlamaCloudBatchRunFacet(RunFacet):
    """
    Which batches a run made or waited for, with which configuration, and what became of their jobs.

    ``jobReferences`` are the first ``MAX_LINEAGE_JOBS`` (id, type, status and ``sourceDirectoryFileId``); ``jobs``
    and ``statuses`` count all of them. ``credits`` is None where the API reported none.
    """

    batchIds: list[str] = attrs.field(factory=list)  # noqa: N815  # OpenLineage's spelling
    configurationIds: list[str] = attrs.field(factory=list)  # noqa: N815
    jobType: str | None = None  # noqa: N815
    jobs: int = 0
    statuses: dict[str, int] = attrs.field(factory=dict)
    jobReferences: list[dict[str, str]] = attrs.field(factory=list)  # noqa: N815
    credits: float | None = None

    @classmethod
    def of(
        cls,
        *,
        batch_ids: Iterable[str],
        configuration_ids: Iterable[str],
        job_type: str | None,
        job_references: Sequence[Mapping[str, Any]],
        credits: float | None,
    ) -> LlamaCloudBatchRunFacet | None:
        """Make a facet of what is known; None where nothing is."""
        facet = cls(
            batchIds=list(batch_ids),
            configurationIds=list(configuration_ids),
            jobType=job_type,
            jobs=len(job_references),
            statuses=dict(Counter(entry["status"] for entry in job_references if entry.get("status"))),
            jobReferences=[_job(entry) for entry in job_references[:MAX_LINEAGE_JOBS]],
            credits=_credits(job_references) if credits is None else credits,
        )
        known = (facet.batchIds, facet.configurationIds, facet.jobReferences, facet.credits)
        return facet if any(value not in ([], None) for value in known) else None

    @staticmethod
    def _get_schema() -> str:
        return SCHEMA_URL


def output_facets(files: int | None, size: int | None, *, dropped: bool) -> dict[str, Any]:
    """Return the arguments that describe an output: how much was written, or that it is gone."""
    facets: dict[str, Any] = {}
    if dropped:
        change = LifecycleStateChangeDatasetFacet(lifecycleStateChange=LifecycleStateChange.DROP)
        facets["facets"] = {"lifecycleStateChange": change}
    if files is not None or size is not None:
        statistics = OutputStatisticsOutputDatasetFacet(size=size, fileCount=files)
        facets["outputFacets"] = {"outputStatistics": statistics}
    return facets


def _job(entry: Mapping[str, Any]) -> dict[str, str]:
    job = entry.get("job_reference") or {}
    told = {
        "id": job.get("id"),
        "type": job.get("type"),
        "status": entry.get("status"),
        "sourceDirectoryFileId": entry.get("source_directory_file_id"),
    }
    return {name: str(value) for name, value in told.items() if value}


def _credits(job_references: Iterable[Mapping[str, Any]]) -> float | None:
    told = [entry["credits"] for entry in job_references if isinstance(entry.get("credits"), (int, float))]
    return float(sum(told)) if told else None
