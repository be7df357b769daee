"""Carries out what ``batches.submission`` decides: one submission per task instance, whatever dies in between."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.batches import submission
from airflow_provider_llamabatch.batches.submission import Action, Decision, Record, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk.types import Logger

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import Batch

PAGE_SIZE = 100
MOST_SUBMISSIONS = 3  # POSTs whose answers were lost and of which no trace was found

# The names that Airflow's own resumable operators count under, by what was decided about a recorded batch.
_METRICS = {
    Action.REJOIN: "reconnect_success",
    Action.RETURN: "already_succeeded",
    Action.SUBMIT: "terminal_resubmit",
}


@dataclass(slots=True)
class Submitter:
    """
    Submits ``request`` once per task instance and returns the batch's id.

    ``store`` is Airflow's task state store (3.3 and newer) or None. ``call`` is the POST itself.
    """

    hook: LlamaBatchHook
    call: Call[Batch]
    request: Request
    context: Context
    log: Logger
    fresh: bool = False
    batch: Batch | None = None  # as last seen
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def submit_or_rejoin(self) -> str:
        """Return the id of the one batch of this task instance, submitting it if that is called for."""
        decision = self._decide()
        self._report(decision)
        return decision.batch_id or self._submit()

    def _decide(self) -> Decision:
        store = self._store
        if store is None:
            return self._decide_without_record()
        record = None if self.fresh else submission.read_record(store.get(submission.RECORD_KEY))
        decision = submission.decide_by_record(record, self.request, fresh=self.fresh)
        if record is not None and decision.action is Action.ADOPT:
            found = self._adopt(record)
            if found is None:
                _count("fresh_submit")
                return Decision(Action.SUBMIT, "an earlier try meant to submit, but made no batch")
            record = record.submitted(found.id)
            store.set(submission.RECORD_KEY, record.to_json())
            decision = Decision(Action.LOOK_UP, "an earlier try submitted it", found.id)
        if record is not None and decision.action is Action.LOOK_UP:
            return self._decide_by_status(record)
        _count("fresh_submit")
        return decision

    def _decide_by_status(self, record: Record) -> Decision:
        status = self._status_of(record.batch_id)
        decision = submission.decide_by_status(record, status, max_tries=self._max_tries, now=self.clock())
        _count("reconnect_attempt")
        _count(_METRICS[decision.action])
        if decision.action is Action.REJOIN and record.max_tries != self._max_tries:
            # A cleared task that rejoined its batch owns it from here on, retries included.
            self._record(replace(record, max_tries=self._max_tries))
        return decision

    def _decide_without_record(self) -> Decision:
        """Below Airflow 3.3 nothing survives a try, so a later one looks for what an earlier one made."""
        ti = self.context["ti"]
        if self.fresh or ti.try_number <= 1:
            return Decision(
                Action.SUBMIT, "fresh=True asks for a new batch" if self.fresh else "this is the first try"
            )
        earliest = datetime.fromtimestamp(self.clock() - submission.LISTED_SECONDS, UTC)
        since = self.context["dag_run"].start_date or earliest
        found = submission.rejoinable(
            self.request,
            self._listed(since.timestamp()),
            since=since,
            cleared=self._max_tries != (getattr(ti.task, "retries", None) or 0),
        )
        if found is None:
            return Decision(Action.SUBMIT, "no batch of an earlier try of this run goes on")
        self.batch = found
        action = Action.RETURN if found.is_terminal else Action.REJOIN
        return Decision(action, f"an earlier try of this run made it ({found.status})", found.id)

    def _submit(self) -> str:
        """
        Record the intent, send the POST, record the id.

        A lost answer is no failure: the batch that came of it is looked for, and only if there is none is the POST
        sent again.
        """
        from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
        from airflow_provider_llamabatch.llamacloud.retries import outcome_unknown

        for attempt in range(1, MOST_SUBMISSIONS + 1):
            record = self._record_intent()
            try:
                batch = self.hook.send(self.call)
            except LlamaCloudError as error:
                if not outcome_unknown(error):
                    self._forget_intent()
                    raise
                self.log.warning("It is not known whether the batch was made, so it is looked for: %s", error)
                found = self._adopt(record)
                if found is None and attempt == MOST_SUBMISSIONS:
                    raise
                if found is None:
                    continue
                batch = found
                self._report(Decision(Action.ADOPT, "the submission's answer was lost", batch.id))
            self._record(record.submitted(batch.id))
            self.batch = batch
            return batch.id
        raise AssertionError("unreachable")

    def _record_intent(self) -> Record:
        now = self.clock()
        record = submission.intent(
            self.request,
            self._listed(now - submission.LISTED_SECONDS),
            max_tries=self._max_tries,
            now=now,
        )
        self._record(record)
        return record

    def _record(self, record: Record) -> None:
        if self._store is not None:
            self._store.set(submission.RECORD_KEY, record.to_json())

    def _forget_intent(self) -> None:
        """Nothing was made, so nothing is left to look for."""
        if self._store is not None:
            self._store.delete(submission.RECORD_KEY)

    def _adopt(self, record: Record) -> Batch | None:
        """Look a few times for the batch that a submission made; the list may lag behind."""
        for rest in submission.ADOPTION_PAUSES:
            self.sleep(rest)
            listed = self._listed(record.intended_at - submission.LISTED_SECONDS)
            found = submission.adoptable(record, self.request, listed)
            if found is not None:
                return found
        return None

    def _listed(self, since: float) -> Iterator[Batch]:
        from airflow_provider_llamabatch.llamacloud import calls

        return self.hook.iterate(
            calls.list_batches(
                source_directory_id=self.request.source_directory_id,
                created_at_on_or_after=datetime.fromtimestamp(since, UTC) - timedelta(seconds=1),
                page_size=PAGE_SIZE,
            )
        )

    def _status_of(self, batch_id: str) -> str | None:
        from airflow_provider_llamabatch.llamacloud.errors import NotFoundError

        try:
            self.batch = self.hook.get_batch(batch_id)
        except NotFoundError:
            return None
        return self.batch.status

    def _report(self, decision: Decision) -> None:
        which = f"batch {decision.batch_id}" if decision.batch_id else "a new batch"
        self.log.info("Decided to %s %s: %s", decision.action.value, which, decision.reason)

    @property
    def _store(self) -> Any:
        return self.context.get("task_state_store")

    @property
    def _max_tries(self) -> int:
        return int(self.context["ti"].max_tries)


def _count(what: str) -> None:
    from airflow.providers.common.compat.sdk import Stats

    Stats.incr(f"resumable_job.{what}", tags={"operator": "CreateBatchOperator"})
