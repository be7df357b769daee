"""Carries out what ``documents.new_files`` decides: a batch per run over what is new in a directory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import sleep, time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_llamabatch.assets import directory_uri
from airflow_provider_llamabatch.batches.evidence import of_directory, unless_gone
from airflow_provider_llamabatch.batches.record import DIRECTORY_KEY
from airflow_provider_llamabatch.batches.submission import ADOPTION_PAUSES
from airflow_provider_llamabatch.defaults import PAGE_SIZE
from airflow_provider_llamabatch.documents.new_files import Processed, variable_of
from airflow_provider_llamabatch.documents.upload_plan import identity_of
from airflow_provider_llamabatch.execution.concurrency import send_each
from airflow_provider_llamabatch.execution.directory_record import DirectoryRecord
from airflow_provider_llamabatch.execution.following import follow_up_directory
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, LlamaCloudError, NotFoundError
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.models import Batch, DirectoryFile

T = TypeVar("T")

MAX_CONFIRMED = 100  # files that a list lacks and that are asked for one by one, per run


@dataclass(slots=True)
class Recurring:
    """
    One run over what is new in ``directory_id``.

    A later try, and a Clear, take the files that this run has taken before and the batch that goes with them. What was
    processed is kept in a Variable, or in the directory's asset where the task declares it (Airflow 3.3). It is written
    before anything is submitted, so what a run that died has paid for is known to the next one.
    Two runs at once are not told apart: the DAG needs ``max_active_runs=1``.
    """

    hook: LlamaBatchHook
    directory_id: str
    context: Context
    log: Logger
    scope: dict[str, Any]

    def prepare(self) -> tuple[str, dict[str, str], Batch | None]:
        """
        Return the run's follow-up directory, its files' origins, and the batch over it if there is one already.

        Raises ``AirflowSkipException`` when there is nothing new.
        """
        files = self._files(self.directory_id)
        processed = self._load()
        ti = self.context["ti"]
        name = (
            f"new files [{identity_of((ti.dag_id, ti.task_id, ti.run_id, ti.map_index, self.directory_id))}]"
        )
        record = DirectoryRecord(self.context, DIRECTORY_KEY, name)
        mine = self._made_before(record, processed)
        batch = self._batch_over(mine) if mine else None
        if mine and batch is not None:
            return self._going_on(mine, batch)
        self._settle(processed, besides=mine)
        processed.prune(self._gone(processed.missing(files)))
        taken = set(processed.let_go(mine or ""))
        new = processed.new(files)
        if not new:
            # Its batch may have ended within the minute in which a list need not show it.
            batch = _looked_for(partial(self._batch_over, mine), ADOPTION_PAUSES) if mine else None
            if mine and batch is not None:
                return self._going_on(mine, batch)
            self._save(processed)
            raise AirflowSkipException(f"There is nothing new in {self.directory_id} ({len(files)} files)")
        self.log.info("%s of %s files are new or changed", len(new), len(files))
        taking = [file for file in new if not taken or file.id in taken] or new
        ids = [file.id for file in taking]

        def keep(made: str) -> None:
            record.save(made)
            processed.take(made, taking, at=time())  # before it is filled: another run may look meanwhile
            self._save(processed)

        followed = follow_up_directory(
            self.hook, self.directory_id, ids, name, self.log, **self.scope, known=mine, keep=keep
        )
        if followed is None:
            raise AirflowSkipException(
                f"What is new in {self.directory_id} cannot be added to another directory"
            )
        directory_id, origin = followed
        processed.take(directory_id, [file for file in new if file.id in origin.values()], at=time())
        self._save(processed)
        return directory_id, origin, None

    def taken(self, follow_up_id: str, origin: Mapping[str, str]) -> None:
        """Note, before a batch is submitted over them, which files are tried again."""
        again = set(origin.values())
        processed = self._load()
        files = [file for file in self._files(self.directory_id) if file.id in again]
        processed.take(follow_up_id, files, at=time())
        self._save(processed)

    def ended(self, follow_up_id: str, with_job: Iterable[str]) -> None:
        """Note that a batch of the run has ended, and which files it gave a job."""
        processed = self._load()
        processed.ended(follow_up_id, with_job)
        self._save(processed)

    def _made_before(self, record: DirectoryRecord, processed: Processed) -> str | None:
        """Return the follow-up directory that this run has made, by what is recorded of it, or else as it is listed."""

        def look() -> str | None:
            for known in filter(None, (record.load(), *processed.pending)):
                if self._is_called(known, record.name):
                    return known
            return self._directory_called(record.name)

        return _looked_for(look, record.pauses)

    def _going_on(self, mine: str, batch: Batch) -> tuple[str, dict[str, str], Batch]:
        self.log.info("This run has batch %s over what was new: going on with it", batch.id)
        return mine, {file.id: file.unique_id or "" for file in self._files(mine)}, batch

    def _settle(self, processed: Processed, besides: str | None) -> None:
        """
        Find out what became of batches of runs that never saw them end.

        One that may be too young for the list is looked for as after a lost answer, all of them together.
        """
        found: dict[str, Batch | None] = {}
        sought = [key for key in processed.pending if key != besides]
        for pause in ADOPTION_PAUSES if sought else ():
            sleep(pause)
            found.update({directory_id: self._batch_over(directory_id) for directory_id in sought})
            now = time()
            sought = [key for key in sought if found[key] is None and processed.may_be_unlisted(key, now)]
            if not sought:
                break
        for directory_id, batch in found.items():
            if batch is None:
                processed.ended(directory_id, ())
            elif batch.is_terminal:
                self._ended_unseen(processed, directory_id, batch)

    def _ended_unseen(self, processed: Processed, directory_id: str, batch: Batch) -> None:
        """Note which files a batch gave a job, all of them where that can no longer be told."""
        origin: dict[str, str] | None = None
        with_job: list[str] | None = None
        with unless_gone():
            origin = {file.id: file.unique_id or "" for file in self._files(directory_id)}
        if origin is not None:
            results = self.hook.get_batch(batch.id, expand_results=True, **self.scope).results
            if results is None:  # they may come yet, and until then each file may have been paid for
                return
            ids = [result.source_directory_file_id for result in results if result.job_reference]
            if {*ids} <= origin.keys():  # else the list was not whole
                with_job = [origin[file_id] for file_id in ids]
        processed.ended(directory_id, with_job)
        self.log.warning(
            "An earlier run did not see batch %s end; its files are not taken again: clear that run",
            batch.id,
        )

    def _gone(self, file_ids: list[str]) -> list[str]:
        """
        Return which files are gone as LlamaCloud says of each: a list that leaves one out would have it paid for again.

        So many are asked for that a run is not held up; the others stay known, which costs nothing.
        """
        asked = file_ids[:MAX_CONFIRMED]
        try:
            told = send_each(
                self.hook, [calls.get_directory_file(self.directory_id, one, **self.scope) for one in asked]
            )
        except LlamaCloudError as error:
            self.log.warning("Could not ask for files that the list lacks: %s", error)
            return []
        return [
            file_id
            for file_id, answer in zip(asked, told, strict=True)
            if (isinstance(answer, NotFoundError) and answer.from_api)
            or getattr(answer, "deleted_at", None) is not None
        ]

    def _batch_over(self, directory_id: str) -> Batch | None:
        """Return the newest batch over a directory that made something."""
        found = self.hook.list_batches(source_directory_id=directory_id, **self.scope)
        its_own = of_directory(found, directory_id)
        return next((batch for batch in its_own if batch.status not in FAILED_STATUSES), None)

    def _files(self, directory_id: str) -> list[DirectoryFile]:
        call = calls.list_directory_files(directory_id, page_size=PAGE_SIZE, **self.scope)
        return list(self.hook.iterate(call))

    def _is_called(self, directory_id: str, name: str) -> bool:
        with unless_gone():
            found = self.hook.send(calls.get_directory(directory_id, **self.scope))
            return found.name == name and found.deleted_at is None
        return False

    def _directory_called(self, name: str) -> str | None:
        call = calls.list_directories(name=name, page_size=PAGE_SIZE, **self.scope)
        found = (one.id for one in self.hook.iterate(call) if one.name == name and one.deleted_at is None)
        return next(found, None)

    @property
    def _variable(self) -> str:
        ti = self.context["ti"]
        return variable_of(identity_of((ti.dag_id, ti.task_id, self.directory_id)))

    @property
    def _asset_state(self) -> Any:
        from airflow_provider_llamabatch import airflow_compat

        return airflow_compat.asset_state(self.context, directory_uri(self.directory_id))

    def _load(self) -> Processed:
        from airflow_provider_llamabatch import airflow_compat

        kept = self._asset_state.get(self._variable) if self._asset_state else None
        try:
            return Processed.from_json(kept or airflow_compat.get_variable(self._variable))
        except ValueError as error:
            raise InvalidInputError(
                f"{'the asset state' if kept else 'the Airflow Variable'} {self._variable}",
                f"{error}; put back what it held. Where it is deleted, all files of {self.directory_id} count as new "
                "and are paid for again",
            ) from None

    def _save(self, processed: Processed) -> None:
        from airflow_provider_llamabatch import airflow_compat

        if self._asset_state:
            self._asset_state.set(self._variable, processed.to_json())
        # Also then: a task that no longer declares the asset goes on from the Variable.
        airflow_compat.set_variable(
            self._variable, processed.to_json(), f"What was processed of {self.directory_id}"
        )


def _looked_for(look: Callable[[], T | None], pauses: Sequence[float]) -> T | None:
    """Look for something after each pause until it is there."""
    for pause in pauses:
        sleep(pause)
        if (found := look()) is not None:
            return found
    return None
