"""
The order in which a submission happens, as a flow: one batch per task instance, whatever dies in between.

A round decides by the record and, where that calls for a POST, sends at most one:

    load the record, decide; list what POSTs of unknown outcome may have made; adopt it, rejoin it, or go on
    list the directory (only for a new intent), load the record again, save the intent, load it once more
    POST                                               -> save the id
    the outcome is unknown                             -> another round, which lists before it sends
    another try has acted, or this process stood still -> another round, which decides anew

The intent is saved as a POST of unknown outcome before that POST is sent, and only an answer that rules a batch out
takes that back. So a process can die anywhere. A try that goes by another one's intent puts its own name on it before
it lists, so that an earlier try that is still alive submits nothing after that list.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import random
from typing import TYPE_CHECKING

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import submission
from airflow_provider_llamabatch.batches.flow import Sleep, send
from airflow_provider_llamabatch.batches.submission import (
    Action,
    Decision,
    Submission,
    SubmissionUndecidedError,
)
from airflow_provider_llamabatch.batches.submit_lookups import Lookups
from airflow_provider_llamabatch.batches.submit_record import OVERTAKEN, RecordKeeper
from airflow_provider_llamabatch.llamacloud.errors import InvalidResponseError, LlamaCloudError, StatusError
from airflow_provider_llamabatch.llamacloud.retries import outcome_unknown, surely_not_processed
from airflow_provider_llamabatch.llamacloud.statuses import FAILED_STATUSES
from airflow_provider_llamabatch.polling.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from airflow.sdk.types import Logger as TaskLogger

    from airflow_provider_llamabatch.batches.flow import Flow
    from airflow_provider_llamabatch.batches.record import Record
    from airflow_provider_llamabatch.batches.submission import Request, TaskFacts
    from airflow_provider_llamabatch.llamacloud.call import Call
    from airflow_provider_llamabatch.llamacloud.models import Batch

MAX_ROUNDS = 12  # within one try


@dataclass(slots=True)
class SubmitFlow:
    """
    Submits ``request`` by the POST ``create``, or finds the batch that an earlier try submitted.

    ``host`` is only for the log; ``clock`` gives epoch seconds, and ``began`` is when the try did, where that is known.
    """

    request: Request
    create: Call[Batch]
    task: TaskFacts
    clock: Callable[[], float]
    log: Logger | TaskLogger
    host: str = ""
    random: Callable[[], float] = random
    began: float | None = None
    _lookups: Lookups = field(init=False, repr=False)
    _keeper: RecordKeeper = field(init=False, repr=False)
    _recorded: Action | None = None
    _had: tuple[str, ...] = ()  # batches of before, as far as recorded: never the one of a new POST
    _earlier: Batch | None = None  # the recorded one as it was read: what a new POST makes is younger
    _unknown: int = 0  # POSTs of this try whose outcome is unknown
    _last_error: LlamaCloudError | None = None
    _not_sent: list[float] = field(default_factory=list)  # pauses after POSTs that surely made nothing

    def __post_init__(self) -> None:
        self._lookups = Lookups(self.request, self.clock, self.log)
        now = self.clock()
        try_began = now if self.began is None else self.began
        self._keeper = RecordKeeper(self.request, self.task, self.clock, self.log, now, try_began)

    def submit_or_rejoin(self) -> Flow[Submission]:
        """
        Return the one batch of the task instance.

        Raises a ``LlamaCloudError``, ``RecordUnreadableError``, or ``SubmissionUndecidedError`` where nothing may be
        sent because nothing is known; what is recorded then lets a later try go on.
        """
        try:
            return (yield from self._in_rounds())
        except Exception:
            self._warn_of_own_posts("a")
            raise

    def _in_rounds(self) -> Flow[Submission]:
        for number in range(MAX_ROUNDS):
            decision, base, batch = yield from self._decide()
            if decision.action is not Action.SUBMIT:
                self._say(decision)
                if decision.action is not Action.ADOPT:
                    self._warn_of_own_posts("a second")  # a list may show it much later
                return Submission(decision.batch_id, batch, decision, self._recorded)
            if self._keeper.overtaken:
                raise SubmissionUndecidedError(OVERTAKEN)
            if self._last_error is not None and self._unknown >= defaults.MAX_CREATE_ATTEMPTS:
                raise self._last_error
            submitted = yield from self._submit(
                decision, base, may_have_rivals=self.task.try_number > 1 or number > 0
            )
            if submitted is not None:
                return submitted
        raise SubmissionUndecidedError(
            "The record of this submission changed again and again or could not be written, so no batch was submitted "
            "for fear of a second one; a later try may go on."
        )

    # What to do

    def _decide(self) -> Flow[tuple[Decision, Record | None, Batch | None]]:
        """Return the decision, the intent to go on with when it is a submission, and the batch when it is not."""
        record = yield from self._keeper.load()
        if record is None and self.task.fresh:
            return Decision(Action.SUBMIT, "fresh=True asks for a new batch"), None, None
        if record is None and not self.task.keeps_record:
            return (yield from self._decide_without_record())
        decision = submission.decide_by_record(record, self.request)
        if record is None or (decision.action is Action.SUBMIT and record is not self._keeper.own):
            if record is not None:  # nothing came of an intent, so what was there before it still was
                self._had = record.known
            return decision, None, None
        if decision.action is Action.LOOK_UP:
            return (yield from self._decide_by_batch(record))
        if decision.action is Action.ADOPT:
            return (yield from self._decide_by_listing(record))
        return decision, record, None

    def _decide_by_batch(self, record: Record) -> Flow[tuple[Decision, Record | None, Batch | None]]:
        self._had = record.known
        now = self.clock()  # what is new when it is first read does not count as gone afterwards
        batch = self._earlier = yield from self._lookups.read(record)
        if batch is not None and not record.fingerprint and self.request.contradicts(batch):
            reason = f"the recorded submission (batch {record.batch_id}) was for other arguments"
            return Decision(Action.SUBMIT, reason), None, None
        decision = submission.decide_by_status(
            record, batch.status if batch else None, max_tries=self.task.max_tries, now=now
        )
        self._recorded = decision.action
        if record.unknown and submission.came_to_nothing(decision, batch) and not self._keeper.overtaken:
            other = yield from self._lookups.find(record, unwanted=FAILED_STATUSES)
            if other is not None:
                return (yield from self._adopt_instead(record, other))
        elif record.unknown:
            yield from self._lookups.warn_of_others(record)
        if decision.action is Action.REJOIN and record.max_tries != self.task.max_tries:
            yield from self._keeper.own_again(record)
        return decision, None, batch

    def _decide_by_listing(self, record: Record) -> Flow[tuple[Decision, Record | None, Batch | None]]:
        if self._keeper.overtaken:
            raise SubmissionUndecidedError(OVERTAKEN)  # the later try finds what was made, and owns it
        # What was written over another try's record stands for that try's POST too, which may still be under way.
        our_own = record is self._keeper.own and not self._keeper.stood_still
        if not our_own and not (yield from self._keeper.take_over(record)):
            return (yield from self._decide())
        batch = yield from self._lookups.find(record, our_own=our_own)
        if batch is None:
            return (
                Decision(
                    Action.SUBMIT,
                    f"of {record.unknown} POST(s) without a usable response no batch has come to light "
                    f"within {defaults.MAX_LIST_LAG:g} s",
                ),
                record,
                None,
            )
        return (yield from self._adopt(record, batch))

    def _adopt_instead(
        self, record: Record, other: Batch
    ) -> Flow[tuple[Decision, Record | None, Batch | None]]:
        """Adopt another batch of a submission whose recorded one came to nothing."""
        # Reading may have taken long, and only what was loaded just now can be taken over.
        is_as_before = (yield from self._keeper.load()) == record
        if not is_as_before or not (yield from self._keeper.take_over(record)):
            return (yield from self._decide())
        return (yield from self._adopt(record, other))

    def _adopt(self, record: Record, batch: Batch) -> Flow[tuple[Decision, Record | None, Batch | None]]:
        """Record a batch that nobody has had yet: it is this try's, cleared or not."""
        if self._keeper.stood_still and self._unknown == 0:
            raise SubmissionUndecidedError(OVERTAKEN)  # not by this process: whoever made it will find it
        our_own = record is self._keeper.own
        ours = replace(record, try_number=self.task.try_number)
        adopted = ours.submitted(batch.id, unknown=record.unknown - 1, max_tries=self.task.max_tries)
        kept = yield from self._keeper.keep_id(adopted)
        if kept != batch.id:
            return (yield from self._decide())
        if our_own:
            return Decision(Action.ADOPT, "the response to its POST was lost", batch.id), None, batch
        # By GET: a wrong row of a list must not cost a batch.
        return (yield from self._decide_by_batch(adopted))

    def _decide_without_record(self) -> Flow[tuple[Decision, Record | None, Batch | None]]:
        """Below Airflow 3.3 nothing survives a try, so a later one lists what an earlier one may have made."""
        if self.task.try_number <= 1:
            return Decision(Action.SUBMIT, "this is the first try"), None, None
        since = self.task.run_started
        since = self.clock() - defaults.LISTED_SECONDS if since is None else since
        for pause in submission.ADOPTION_PAUSES:
            yield Sleep(pause)
            listed = yield from self._lookups.directory(since - defaults.RUN_START_MARGIN)
            made = submission.rejoinable(self.request, listed, since=since, now=self.clock())
            for batch in made:
                if submission.goes_on(batch, cleared=self.task.cleared):
                    action = Action.RETURN if batch.is_terminal else Action.REJOIN
                    reason = f"an earlier try of this run made it ({batch.status[:30]})"
                    return Decision(action, reason, batch.id), None, batch
            if len(made) >= self.task.try_number - 1:
                break  # the list shows what each earlier try may have made, and it is over
        unclear = submission.unclear_of_run(self.request, listed, since=since, now=self.clock())
        if any(submission.goes_on(batch, cleared=self.task.cleared) for batch in unclear):
            raise SubmissionUndecidedError(submission.not_told(unclear[0]))
        return Decision(Action.SUBMIT, "no batch of an earlier try of this run goes on"), None, None

    # Submitting

    def _submit(
        self, decision: Decision, base: Record | None, *, may_have_rivals: bool
    ) -> Flow[Submission | None]:
        """Record the intent, send the POST, record the id; None says that it must be decided anew."""
        if base is None:
            listed = yield from self._lookups.directory(self.clock() - defaults.LISTED_SECONDS)
            known = listed if self._earlier is None else [self._earlier, *listed]
            base = submission.new_intent(self.request, known, self.task, self.clock(), had=self._had)
        intent = yield from self._keeper.save_intent(base, may_have_rivals=may_have_rivals)
        if intent is None:
            return None
        self._say(decision)
        try:
            batch = yield from send(self.create, once=True, within=defaults.REQUEST_TIMEOUT)
            if not submission.answers(batch, self.request, intent):
                raise InvalidResponseError(f"{self.create} was answered without the id of a new batch")
        except LlamaCloudError as error:
            yield from self._after_error(error, intent, base)
            return None
        self.log.info("Submitted batch %s %s: %s", batch.id, self._where, decision.reason)
        submitted = intent.submitted(batch.id, unknown=base.unknown, max_tries=self.task.max_tries)
        try:
            kept = yield from self._keeper.keep_id(submitted)
        except Exception as error:  # the store is Airflow's, so it may be any
            if not isinstance(error, SubmissionUndecidedError):  # which has been told of
                self.log.warning(
                    "It is not known whether batch %s is recorded: %s", batch.id, type(error).__name__
                )
            yield from self._lookups.warn_of_others(replace(intent, batch_id=batch.id))
            raise
        # An earlier POST may have made something after all, and a proxy may have sent this one twice.
        yield from self._lookups.warn_of_others(replace(intent, batch_id=batch.id))
        return Submission(kept, batch if kept == batch.id else None, decision, self._recorded)

    def _after_error(self, error: LlamaCloudError, intent: Record, base: Record) -> Flow[None]:
        """Say what a failed POST leaves behind; raises where another POST cannot help."""
        if outcome_unknown(error):
            self._unknown, self._last_error = self._unknown + 1, error
            self._keeper.own = replace(intent, posted_at=self.clock())
            self.log.warning(
                "It is not known whether the batch was made, so the directory is listed for it: %s", error
            )
            return
        self._keeper.own = replace(intent, unknown=base.unknown)
        if surely_not_processed(error):
            retry_after = error.retry_after if isinstance(error, StatusError) else None
            pause = Backoff().pause(len(self._not_sent) + 1, self.random, retry_after=retry_after)
            self._not_sent.append(pause)
            if (
                len(self._not_sent) < defaults.MAX_ATTEMPTS
                and sum(self._not_sent) < defaults.MAX_RETRY_SECONDS
            ):
                self.log.warning("Nothing was submitted; tried again in %.0f s: %s", pause, error)
                yield Sleep(pause)
                return
        yield from self._keeper.take_back(intent, base.unknown)
        raise error

    # The log

    def _warn_of_own_posts(self, what: str) -> None:
        if self._unknown:
            self.log.warning(
                "It could not be told whether %s batch was made by this try's POST: %s",
                what,
                self._last_error,
            )

    def _say(self, decision: Decision) -> None:
        which = f"batch {decision.batch_id}" if decision.batch_id else "a new batch"
        self.log.info("Decided to %s %s %s: %s", decision.action.value, which, self._where, decision.reason)

    @property
    def _where(self) -> str:
        request = self.request
        where = f"over directory {request.source_directory_id} with configuration {request.configuration_id}"
        return f"{where} at {self.host}" if self.host else where
