"""The operator that brings documents from any storage into LlamaCloud directories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_llamabatch import configuration, metrics, xcom
from airflow_provider_llamabatch.defaults import DIRECTORY_TYPES, MAX_FILES_PER_DIRECTORY, MAX_LISTED_FILES
from airflow_provider_llamabatch.documents.results import ALL_OUTPUTS
from airflow_provider_llamabatch.exceptions import (
    DocumentsRefusedError,
    StorageError,
    fail_fast_on_permanent_errors,
)
from airflow_provider_llamabatch.execution.arguments import (
    check_booleans,
    check_conn_id,
    check_count,
    check_limit,
    check_pattern,
    check_word,
    check_words,
)
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.lineage import LineageMixin, report_read
from airflow_provider_llamabatch.links import OPERATOR_LINKS, push_link
from airflow_provider_llamabatch.tracing import span

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_llamabatch.documents.manifest import Row
    from airflow_provider_llamabatch.documents.upload_plan import Refused, SourceFile
    from airflow_provider_llamabatch.execution.uploading import Uploaded
    from airflow_provider_llamabatch.storage import Storage

ALWAYS = "always"
_WORDS = {
    "directory_type": DIRECTORY_TYPES,
    "if_empty": ("skip", "fail", "succeed"),
    "on_unsupported": ("skip", "fail"),
}


class UploadDirectoryOperator(LineageMixin, BaseOperator):
    """
    Upload a folder of documents into LlamaCloud directories and return the directories' ids, always as a list.

    Each file is uploaded once, whatever dies in between: a retry goes on where the last try was. XCom ``upload`` counts
    ``directories``, ``files``, ``uploaded``, ``kept`` (there already), ``reused``, ``skipped``, ``removed`` and
    ``bytes``; ``record`` is where below ``target`` it is recorded what became of each file (None without a target).
    ``files`` is None until the upload is over, however the task ends. Raises ``ValueError`` for a wrong constant.

    :param source: folder, single file or glob: a local path, or a URL of any storage that Airflow reaches.
    :param pattern: which files below the folder; ``**`` crosses folders.
    :param source_conn_id: the Airflow connection of the storage.
    :param directory_id: an existing directory to upload into. By default each run makes its own.
    :param directory_name: what a new directory is called; an identity of the task instance is added.
    :param directory_type: ``ephemeral`` (cleaned up by LlamaCloud) or ``user`` (kept).
    :param max_files_per_directory: a batch takes at most 1,000; more files become several directories.
    :param changed_only: into an existing directory, send only what is new or has another content than what it holds.
    :param mirror: remove from an existing directory what was uploaded to it, from any source, and this one lacks; where
        there is nothing at all, only with ``if_empty="succeed"``.
    :param if_empty: without a single file to send: ``skip``, ``fail`` or ``succeed`` (and return an empty list).
    :param on_unsupported: what to do about files that LlamaCloud refuses (unknown types, empty, too long): ``skip``
        names them in the log and in the record; ``fail`` fails before anything is sent. What LlamaCloud itself refuses
        as it is sent has no job; ``fail`` fails then.
    :param max_files: fail before anything is sent when there are more files to send than this.
    :param max_pages: the same for pages, counted in PDFs (needs the extra ``pages``; every PDF is read for it).
    :param target: the folder where the results will be saved; what is recorded for them goes there.
    :param target_conn_id: the Airflow connection of the target's storage.
    :param reuse: leave out files whose content already has a result under ``target``, made with ``configuration_id``
        in its present version and with all ``outputs``; not with ``directory_id``.
    :param configuration_id: the configuration that the files will be processed with, for ``reuse``.
    :param outputs: what will be saved of each document, for ``reuse``.
    :param max_concurrency: files under way at once; what the deployment configures where not given.
    :param project_id: the project, the connection's where None.
    :param organization_id: the organization, the connection's where None.
    :param llamabatch_conn_id: the Airflow connection with the API key.
    """

    template_fields: Sequence[str] = (
        "source",
        "pattern",
        "source_conn_id",
        "directory_id",
        "directory_name",
        "target",
        "target_conn_id",
        "configuration_id",
        "project_id",
        "organization_id",
        "llamabatch_conn_id",
    )
    operator_extra_links = OPERATOR_LINKS
    lineage_inputs = ("source",)
    lineage_outputs = ("directory_id",)
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        source: str | os.PathLike[str],
        pattern: str = "**/*",
        source_conn_id: str | None = None,
        directory_id: str | None = None,
        directory_name: str = "{{ dag.dag_id }} {{ run_id }}",
        directory_type: str = "ephemeral",
        max_files_per_directory: int = MAX_FILES_PER_DIRECTORY,
        changed_only: bool = False,
        mirror: bool = False,
        if_empty: str = "skip",
        on_unsupported: str = "skip",
        max_files: int | None = None,
        max_pages: int | None = None,
        target: str | os.PathLike[str] | None = None,
        target_conn_id: str | None = None,
        reuse: bool = False,
        configuration_id: str | None = None,
        outputs: Sequence[str] = ("markdown",),
        max_concurrency: int | None = None,
        project_id: str | None = None,
        organization_id: str | None = None,
        llamabatch_conn_id: str = "llamabatch_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.pattern = pattern
        self.source_conn_id = source_conn_id
        self.directory_id, self._has_directory = directory_id, directory_id is not None
        self.directory_name = directory_name
        self.directory_type = directory_type
        self.max_files_per_directory = max_files_per_directory
        self.changed_only = changed_only
        self.mirror = mirror
        self.if_empty = if_empty
        self.on_unsupported = on_unsupported
        self.max_files = max_files
        self.max_pages = max_pages
        self.target, self._has_target = target, target is not None
        self.target_conn_id = target_conn_id
        self.reuse = reuse
        self.configuration_id = configuration_id
        self.outputs = outputs
        self.max_concurrency = configuration.max_concurrency(max_concurrency)
        self.project_id = project_id
        self.organization_id = organization_id
        self.llamabatch_conn_id = llamabatch_conn_id
        check_conn_id(llamabatch_conn_id)
        for argument, words in _WORDS.items():
            check_word(argument, getattr(self, argument), words)
        check_booleans(changed_only=changed_only, mirror=mirror, reuse=reuse)
        check_words("outputs", outputs, ALL_OUTPUTS)
        check_count("max_concurrency", self.max_concurrency)
        check_count("max_files_per_directory", max_files_per_directory, highest=MAX_FILES_PER_DIRECTORY)
        check_pattern(pattern)
        check_limit("max_files", max_files)
        check_limit("max_pages", max_pages)
        if (mirror or changed_only) and directory_id is None:
            named = "mirror" if mirror else "changed_only"
            raise ValueError(
                f"{named}=True needs directory_id: it is about what that directory holds already"
            )
        if reuse and directory_id is not None:
            raise ValueError(
                "reuse=True and directory_id exclude each other: a batch takes every file that the directory holds, "
                "also those that have results; changed_only=True spares sending them again"
            )
        if reuse and (target is None or configuration_id is None):
            raise ValueError("reuse=True needs target and configuration_id: where results are, and of what")

    def execute(self, context: Context) -> list[str]:
        """Look at the source, refuse what is to be refused, upload the rest."""
        from airflow_provider_llamabatch.documents import rows, upload_plan
        from airflow_provider_llamabatch.execution.saving import write_upload
        from airflow_provider_llamabatch.storage import Storage, files_outside

        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            push_link(context, hook, self.project_id)
            ti = context["ti"]
            xcom.push(context, xcom.UPLOAD, {"files": None})  # whoever pulls it after a failure finds this
            self._check_rendered()
            url, pattern = upload_plan.split_pattern(self.source, self.pattern)
            source = Storage(url, self.source_conn_id, argument="source")
            target = Storage(self.target, self.target_conn_id) if self.target is not None else None
            found = files_outside(target, source, pattern)
            files, refused = upload_plan.preflight(found)
            self._report(files, refused)
            reused, known, key = self._reused(hook, source, target, files)
            sending = [file for file in files if file.path not in reused]
            self._refuse_surprises(source, sending)
            identity = upload_plan.identity_of((ti.dag_id, ti.task_id, ti.run_id, ti.map_index))
            uploaded = self._upload(
                hook, source, sending, refused, known, identity, ti.try_number > ti.max_tries
            )
            metrics.files_uploaded(uploaded, reused=reused.values(), skipped=len(refused))
            self.note(written=uploaded.directory_ids, files=uploaded.uploaded, bytes=uploaded.bytes)
            for row in uploaded.rows.values():
                row.configuration = key  # as it is now: somebody may change it before the results are saved
            uploaded.rows = {one.path: rows.skipped(one) for one in refused} | uploaded.rows | reused
            record = write_upload(target, uploaded.rows.values(), identity) if target is not None else None
            is_empty = not reused and not uploaded.directory_ids
            if not is_empty or self.if_empty != "fail":  # which is no summary of nothing to do
                xcom.push(context, xcom.UPLOAD, uploaded.summary(reused.values(), record))
            uploaded.check(accept_refusals=self.on_unsupported != "fail", is_empty=is_empty)
            if is_empty:
                self._end_empty(len(found))
            return uploaded.directory_ids

    def _check_rendered(self) -> None:
        """Refuse what was given as a template or an output, and is nothing: it would be as if it were not given."""
        from airflow_provider_llamabatch.execution.recording import check_parquet
        from airflow_provider_llamabatch.llamacloud.call import refuse_nothing

        check_parquet(self.outputs)
        if self._has_target:
            refuse_nothing("target", self.target)
        if self._has_directory:
            refuse_nothing("directory_id", self.directory_id)

    def _report(self, files: list[SourceFile], refused: list[Refused]) -> None:
        if not refused:
            self.log.info("Found %s files in %s", len(files), self.source)
            return
        if self.mirror and any(one.path.endswith("/") for one in refused):  # what is in it is not gone
            raise StorageError(f"Folders of {self.source} may not be listed, so mirror=True removes nothing.")
        named = "\n".join(f"  {one.path}: {one.reason}" for one in refused[:MAX_LISTED_FILES])
        more = f"\n  and {len(refused) - MAX_LISTED_FILES} more" if len(refused) > MAX_LISTED_FILES else ""
        if self.on_unsupported == "fail":
            raise DocumentsRefusedError(
                f"{len(refused)} files cannot be processed, so nothing was sent (on_unsupported='fail'):\n{named}{more}"
            )
        self.log.warning(
            "%s of %s files are left out:\n%s%s", len(refused), len(files) + len(refused), named, more
        )

    def _reused(
        self, hook: LlamaBatchHook, source: Storage, target: Storage | None, files: list[SourceFile]
    ) -> tuple[dict[str, Row], dict[str, str], str | None]:
        """Return the rows of files that need not be sent, the SHA-256 of all that were read, and the configuration."""
        from airflow_provider_llamabatch.execution.reusing import earlier_results, report_reused, reused_rows
        from airflow_provider_llamabatch.execution.saving import configuration_of

        if not self.reuse or target is None:
            return {}, {}, None
        scope = {"project_id": self.project_id, "organization_id": self.organization_id}
        key = configuration_of(hook, self.configuration_id or "", **scope, must_exist=True)
        earlier = earlier_results(target, key, self.outputs, threads=self.max_concurrency)
        reused, known = reused_rows(earlier, source, files, threads=self.max_concurrency)
        report_reused(self.log, reused.values(), len(files))
        return reused, known, key

    def _refuse_surprises(self, source: Storage, files: list[SourceFile]) -> None:
        from airflow_provider_llamabatch.execution.pages import pages_by_path

        if self.max_files is not None and len(files) > self.max_files:
            raise DocumentsRefusedError(
                f"There are {len(files)} files to send, more than max_files={self.max_files}; nothing was sent."
            )
        if self.max_pages is None:
            return
        pages = sum(pages_by_path(source, files, threads=self.max_concurrency).values())
        if pages > self.max_pages:
            raise DocumentsRefusedError(
                f"The PDFs to send have {pages} pages, more than max_pages={self.max_pages}; nothing was sent."
            )

    def _upload(
        self,
        hook: LlamaBatchHook,
        source: Storage,
        files: list[SourceFile],
        refused: list[Refused],
        known: dict[str, str],
        identity: str,
        is_last_try: bool,
    ) -> Uploaded:
        from airflow_provider_llamabatch.execution import concurrency
        from airflow_provider_llamabatch.execution.uploading import Target, Uploaded, Uploader
        from airflow_provider_llamabatch.llamacloud.transport import AsyncClient

        # Nothing at all may be a share that is not mounted: not a reason to empty a directory.
        mirror = self.mirror and (bool(files or refused) or self.if_empty == "succeed")
        if not files and not mirror:
            return Uploaded()
        report_read(source)
        target = Target(
            directory_id=self.directory_id,
            name=self.directory_name,
            type=self.directory_type,
            identity=identity,
            scope="" if self.changed_only or self.directory_id is None else identity,
            mirror=mirror,
            max_files=self.max_files_per_directory,
        )

        def upload() -> Uploaded:
            settings = concurrency.settings_for(hook, self.project_id, self.organization_id)
            client, limit = AsyncClient(settings, max_connections=self.max_concurrency), self.max_concurrency
            uploader = Uploader(client, source, target, self.log, limit, known, is_last_try)

            async def uploading() -> Uploaded:
                async with client:
                    return await uploader.upload(files, [one.path for one in refused])

            return concurrency.run(uploading(), threads=limit)

        with span("llamabatch.upload", files=len(files), source=source.url):
            uploaded = concurrency.with_new_key(hook, upload)
        self.log.info(
            "Uploaded %s files (%s bytes), %s were there already, %s removed; directories: %s",
            uploaded.uploaded,
            uploaded.bytes,
            uploaded.kept,
            uploaded.removed,
            ", ".join(uploaded.directory_ids) or "none",
        )
        return uploaded

    def _end_empty(self, found: int) -> None:
        fact = f"There is no file to process in {self.source} (pattern {self.pattern}): {found} found, all left out."
        if self.if_empty == "fail":
            raise DocumentsRefusedError(f"{fact} if_empty='skip' or 'succeed' would not fail here.")
        if self.if_empty == "skip":
            raise AirflowSkipException(fact)
        self.log.info(fact)


class DeleteDirectoryOperator(LineageMixin, BaseOperator):
    """
    Delete directories of LlamaCloud, with what they hold, and return their ids. One that is gone already is no error.

    :param directory_id: a directory's id, or a list of ids; None and an empty list delete nothing.
    :param only_after: without this value, such as a save's output, nothing is deleted, so that the save can be cleared.
    :param project_id: the project, the connection's where None.
    :param organization_id: the organization, the connection's where None.
    :param llamabatch_conn_id: the Airflow connection with the API key; an API key itself raises ``ValueError``.
    """

    template_fields: Sequence[str] = (
        "directory_id",
        "only_after",
        "project_id",
        "organization_id",
        "llamabatch_conn_id",
    )
    operator_extra_links = OPERATOR_LINKS
    lineage_outputs = ("directory_id",)
    lineage_drops = True
    ui_color = "#e8e4ff"

    def __init__(
        self,
        *,
        directory_id: Any,
        only_after: Any = ALWAYS,
        project_id: str | None = None,
        organization_id: str | None = None,
        llamabatch_conn_id: str = "llamabatch_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.directory_id = directory_id
        self.only_after = only_after
        self.project_id = project_id
        self.organization_id = organization_id
        self.llamabatch_conn_id = llamabatch_conn_id
        check_conn_id(llamabatch_conn_id)

    def execute(self, context: Context) -> list[str]:
        """Delete the directories."""
        from airflow_provider_llamabatch.batches.evidence import unless_gone
        from airflow_provider_llamabatch.llamacloud import call, calls

        with fail_fast_on_permanent_errors():
            directory_ids = call.checked_ids("directory_id", self.directory_id)
        self.note(written=directory_ids)
        if not self.only_after:
            if not directory_ids:
                raise AirflowSkipException("There is no directory to delete.")
            raise AirflowSkipException(f"Left alone, since a task before this one failed: {directory_ids}")
        scope = {"project_id": self.project_id, "organization_id": self.organization_id}
        with fail_fast_on_permanent_errors(), LlamaBatchHook(self.llamabatch_conn_id) as hook:
            push_link(context, hook, self.project_id)
            for directory_id in directory_ids:
                with unless_gone():
                    hook.send(calls.delete_directory(directory_id, **scope))
                self.log.info("Deleted directory %s", directory_id)
        return directory_ids
