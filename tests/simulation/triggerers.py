"""A triggerer process: runs the package's real trigger, on the real poll loop, and checks the events that come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from math import log2
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches.polling import CONFIRM_AFTER, ROTATION_GRACE, Reason
from airflow_provider_llamabatch.polling import loop as poll_loops
from airflow_provider_llamabatch.polling.schedule import RECHECK_GAPS
from airflow_provider_llamabatch.triggers.batch import BatchTrigger
from tests.simulation.clockwork import EPOCH, Process
from tests.simulation.workers import PROMPTLY

if TYPE_CHECKING:
    from tests.simulation.airflow import Trigger
    from tests.simulation.world import World

MAX_PER_POLL = 8.0  # requests, lists and repeated ones included
MAX_PER_QUIET_POLL = 2.0  # the same of a service without trouble
AFTER_DEADLINE = 1.0  # seconds by which a wait may end too late
STATUS_CODES = {
    Reason.NOT_FOUND: (404,),
    Reason.NOT_AUTHENTICATED: (401,),
    Reason.NOT_PERMITTED: (403,),
    Reason.REFUSED: (400, 402, 413, 422),
}
_TERMINAL = {"completed": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELLED"}


@dataclass
class Wait:
    """How long a process waited for a batch, in virtual seconds."""

    poll_interval: float
    began: float
    ended: float | None = None

    def end(self, now: float) -> None:
        """Take in that it is over."""
        self.ended = now

    def polls(self, now: float) -> float:
        """Return how many polls it is worth, for a wait that is young at first."""
        seconds = (now if self.ended is None else self.ended) - self.began
        return 8 + 4 * log2(self.poll_interval / 5 + 1) + seconds / self.poll_interval


@dataclass(eq=False)
class Triggerer:
    """One triggerer; after it was killed another process takes its name."""

    world: World
    name: str
    triggers: dict[asyncio.Task[None], Trigger] = field(default_factory=dict)
    lives: int = 0
    began_at: float = 0.0
    waits: dict[Process, list[Wait]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._begin()
        self.world.triggerers.append(self)

    def _begin(self) -> None:
        self.lives += 1
        self.process = Process(  # type: ignore[abstract]  # what is left out is not asked for
            self.world.clockwork, f"{self.name}.{self.lives}", self.world.nature.triggerers_ahead
        )
        self.began_at = self.world.now

    @property
    def answers(self) -> bool:
        return not self.process.is_dead and not self.process.is_frozen

    def run(self, trigger: Trigger) -> asyncio.Task[None]:
        """Run a trigger."""
        task = self.process.create_task(self._guarded(trigger))
        wait = Wait(trigger.arguments["poll_interval"], self.world.now)
        task.add_done_callback(lambda _: wait.end(self.world.now))
        self.waits.setdefault(self.process, []).append(wait)
        self.triggers[task] = trigger
        return task

    def stop(self, task: asyncio.Task[None]) -> None:
        """Cancel a trigger's task; a frozen process will see it when it can."""
        self.triggers.pop(task, None)
        if not self.process.is_dead:
            self.process.call_soon(task.cancel)

    def freeze(self, seconds: float) -> None:
        """Stand still; after half a minute its triggers are given to others, while it still knows them."""
        self.world.note(f"{self.process.name} stands still for {seconds:g} s")
        self.world.counts["triggerers frozen"] += 1
        self.process.freeze(seconds)
        for trigger in self.triggers.values():
            trigger.was_disturbed = True
        if seconds > 30.0:
            self.world.clockwork.at(self.world.now + 30.0, self._hand_over)

    def kill(self) -> None:
        """Die, and come again."""
        self.world.note(f"{self.process.name} is killed")
        self.world.counts["triggerers killed"] += 1
        self.process.kill()
        for trigger in self.triggers.values():
            trigger.was_disturbed = True
        self.world.clockwork.at(self.world.now + 10.0, self._begin)
        self.world.clockwork.at(self.world.now + 31.0, self._hand_over)

    def _hand_over(self) -> None:
        triggers = list(self.triggers.values())
        if self.process.is_dead or self.lives > 1:
            self.triggers = {task: one for task, one in self.triggers.items() if not task.done()}
        for trigger in triggers:
            if not trigger.is_dropped:
                trigger.hand_over()

    async def _guarded(self, trigger: Trigger) -> None:
        try:
            await self._run(trigger)
        except Exception as error:
            self.world.violate("defect", f"the trigger of {trigger.instance.name}: {error!r}")

    async def _run(self, trigger: Trigger) -> None:
        process = self.process
        began = self.world.now
        ahead = trigger.read_ahead = process.ahead
        async for event in BatchTrigger(**trigger.arguments).run():
            payload = cast("dict[str, Any]", event.payload)
            self.world.note(
                f"{process.name}: {trigger.instance.name} {payload['reason']} {payload['message'][:60]!r}"
            )
            if not process.is_buried:
                self._check(trigger, payload, began, ahead)
                task = asyncio.current_task()
                self.triggers.pop(cast("asyncio.Task[None]", task), None)
                trigger.instance.on_event(trigger, payload)

    def _check(self, trigger: Trigger, payload: dict[str, Any], began: float, ahead: float) -> None:
        world = self.world
        reason, now = Reason(payload["reason"]), world.now
        world.check_clean("an event", payload)
        who = trigger.instance.name
        deadline = trigger.arguments["deadline"] - EPOCH - ahead  # by the virtual clock
        if reason is Reason.TIMED_OUT:
            if now < deadline - 1e-3:
                world.violate(
                    "no wait is lost", f"{who} timed out {deadline - now:.0f} s before its deadline"
                )
        elif reason in STATUS_CODES:
            self._check_verdict(trigger, reason, began)
        else:
            first = trigger.arguments["first_look_at"]
            first = min(first - EPOCH - ahead, began + first - trigger.arguments["since"])
            if now < first - 1e-3:
                world.violate("first poll", f"{who} ended {first - now:.1f} s before its first poll was due")
            batch = world.service.batches[trigger.batch_id]
            truth = batch.status(now)
            lied = "early" in world.network.faults and reason is Reason.COMPLETED
            if truth != _TERMINAL[reason.value] and not lied:
                world.violate("true status", f"{who} ends as {reason.value}, its batch is {truth}")
            self._check_promptness(trigger, max(first, began, trigger.began_at))
        late = now - max(deadline, began)
        if late > AFTER_DEADLINE and not trigger.was_disturbed:
            world.violate("deadline", f"{who} ended {late:.0f} s after its deadline")

    def _check_promptness(self, trigger: Trigger, since: float) -> None:
        """See that an end is found within a poll interval, where nothing is in the way."""
        world, habits = self.world, self.world.service.habits
        disturbed = "triggerers frozen", "triggerers killed", "clocks set"
        if not world.has_no_trouble or any(world.counts[what] for what in disturbed):
            return
        batch = world.service.batches[trigger.batch_id]
        since = max(since, batch.ends_at, batch.visible, batch.at + habits.read_lag)
        polls = 4 * RECHECK_GAPS + 2 if habits.hides else 1  # a quarter at a time, among many of others
        bound = polls * trigger.instance.poll_interval + 2 * world.network.slowest + PROMPTLY
        if world.now > since + bound:
            late = world.now - since
            world.violate("found promptly", f"{trigger.instance.name} is found {late:.0f} s after its end")

    def _check_verdict(self, trigger: Trigger, reason: Reason, began: float) -> None:
        """See that the API itself has said so at least twice, seconds apart, to this process."""
        world = self.world
        is_changed = world.now > world.key_changed_at + defaults.POLL_TIMEOUT + 5.0
        if reason is Reason.NOT_AUTHENTICATED and is_changed and not world.refuses_all_keys:
            world.violate("changed keys are read", f"{trigger.instance.name} ends for a key that was changed")
        codes = STATUS_CODES[reason]
        path = trigger.batch_id
        answers = self.process.answers
        answered = (
            max(answers.values())
            if answers and reason is Reason.NOT_AUTHENTICATED
            else answers.get(path, -1.0)
        )
        said = [
            at
            for at, code, of in self.process.verdicts
            if at >= max(began, answered)
            and code in codes
            and (of.endswith(path) or reason is Reason.NOT_AUTHENTICATED)
        ]
        grace = ROTATION_GRACE if reason is Reason.NOT_AUTHENTICATED else CONFIRM_AFTER
        is_over = (
            said and world.now - said[0] >= grace - 0.6
        )  # the last one may wait for a look at the connection
        if not is_over or said[-1] - said[0] < CONFIRM_AFTER - 0.6:
            world.violate("verdicts are confirmed", f"{trigger.instance.name}: {reason.value} after {said}")

    def check_requests(self) -> None:
        """See that no process has sent more than its waits were worth, trouble and lists included."""
        for process, waits in self.waits.items():
            worth = sum(wait.polls(self.world.now) for wait in waits)
            sent = self.world.network.sent[process.name]
            # What is deleted is asked for every five seconds, until it cannot be that it is only new.
            is_quiet = self.world.has_no_trouble and not self.world.service.habits.expiring
            most = MAX_PER_QUIET_POLL if is_quiet else MAX_PER_POLL
            if sent > most * worth:
                self.world.violate(
                    "bounded", f"{process.name} sent {sent} requests for waits worth {worth:.0f} polls"
                )

    def check_left(self) -> None:
        """See that nothing is left behind once nobody waits."""
        process = self.process
        if process.is_dead:
            return
        if process.unhandled:
            self.world.violate("defect", f"{process.name}: {process.unhandled[0]}")
        left = [task for task in process.tasks if not task.done()]
        if left or poll_loops._loops.get(process):
            self.world.violate(
                "nothing is left", f"{process.name}: {len(left)} tasks, {poll_loops._loops.get(process)}"
            )
