"""The operator that writes the results of batches to any storage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator, XComArg

from airflow_provider_llamabatch import configuration, metrics, xcom
from airflow_provider_llamabatch.airflow_compat import (
    add_partitions,
    failed_before,
    has_partitions,
    has_xcom,
    states_before,
)
from airflow_provider_llamabatch.defaults import MAX_FILES_PER_DIRECTORY
from airflow_provider_llamabatch.documents.results import ALL_OUTPUTS, PARQUET, outputs_for
from airflow_provider_llamabatch.exceptions import ResultsMissingError, fail_fast_on_permanent_errors
from airflow_provider_llamabatch.execution.arguments import (
    check_asset,
    check_booleans,
    check_conn_id,
    check_count,
    check_ids,
    check_outputs,
    check_share,
    check_words,
)
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.lineage import LineageMixin, report_written
from airflow_provider_llamabatch.links import OPERATOR_LINKS, push_link
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.tracing import span

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import jinja2
    from airflow.providers.common.compat.sdk import Asset, Context

    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.execution.saving import Checkpoints
    from airflow_provider_llamabatch.storage import Storage

EXTRACT = "extract_v2"


class SaveBatchResultsOperator(LineageMixin, BaseOperator):
    """
    Write the results of a batch's jobs below ``target``, a file per document, and a manifest with a row for each.

    A document's result is under its own relative path, made safe, and written whole or not at all. The manifest
    (``manifest.jsonl``; ``manifest-N.jsonl`` of a mapped task) says of every document what became of it, where its
    result is and what it cost. With extraction there are also all records in ``records.jsonl``. A retry goes on where
    the last try was. Returns ``{"manifest", "saved", "failed", "credits", "reused", "failed_before",
    "skipped", "doubtful", "statuses"}``, the same as XCom ``summary``, which is there too when the task fails because
    of its documents. Raises ``ValueError`` for a wrong constant.

    :param job_references: what ``BatchSensor`` or ``BatchJobsSensor`` returned; several such lists are fine too.
    :param target: the folder for the results: a local path, or a URL of any storage that Airflow reaches.
    :param outputs: of parse jobs any of ``markdown``, ``text`` and ``items``; extract jobs always give their records,
        and with ``parquet`` (needs the extra of this name) also one ``records.parquet``.
    :param source_directory_id: the directory (or directories) of the batch, for the documents' names.
    :param target_conn_id: the Airflow connection of the target's storage.
    :param max_concurrency: documents under way at once; what the deployment configures where not given.
    :param file_errors: XCom ``file_errors`` of the batch: why files got no job.
    :param upload: XCom ``upload`` of ``UploadDirectoryOperator`` with the same ``target``: then the manifest also has
        the documents that were reused, skipped, or never came to a job.
    :param configuration_id: the configuration that the jobs were made with; a later run reuses results by it.
    :param keep_earlier: keep the rows that the manifest has of other documents, as ``reused``: for a target that grows.
    :param min_confidence: 0 to 1; extracted documents of which the API is less sure in any field are counted as
        ``doubtful`` in the summary and listed in XCom ``doubtful``. Needs ``confidence_scores`` in the configuration.
    :param partitions: an asset of which each document that this run saves becomes a partition (Airflow 3.3 and newer),
        under the document's ``file``: a DAG scheduled by ``PartitionedAssetTimetable`` runs once per document. It
        becomes an outlet of the task; use an asset of its own, since other schedules never see its events.
    :param fail_on_partial_error: fail, after saving, when any document has no result, also one that failed in an
        earlier run and is not sent again. Without it the task fails only when documents were uploaded and no batch says
        anything about them.
    :param project_id: the project, the connection's where None.
    :param organization_id: the organization, the connection's where None.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    """

    template_fields: Sequence[str] = (
        "job_references",
        "target",
        "source_directory_id",
        "target_conn_id",
        "file_errors",
        "upload",
        "configuration_id",
        "project_id",
        "organization_id",
        "llamabatch_conn_id",
    )
    operator_extra_links = OPERATOR_LINKS
    lineage_inputs = ("source_directory_id",)
    lineage_outputs = ("target",)
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        job_references: Any,
        target: str | os.PathLike[str],
        outputs: Sequence[str] = ("markdown",),
        source_directory_id: str | Sequence[str] | None = None,
        target_conn_id: str | None = None,
        max_concurrency: int | None = None,
        file_errors: Any = None,
        upload: Any = None,
        configuration_id: str | None = None,
        keep_earlier: bool = False,
        min_confidence: float | None = None,
        partitions: Asset | None = None,
        fail_on_partial_error: bool = False,
        project_id: str | None = None,
        organization_id: str | None = None,
        llamabatch_conn_id: str = "llamabatch_default",
        **kwargs: Any,
    ) -> None:
        if partitions is not None:
            if not has_partitions():
                raise ValueError("partitions needs Airflow 3.3 or newer")
            check_asset("partitions", partitions)
            kwargs["outlets"] = [*(kwargs.get("outlets") or ()), partitions]
        super().__init__(**kwargs)
        self.job_references = job_references
        self.target = target
        self.outputs = outputs
        self.source_directory_id = source_directory_id
        self.target_conn_id = target_conn_id
        self.max_concurrency = configuration.max_concurrency(max_concurrency)
        self.file_errors = file_errors
        self.upload = upload
        self.configuration_id = configuration_id
        self.keep_earlier = keep_earlier
        self.min_confidence = min_confidence
        self.partitions = partitions
        self.fail_on_partial_error = fail_on_partial_error
        self.project_id = project_id
        self.organization_id = organization_id
        self.llamabatch_conn_id = llamabatch_conn_id
        check_conn_id(llamabatch_conn_id)
        check_booleans(keep_earlier=keep_earlier, fail_on_partial_error=fail_on_partial_error)
        check_words("outputs", outputs, ALL_OUTPUTS)
        check_count("max_concurrency", self.max_concurrency)
        check_share("min_confidence", min_confidence)
        check_ids(source_directory_id=source_directory_id)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render; where the upload never ran, end at once: Airflow would fail over its XCom in many words and retry."""
        if isinstance(self.upload, XComArg) and not has_xcom(self.upload, context):
            upload, failed = self.upload.operator.task_id, failed_before(context)  # type: ignore[attr-defined]
            if not failed and states_before(context).get(upload) == "skipped":
                raise AirflowSkipException(f"{upload} was skipped, so there is no result to save.")
            reason = f"{', '.join(failed)} failed" if failed else f"{upload} did not run or failed early"
            raise ResultsMissingError(
                f"Nothing was uploaded, so there is nothing to save: {reason}; see its log."
            )
        if (
            self.upload is not None
        ):  # which tells what there should be, so that no batch at all is not overlooked
            self._forget_absent(context)
        super().render_template_fields(context, jinja_env)

    def _forget_absent(self, context: Context) -> None:
        """Let XComs that no task has pushed be nothing: Airflow 2 fails over those of a mapped task, 3 does not."""
        for name in ("job_references", "file_errors"):
            reference = getattr(self, name)
            if isinstance(reference, XComArg) and not has_xcom(reference, context):
                setattr(self, name, None)

    def execute(self, context: Context) -> dict[str, Any]:
        """Fetch and write what is not written yet, then the manifest."""
        from airflow_provider_llamabatch.documents import manifest, result_plan, rows, upload_plan
        from airflow_provider_llamabatch.execution.concurrency import with_new_key
        from airflow_provider_llamabatch.execution.recording import check_parquet
        from airflow_provider_llamabatch.execution.reusing import as_before, keep_results
        from airflow_provider_llamabatch.execution.saving import Checkpoints, rows_in
        from airflow_provider_llamabatch.storage import Storage

        ti = context["ti"]
        identity = upload_plan.identity_of((ti.dag_id, ti.task_id, ti.run_id, ti.map_index))
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            push_link(context, hook, self.project_id)
            outputs = tuple(self.outputs)
            check_parquet(outputs)
            target = Storage(self.target, self.target_conn_id)
            # Nothing is told where no batch was made; without an upload it would be a save of nothing.
            is_told = self.job_references is not None or self.upload is None
            references = rows.references_in(self.job_references) if is_told else []
            self.note(job_references=references)
            for job_type in {one["job_reference"]["type"] for one in references}:
                if not outputs_for(job_type, outputs):
                    check_outputs(job_type, outputs)
            checkpoints = Checkpoints(target, f"{result_plan.SAVES}/{identity}")
            file_errors = rows.errors_in(self.file_errors)
            known = self._recorded(target) or self._listed(hook, [*references, *file_errors])
            documents = rows.rows_of(
                known,
                references,
                file_errors,
                self._configuration(hook),
                is_complete=self.upload is not None,
            )
            hopeless = [row for row in documents if row.failed_before]
            path = result_plan.numbered(result_plan.MANIFEST, ti.map_index)
            if self.keep_earlier:
                documents = rows.with_earlier(documents, rows_in(target, path) or [], known)
            save = partial(self._save, hook, target, checkpoints, documents, outputs)
            documents, failures = with_new_key(hook, save)
            documents = as_before(target, documents, path)
            self._write_records(hook, target, documents, outputs, ti.map_index)
            if path == result_plan.MANIFEST:
                keep_results(target, documents)
            target.write(path, manifest.to_lines(documents))
            if failures:  # another try asks for these again, and a later run need not pay for the others
                raise failures[0]
            checkpoints.clear()
            return self._conclude(context, documents, hopeless, target.url_of(path))

    def _recorded(self, target: Storage) -> list[Row]:
        """Return what the upload recorded below the target."""
        from airflow_provider_llamabatch.execution.saving import rows_in

        if self.upload is None:
            return []
        if not isinstance(self.upload, Mapping) or "files" not in self.upload:
            raise InvalidInputError(
                "upload",
                "must be XCom 'upload' of UploadDirectoryOperator, which is XComArg(the task, key='upload'), not "
                f"{self.upload!r:.100}",
            )
        if self.upload["files"] is None:
            raise ResultsMissingError(
                "The upload failed, so there is nothing to save: clear the task that uploads."
            )
        if not self.upload["files"]:
            raise AirflowSkipException("There was no file to upload, so there is no result to save.")
        record: str = self.upload.get("record") or ""
        rows = rows_in(target, record) if record else []
        if rows is None:
            raise ResultsMissingError(
                f"There is no {target.url_of(record)}, where the upload recorded its files. If the target was changed "
                "or cleared since, clear the task that uploads to have it written again."
            )
        return rows

    def _listed(self, hook: LlamaBatchHook, entries: Sequence[Mapping[str, Any]]) -> list[Row]:
        """Return the directory's files; those that a batch tells of also where they have been deleted since."""
        found = self._files(hook)
        lacking = {entry["source_directory_file_id"] for entry in entries} - found.keys()
        if lacking:
            deleted = self._files(hook, include_deleted=True)
            found |= {file_id: row for file_id, row in deleted.items() if file_id in lacking}
        return list(found.values())

    def _files(self, hook: LlamaBatchHook, **more: Any) -> dict[str, Row]:
        from airflow_provider_llamabatch.defaults import PAGE_SIZE
        from airflow_provider_llamabatch.documents.rows import from_directory_file
        from airflow_provider_llamabatch.llamacloud import calls
        from airflow_provider_llamabatch.llamacloud.call import checked_ids

        ids = checked_ids("source_directory_id", self.source_directory_id)
        more |= {"project_id": self.project_id, "organization_id": self.organization_id}
        return {
            file.id: from_directory_file(file, directory_id)
            for directory_id in ids
            for file in hook.iterate(calls.list_directory_files(directory_id, page_size=PAGE_SIZE, **more))
        }

    def _configuration(self, hook: LlamaBatchHook) -> str | None:
        from airflow_provider_llamabatch.execution.saving import configuration_of

        if self.configuration_id is None:
            return None
        return configuration_of(hook, self.configuration_id, self.project_id, self.organization_id)

    def _save(
        self,
        hook: LlamaBatchHook,
        target: Storage,
        checkpoints: Checkpoints,
        documents: list[Row],
        outputs: tuple[str, ...],
    ) -> tuple[list[Row], list[Exception]]:
        """Return all rows, those with a job with what became of it, and why some have to be asked for again."""
        from airflow_provider_llamabatch.documents.result_plan import plan_paths
        from airflow_provider_llamabatch.documents.rows import is_done
        from airflow_provider_llamabatch.execution import concurrency
        from airflow_provider_llamabatch.execution.saving import Saver
        from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

        rows = [row for row in documents if row.job_id and not row.reused]
        others = [row for row in documents if not row.job_id or row.reused]
        if not rows:
            return others, []
        report_written(target)
        # before the event loop begins: it asks Airflow for the connection
        settings = concurrency.settings_for(hook, self.project_id, self.organization_id)
        jobs = {row.job_id for row in rows}
        done = {row.job_id: row for row in checkpoints.rows() if row.job_id in jobs and is_done(row, outputs)}
        left = [row for row in rows if row.job_id not in done]
        needed = dict.fromkeys(output for row in left for output in outputs_for(row.job_type or "", outputs))
        taken = [path for row in (*others, *done.values()) for path in row.places]
        stems = plan_paths([row.file for row in left], list(needed), taken=taken)

        async def save() -> tuple[list[Row], list[Exception]]:
            async with AsyncClient(settings, max_connections=self.max_concurrency) as client:
                saver = Saver(client, target, checkpoints, self.log, self.max_concurrency, outputs)
                return await saver.save(rows, stems, done), saver.failures.errors

        with span("llamabatch.save", documents=len(rows), target=target.url):
            saved, failures = concurrency.run(save(), threads=self.max_concurrency)
        return [*saved, *others], failures

    def _write_records(
        self,
        hook: LlamaBatchHook,
        target: Storage,
        documents: list[Row],
        outputs: tuple[str, ...],
        map_index: int | None,
    ) -> None:
        """Write all extracted records into one file, in the manifest's order; a mapped task one per instance."""
        from airflow_provider_llamabatch.documents.result_plan import RECORDS, RECORDS_PARQUET, numbered
        from airflow_provider_llamabatch.execution import recording

        rows = sorted(
            (row for row in documents if row.job_type == EXTRACT and row.is_saved), key=lambda row: row.file
        )
        if not any(row.job_type == EXTRACT for row in documents):
            return  # without a record today the files are written all the same: they may hold those of another run
        recording.write_jsonl(target, numbered(RECORDS, map_index), rows, threads=self.max_concurrency)
        if PARQUET in outputs:
            scope = {"project_id": self.project_id, "organization_id": self.organization_id}
            schema = recording.schema_of(hook, self.configuration_id, scope)
            path = numbered(RECORDS_PARQUET, map_index)
            recording.write_parquet(target, path, rows, schema, threads=self.max_concurrency)

    def _conclude(
        self, context: Context, documents: list[Row], hopeless: list[Row], manifest_url: str
    ) -> dict[str, Any]:
        """Tell what came of the documents; ``hopeless`` are those of this run that failed in an earlier one."""
        from airflow_provider_llamabatch.documents import manifest, rows, usage
        from airflow_provider_llamabatch.execution.reusing import report_failed_before
        from airflow_provider_llamabatch.execution.saving import report_unsaved, unsaved

        failed = unsaved(documents)
        doubtful = manifest.doubtful(documents, below=self.min_confidence)
        summary: dict[str, Any] = {
            "manifest": manifest_url,
            "saved": sum(row.is_saved and not row.reused for row in documents),
            "failed": len(failed),
            "credits": manifest.credits_of(documents),
            **manifest.reused_counts(documents),
            "skipped": sum(row.status == manifest.SKIPPED for row in documents),
            "doubtful": len(doubtful),
            "statuses": manifest.statuses_of(documents),
        }
        xcom.push(context, xcom.SUMMARY, summary)
        xcom.push(context, xcom.USAGE, usage.of_rows(documents, failed))
        self.note(
            read=[row.directory_id for row in documents],
            credits=summary["credits"],
            files=summary["saved"],
            bytes=sum(row.bytes or 0 for row in documents if not row.reused),
        )
        metrics.documents_saved(documents)
        if self.min_confidence is not None:
            listed = [{"file": row.file, "confidence": row.confidence, "path": row.path} for row in doubtful]
            xcom.push(context, xcom.DOUBTFUL, listed[:MAX_FILES_PER_DIRECTORY])
        counted = ("saved", "reused", "skipped", "failed", "failed_before", "doubtful")
        counts = [f"{summary[name]} {name.replace('_', ' ')}" for name in counted]
        self.log.info("Wrote %s: %s", manifest_url, ", ".join(counts))
        report_unsaved(self.log, failed, len(documents))
        report_failed_before(self.log, hopeless)
        before = failed_before(context, just=True) if self.upload is not None else []
        if (lost := rows.missing(documents)) or before:
            which = ", ".join(before) or "a task before this one"
            what = f"{len(lost)} of {len(documents)} documents are in no batch, since " if lost else ""
            raise ResultsMissingError(
                f"{what}{which} failed; {sum(row.is_saved for row in documents)} of {len(documents)} documents have a "
                f"result. Clear {which} to process the others: see {manifest_url}"
            )
        if self.fail_on_partial_error and (lacking := len(failed) + len(hopeless)):
            raise ResultsMissingError(
                f"{lacking} of {len(documents)} documents have no result (fail_on_partial_error=True), {len(hopeless)} "
                f"of them since an earlier run: see {manifest_url}"
            )
        if self.partitions is not None:
            keys = [manifest.partition_key(row) for row in documents if row.is_saved and not row.reused]
            add_partitions(context, self.partitions, keys, {"manifest": manifest_url})
        return summary
