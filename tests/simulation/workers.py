"""A worker process: one try of a task instance, or its resumption, as the operator does it."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import flow
from airflow_provider_llamabatch.batches.events import read_event
from airflow_provider_llamabatch.batches.outcome import Outcome
from airflow_provider_llamabatch.batches.poller import BatchPoller, ResultsStayedNullError
from airflow_provider_llamabatch.batches.polling import PollResult, PollState, Reason
from airflow_provider_llamabatch.batches.record import RecordUnreadableError
from airflow_provider_llamabatch.batches.submission import Action, SubmissionUndecidedError, TaskFacts
from airflow_provider_llamabatch.batches.submit_flow import SubmitFlow
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud.errors import AuthenticationError, LlamaCloudError
from airflow_provider_llamabatch.llamacloud.retries import ONCE
from tests.simulation.clockwork import Process
from tests.simulation.network import STALE
from tests.simulation.world import EXCUSED, OVERWRITTEN, YOUNG_AND_GONE, Log, StoreDownError, World

if TYPE_CHECKING:
    from airflow_provider_llamabatch.batches.submission import Submission
    from tests.simulation.airflow import TaskInstance
    from tests.simulation.service import Made

TROUBLE = (
    LlamaCloudError,
    SubmissionUndecidedError,
    RecordUnreadableError,
    StoreDownError,
    ResultsStayedNullError,
)
FREEZES = (3.0, 20.0, 45.0, 200.0, 700.0, 2500.0)  # seconds
MOMENT = 1.0  # seconds between the last look at the record and the POST, in which another try may act
AFTER_DEADLINE = (
    5.0  # seconds by which a wait on a worker may end too late: a poll at its deadline is given one, twice
)
MAX_REQUESTS = 900  # of one submission
PROMPTLY = 2.0  # seconds after the poll interval, and the time of two requests, within which an end is found


@dataclass(eq=False)
class Worker:
    """One process of a task instance."""

    world: World
    instance: TaskInstance
    name: str
    number: int
    kept: Any = None  # the record, below Airflow 3.3
    loaded_at: float = 0.0
    loaded_clock: float = 0.0
    froze_at: float | None = None  # since its last step
    raced: bool = False  # another try acted between this one's reading and writing
    is_risky: bool = False
    is_over: bool = False
    was_killed: bool = False
    was_frozen: bool = False
    cleared_at: float = -1.0  # a Clear that comes later is none for this try, which may live on for long
    began_at: float = 0.0  # by its own clock, as what follows
    posted_at: float = 0.0
    sent_at: float = 0.0  # the same in virtual seconds
    configuration: str = ""  # that it submits

    def __post_init__(self) -> None:
        world, nature = self.world, self.world.nature
        ahead = nature.ahead + world.choices.between(0, nature.apart)
        self.process = Process(world.clockwork, self.name, ahead)  # type: ignore[abstract]
        self.process.poster, self.began = self, world.now
        self.began_at = self.process.clock()
        self.cleared_at = self.instance.cleared_at
        self.log = Log(world, self.name)
        self.hook = LlamaBatchHook()

    # Steps

    async def perform(self, step: flow.Step) -> Any:
        """Carry out a step of a flow; the process may be killed or stand still before it and after it."""
        await self._disturb()
        try:
            if isinstance(step, flow.Send):
                if step.call.method == "POST":
                    self._note_post()
                return await self.hook.asend(step.call, ONCE if step.once else None, within=step.within)
            if isinstance(step, flow.Sleep):
                if not 0 <= step.seconds <= 200:
                    self.world.violate("bounded", f"a pause of {step.seconds} s")
                await asyncio.sleep(step.seconds)
                return None
            return await self._store(step)
        finally:
            self.froze_at = None
            await self._disturb()

    async def _disturb(self) -> None:
        world = self.world
        if world.is_quiet or self.process.is_buried:
            return
        if world.choices.chance(world.nature.kills):
            after = world.choices.pick(
                (0.0, 0.0, 0.05, 10.0)
            )  # the latter in the middle of what it does next
            world.clockwork.at(world.now + after, self._die)
            await asyncio.sleep(0)
        elif world.choices.chance(world.nature.freezes):
            seconds = world.choices.pick(FREEZES)
            world.note(f"{self.name} stands still for {seconds:g} s")
            world.counts["workers frozen"] += 1
            self.was_frozen = True
            self.froze_at = world.now if self.froze_at is None else self.froze_at
            self.process.freeze(seconds)
            self.instance.on_death(self, frozen=True, seconds=seconds)
            await asyncio.sleep(0)

    def _die(self) -> None:
        if self.is_over or self.process.is_dead or self.process.is_buried:
            return
        self.world.note(f"{self.name} is killed")
        self.world.counts["workers killed"] += 1
        self.was_killed = True
        self.process.kill()
        self.instance.on_death(self, frozen=False)

    def _note_post(self) -> None:
        now = self.world.now
        since = min(now - MOMENT, now if self.froze_at is None else self.froze_at)
        self.is_risky = self.raced or self.instance.acted_since(since, self)
        self.instance.acts.append((now, self))
        if not self.world.is_quiet and self.world.choices.chance(self.world.nature.deaths_at_posts):
            self.world.clockwork.at(now + self.world.choices.between(0, 2.0), self._die)
        self.posted_at, self.sent_at = self.process.clock(), now

    async def _store(self, step: flow.Step) -> Any:
        """Read or write the record; the store may fail, with or without effect."""
        world, instance = self.world, self.instance
        if not world.nature.keeps_record:
            self.kept = getattr(step, "value", self.kept)
            return self.kept
        await asyncio.sleep(0.02 + world.choices.between(0, 0.3))
        fails = not world.is_quiet and world.choices.chance(world.nature.store_failures)
        if fails and (isinstance(step, flow.LoadRecord) or world.choices.chance(0.5)):
            world.counts["store failures"] += 1
            raise StoreDownError
        if isinstance(step, flow.LoadRecord):
            self.loaded_at, self.loaded_clock, self.raced = world.now, self.process.clock(), False
            return None if instance.stored is None else json.loads(instance.stored)
        is_moment = self.froze_at is not None or world.now - self.loaded_at < MOMENT
        self.raced = is_moment and instance.acted_since(self.loaded_at, self)
        value = step.value if isinstance(step, flow.SaveRecord) else None
        # Who writes over a record with an intent doubts it then; one more that stood still cannot know.
        stood_still_too = self.was_frozen and self.number < instance.try_number
        instance.was_lost |= instance.was_overwritten and stood_still_too
        instance.was_lost |= self.raced and not self._will_doubt(value)
        instance.was_overwritten |= self.raced
        instance.acts.append((world.now, self))
        world.check_clean("the record", value)
        instance.stored = None if value is None else json.dumps(value)
        if fails:
            world.counts["store failures"] += 1
            raise StoreDownError
        return None

    def _will_doubt(self, value: dict[str, Any] | None) -> bool:
        """Say whether a value is an intent after which this process notices that it stood still."""
        if value is None or value["batch_id"] or value["posted_at"] < self.loaded_clock:
            return False
        is_late = self.world.now - self.loaded_at > defaults.RETRY_SETTLE_SECONDS
        return is_late and bool(value["fingerprint"] == self.instance.request.fingerprint)

    def made(self, directory: str, configuration: str, shown_by: float, *, twin: Made | None = None) -> Made:
        """Have the service make the batch that this process's POST asks for."""
        world = self.world
        made = world.service.make(self.instance, self, directory, configuration, shown_by)
        made.risky = self.is_risky
        world.paid(made, twin)
        return made

    # The operator

    def start(self, payload: dict[str, Any] | None = None) -> None:
        """Begin the try, or resume it with a trigger's event."""
        self.process.create_task(self._run(payload))

    async def _run(self, payload: dict[str, Any] | None) -> None:
        try:
            await (self._execute() if payload is None else self._resume(payload))
        except TROUBLE as error:
            self.world.check_clean("an error", str(error))
            self._check_key(error)
            self.world.note(f"{self.name} fails: {type(error).__name__}: {str(error)[:200]}")
            is_calm = self.world.has_no_trouble and not self.world.counts["clocks set"]
            if is_calm and self.world.nature.spares_workers:
                self.world.violate("comes to an end", f"{self.name} fails for nothing: {error}")
            self.instance.on_failure(self)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.world.violate("defect", f"{self.name}: {error!r}")
        finally:
            if not self.process.is_buried:
                self.is_over = True
                await self.hook.aclose()

    async def _execute(self) -> None:
        instance, nature = self.instance, self.world.nature
        facts = TaskFacts(
            self.number,
            instance.max_tries,
            f"nonce-{self.name}",
            keeps_record=nature.keeps_record,
            run_started=instance.run_started,
            cleared=instance.clears > 0,
        )
        self.configuration = instance.request.configuration_id
        submitting = SubmitFlow(
            instance.request, instance.create, facts, self.process.clock, self.log, random=random.random
        )
        submitted = await flow.adrive(submitting.submit_or_rejoin(), self.perform)
        self._check_submitted(submitted)
        if not instance.is_current(self):
            return
        instance.batch_id = submitted.batch_id
        if not instance.waits:
            instance.on_success(self)
            return
        await self._wait(submitted.batch_id)

    def _check_submitted(self, submitted: Submission) -> None:
        world, instance = self.world, self.instance
        world.note(f"{self.name} has {submitted.batch_id}: {submitted.decision.reason}")
        made = world.service.batches.get(submitted.batch_id)
        if made is None or made.owner is not instance:
            world.violate(
                "own batch", f"{self.name} returns {submitted.batch_id}, which is not of {instance.name}"
            )
            return
        if made.configuration != self.configuration:
            world.violate("own batch", f"{self.name} returns {made.key}, which is of {made.configuration}")
        if submitted.decision.action is Action.REJOIN and instance.is_current(self):
            made.owned_at = world.now
        if made.is_given_up:
            # It has come to light after all: the surplus ones are those paid for in its place.
            made.is_given_up = False
            for one in instance.batches:
                one.is_given_up = one.is_given_up or one.at > made.at
        given = instance.given.get(made.key)
        if given is not None and given < self.number and made.ends_at < self.cleared_at - STALE:
            if instance.was_overwritten:
                world.counts[f"{EXCUSED}{OVERWRITTEN}"] += 1
                return
            # What was young when a try first looked counts as young, however long it looks, and then it owns it.
            since = min(one.began_at for one in instance.workers if one.cleared_at == self.cleared_at)
            was_young = since < made.poster.posted_at + defaults.MISSING_GRACE
            if was_young and (made.gone_at <= world.now or made.is_late):
                world.counts[f"{EXCUSED}{YOUNG_AND_GONE}"] += 1
                del instance.given[made.key]  # it is this task's again
                return
            world.violate("new batch after a Clear", f"{self.name} returns {made.key} again")
        if world.network.sent[self.name] > MAX_REQUESTS:
            world.violate("bounded", f"{self.name} sent {world.network.sent[self.name]} requests")

    def _check_key(self, error: Exception) -> None:
        """See that no try fails for a key although the connection held another one when that was refused."""
        is_refused = isinstance(error, AuthenticationError) and error.from_api
        is_outdated = self.process.outdated_at > self.world.key_changed_at
        if is_refused and is_outdated and not self.world.refuses_all_keys:
            self.world.violate("changed keys are read", f"{self.name} fails for a key that was changed")

    def _poller(self, batch_id: str, deadline: float) -> BatchPoller:
        now = self.process.clock()
        state = PollState(batch_id, deadline, self.instance.poll_interval, since=now, next_poll=now)
        return BatchPoller(state, cast("Any", self.log), self.process.clock, random=random.random)

    async def _wait(self, batch_id: str) -> None:
        instance = self.instance
        poller = self._poller(batch_id, self.process.clock() + instance.timeout)
        instance.deadline = poller.state.deadline
        if instance.deferrable:
            result = await flow.adrive(poller.poll(), self.perform)
            if result is None:
                instance.defer(self, poller)
                return
        else:
            result = await flow.adrive(poller.wait(), self.perform)
            self._check_deadline(poller.state.deadline)
            self._check_promptness(batch_id)
        await self._conclude(poller, result)

    def _check_timeout(self, reason: Reason, batch: Made) -> None:
        """See that what has ended by the deadline counts, where the service says how it is."""
        if reason is not Reason.TIMED_OUT:
            return
        if not self.world.network.sent[self.name] and not self.world.hangs:
            self.world.violate("what has ended counts", f"{self.name} timed out without a last poll")
        began = self.began
        answers_in_time = self.world.network.slowest < defaults.MIN_REQUEST_SECONDS
        is_told = answers_in_time and self.world.quiet_since < began and self.world.now < batch.gone_at
        if is_told and batch.ends_at < began - 5.0 and batch.at < began - STALE:
            self.world.violate("what has ended counts", f"{self.name} timed out, {batch.key} had ended")

    def _check_deadline(self, deadline: float) -> None:
        """See that a wait on the worker was over in time, unless something stood in its way."""
        late, world = self.process.clock() - deadline, self.world
        if late > AFTER_DEADLINE and not (self.was_frozen or world.hangs or world.counts["clocks set"]):
            world.violate("deadline", f"{self.name} ended {late:.0f} s after its deadline")

    def _check_promptness(self, batch_id: str) -> None:
        """See that a wait on the worker has found an end within a poll interval, where nothing is in the way."""
        world = self.world
        batch = world.service.batches[batch_id]
        since = max(batch.ends_at, batch.at + world.service.habits.read_lag, self.began)
        bound = self.instance.poll_interval + 2 * world.network.slowest + PROMPTLY
        is_disturbed = (
            not (world.has_no_trouble and world.nature.spares_workers) or world.now >= batch.gone_at
        )
        if not is_disturbed and world.now > since + bound:
            world.violate("found promptly", f"{self.name} found it {world.now - since:.0f} s after its end")

    async def _resume(self, payload: dict[str, Any]) -> None:
        event = read_event(payload)
        deadline = self.process.clock() if event.deadline is None else event.deadline
        await self._conclude(self._poller(event.batch_id, deadline), event.result)

    async def _conclude(self, poller: BatchPoller, result: PollResult) -> None:
        concluded = await flow.adrive(poller.conclude(result), self.perform)
        if not self.instance.is_current(self):
            return
        batch = self.world.service.batches[poller.state.key]
        if isinstance(concluded, Outcome):
            self.world.check_clean("an XCom", concluded.job_references)
            self.world.check_clean("an XCom", poller.batch.model_dump(mode="json") if poller.batch else None)
            if batch.status(self.world.now) != "COMPLETED":
                self.world.violate(
                    "true status", f"{batch.key} counts as COMPLETED, is {batch.status(self.world.now)}"
                )
            self.instance.on_success(self)
            return
        self.world.check_clean("a message", concluded.message)
        self._check_timeout(concluded.reason, batch)
        self.world.note(f"{self.name}: the wait ended as {concluded.reason}: {concluded.message[:80]}")
        if (
            concluded.reason in (Reason.FAILED, Reason.CANCELLED)
            and batch.status(self.world.now) != concluded.reason.name
        ):
            self.world.violate("true status", f"{batch.key} counts as {concluded.reason}")
        self.instance.on_bad_end(self, concluded.reason)
