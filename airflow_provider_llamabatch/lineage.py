"""
What a task read, wrote and ran, for OpenLineage and for whoever else collects lineage.

Nothing here ever fails a task, and ``openlineage`` is imported only when its listener asks. Datasets are named as
OpenLineage's naming rules say: the directory ``dir-1`` is ``dir-1`` in ``llamacloud://directories`` (the asset URI of
``assets.py``, split), the folder ``s3://bucket/in`` is ``in`` in ``s3://bucket``, a local one is its path in ``file``.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow_provider_llamabatch.assets import directory_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_llamabatch.storage import Storage

FACET = "llamacloud_batch"  # the run facet's key

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Noted:
    """What a task has found out while it ran, beyond its arguments; ``files`` and ``bytes`` are of its output."""

    batch_ids: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)  # ids of directories
    written: list[str] = field(default_factory=list)
    job_references: Sequence[Mapping[str, Any]] = ()
    credits: float | None = None
    files: int | None = None
    bytes: int | None = None


class LineageMixin:
    """
    An operator or sensor that tells OpenLineage what it did.

    ``lineage_inputs`` and ``lineage_outputs`` name the arguments that hold what it reads and writes: ids of directories
    where the name ends in ``directory_id``, else folders on a storage.
    """

    lineage_inputs: ClassVar[tuple[str, ...]] = ()
    lineage_outputs: ClassVar[tuple[str, ...]] = ()
    lineage_drops: ClassVar[bool] = False  # what it writes is gone afterwards
    noted: Noted | None = None

    def note(
        self,
        *,
        batch_id: str | None = None,
        read: Iterable[str | None] = (),
        written: Iterable[str | None] = (),
        job_references: Sequence[Mapping[str, Any]] | None = None,
        credits: float | None = None,
        files: int | None = None,
        bytes: int | None = None,
    ) -> None:
        """Add to what is known; ids that are there already stay once, numbers and references replace earlier ones."""
        noted = self.noted = self.noted or Noted()
        for ids, more in ((noted.batch_ids, (batch_id,)), (noted.read, read), (noted.written, written)):
            ids.extend(id for id in dict.fromkeys(more) if id and id not in ids)
        if job_references is not None:
            noted.job_references = job_references
        noted.credits = noted.credits if credits is None else credits
        noted.files = noted.files if files is None else files
        noted.bytes = noted.bytes if bytes is None else bytes

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Return the datasets and facets that the arguments tell of; None where they cannot be made."""
        return _never_raising(self)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return the datasets and facets of a task that has ended well."""
        return _never_raising(self)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return the datasets and facets that were known when the task failed."""
        return _never_raising(self)


def report_read(storage: Storage) -> None:
    """Tell Airflow's hook lineage that a task reads from a storage."""
    _report("add_input_asset", storage)


def report_written(storage: Storage) -> None:
    """Tell Airflow's hook lineage that a task writes to a storage."""
    _report("add_output_asset", storage)


def dataset_name(uri: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of a local path or a URL; a connection id in it is left out."""
    parts = urlsplit(uri)
    if parts.scheme in {"", "file", "local"}:
        path = parts.path if parts.scheme else uri
        return "file", Path(path).absolute().as_posix()
    # An Azure URL has its container before the @, every other one Airflow's connection id.
    keeps_user = parts.scheme in {"abfs", "abfss", "wasb", "wasbs"}
    authority = parts.netloc if keeps_user else parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{authority}", parts.path.strip("/") or "/"


def to_openlineage(asset: Any, lineage_context: Any) -> Dataset:
    """Return the dataset of a ``llamacloud://`` asset; the OpenLineage provider asks this for inlets and outlets."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    return Dataset(*dataset_name(asset.uri))


def _never_raising(task: LineageMixin) -> OperatorLineage[Any, Any] | None:
    try:
        return _lineage_of(task)
    except Exception:  # lineage is never a reason to fail, whatever a template has made of an argument
        log.warning("The lineage of this task could not be told", exc_info=True)
        return None


def _lineage_of(task: LineageMixin) -> OperatorLineage[Any, Any]:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_llamabatch import lineage_facets as facets

    noted = task.noted or Noted()
    read, written = (
        _uris(task, task.lineage_inputs, noted.read),
        _uris(task, task.lineage_outputs, noted.written),
    )
    run_facet = facets.LlamaCloudBatchRunFacet.of(
        batch_ids=dict.fromkeys([*_texts(task, "batch_id"), *noted.batch_ids]),
        configuration_ids=_texts(task, "configuration_id"),
        job_type=next(iter(_texts(task, "job_type")), None),
        job_references=noted.job_references or _references(task),
        credits=noted.credits,
    )
    statistics = facets.output_facets(noted.files, noted.bytes, dropped=task.lineage_drops)
    return OperatorLineage(
        inputs=[facets.Dataset(*dataset_name(uri)) for uri in read],
        outputs=[facets.OutputDataset(*dataset_name(uri), **statistics) for uri in written],
        run_facets={FACET: run_facet} if run_facet is not None else {},
    )


def _uris(task: LineageMixin, arguments: Iterable[str], directory_ids: Iterable[str]) -> list[str]:
    """Return the URIs in a task's arguments, and those of directories it found out about; each one once."""
    from airflow_provider_llamabatch.documents.upload_plan import EVERYTHING, split_pattern

    uris: list[str] = []
    for argument in arguments:
        for text in _texts(task, argument):
            if not argument.endswith("directory_id"):
                uris.append(split_pattern(text, EVERYTHING)[0])
                continue
            with contextlib.suppress(ValueError):  # what is no id, the task itself refuses
                uris.append(directory_uri(text))
    return list(dict.fromkeys([*uris, *map(directory_uri, directory_ids)]))


def _texts(task: LineageMixin, argument: str) -> list[str]:
    """Return an argument as texts: one, several, or none where it is not given or not known yet."""
    value = getattr(task, argument, None)
    value = str(value) if isinstance(value, os.PathLike) else value
    several = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else ()
    return [text for text in several if isinstance(text, str) and text]


def _references(task: LineageMixin) -> list[Mapping[str, Any]]:
    """Return the job references that a task was given, none where they are not known yet."""
    from airflow_provider_llamabatch.documents.rows import references_in
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

    given = getattr(task, "job_references", None)
    with contextlib.suppress(InvalidInputError):
        return list(references_in(given)) if isinstance(given, (list, tuple)) else []
    return []


def _report(method: str, storage: Storage) -> None:
    try:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        namespace, name = dataset_name(storage.url)
        uri = f"file://{name}" if namespace == "file" else f"{namespace}/{name.lstrip('/')}"
        collector: Any = get_hook_lineage_collector()  # type: ignore[no-untyped-call]  # Airflow's
        getattr(collector, method)(context=storage.path, uri=uri)
    except Exception:
        log.debug("The storage was not reported to Airflow's lineage", exc_info=True)
