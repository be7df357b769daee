"""What Airflow does, as far as it matters here: tries and Clears of a task instance, triggers and their triggerers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.batches.submission import Request
from airflow_provider_llamabatch.llamacloud import calls
from tests.simulation.clockwork import EPOCH
from tests.simulation.workers import Worker

if TYPE_CHECKING:
    import asyncio

    from airflow_provider_llamabatch.batches.poller import BatchPoller
    from tests.simulation.service import Made
    from tests.simulation.triggerers import Triggerer
    from tests.simulation.world import World

RETRIES = 2
HEARTBEAT = 60.0  # seconds after which a process that says nothing counts as dead
VERDICTS = (Reason.NOT_FOUND, Reason.NOT_AUTHENTICATED, Reason.NOT_PERMITTED, Reason.REFUSED)


@dataclass(eq=False)
class TaskInstance:
    """One task instance; ``state`` is Airflow's word. Times are virtual seconds, ``deadline`` is epoch."""

    world: World
    name: str
    directory: str
    configuration: str
    waits: bool
    deferrable: bool
    poll_interval: float
    timeout: float
    retry_delay: float
    state: str = "scheduled"
    try_number: int = 0
    max_tries: int = RETRIES
    clears: int = 0
    cleared_at: float = -1.0
    stored: str | None = None
    batch_id: str = ""
    deadline: float = 0.0
    batches: list[Made] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)  # by id: the last try that succeeded with it
    acts: list[tuple[float, Worker]] = field(default_factory=list)  # writes of the record, and POSTs
    current: Worker | None = None
    workers: list[Worker] = field(default_factory=list)
    trigger: Trigger | None = None
    ended_as: str = ""
    was_overwritten: bool = False  # its record, by a process that stood still between reading and writing
    was_lost: bool = False  # the same, and by something else than an intent which that process then doubts
    run_started: float = 0.0  # epoch seconds, by the workers' clock
    is_helped: bool = False  # cleared once more when all trouble was over

    def __post_init__(self) -> None:
        self._ask_for(self.configuration)
        self.run_started = EPOCH + self.world.nature.ahead - 30.0
        self.world.instances.append(self)

    def _ask_for(self, configuration: str) -> None:
        self.request = Request(self.directory, configuration, "parse_v2", "llamabatch_default")
        self.create = calls.create_batch(source_directory_id=self.directory, configuration_id=configuration)

    # Tries

    def start(self) -> None:
        """Begin the next try, unless something else has happened."""
        if self.state not in ("scheduled", "up_for_retry"):
            return
        self.try_number += 1
        self.ended_as = ""
        self._work(None)

    def _work(self, payload: dict[str, Any] | None) -> None:
        self.state = "running"
        name = f"{self.name}.{self.try_number}{f'.{len(self.workers)}' if payload else ''}"
        self.world.note(f"{name} begins")
        self.current = Worker(self.world, self, name, self.try_number)
        self.workers.append(self.current)
        self.current.start(payload)

    def is_current(self, worker: Worker) -> bool:
        """Say whether Airflow still listens to a worker."""
        return self.current is worker and self.state == "running"

    def acted_since(self, time: float, worker: Worker) -> bool:
        """Say whether another process of this task instance has written or posted since."""
        return any(at >= time and other is not worker for at, other in reversed(self.acts))

    def on_death(self, worker: Worker, *, frozen: bool, seconds: float = 0.0) -> None:
        """Find out, in time, that a worker is dead or seems so."""
        if not frozen or seconds >= HEARTBEAT:
            longest = self.world.choices.pick((HEARTBEAT, 1.0))  # the latter where its supervisor lives
            after = HEARTBEAT if frozen else 1.0 + self.world.choices.between(0, longest)
            self.world.clockwork.at(self.world.now + after, lambda: self._lose(worker))

    def _lose(self, worker: Worker) -> None:
        if self.is_current(worker) and (worker.process.is_dead or worker.process.is_frozen):
            self.on_failure(worker)

    def on_failure(self, worker: Worker) -> None:
        """A try has failed: there may be another."""
        if not self.is_current(worker):
            return
        if self.try_number <= self.max_tries:
            self.state = "up_for_retry"
            self.world.clockwork.at(self.world.now + self.retry_delay, self.start)
        else:
            self._end("failed")

    def on_success(self, worker: Worker) -> None:
        if self.is_current(worker):
            self.given[self.batch_id] = self.try_number
            self._end("success")

    def on_bad_end(self, worker: Worker, reason: Reason) -> None:
        """The wait ended without a completed batch."""
        self.ended_as = reason.value
        batch = self.world.service.batches[self.batch_id]
        if reason in VERDICTS and self.world.has_no_trouble and self.world.now < batch.gone_at:
            self.world.violate("true status", f"{self.name} ends as {reason.value}, and {batch.key} is there")
        if reason in (Reason.FAILED, Reason.CANCELLED):
            self.on_failure(worker)
        elif self.is_current(worker):
            self._end("failed")

    def _end(self, state: str) -> None:
        self.state = state
        self.world.note(f"{self.name} is {state}")

    # A person

    def clear(self) -> None:
        """Have it run again, as a person's Clear does."""
        if self.state in ("scheduled", "queued", "up_for_retry"):
            return
        self.world.counts["clears"] += 1
        self.world.note(f"{self.name} ({self.state}) is cleared")
        if self.state == "running":
            self._kill_current()  # its own restart: max_tries stays
        else:
            self.max_tries = self.try_number + RETRIES
            self.cleared_at, self.clears = self.world.now, self.clears + 1
            if self.world.choices.chance(self.world.nature.edits):
                self.world.counts["edits"] += 1
                self._ask_for(f"{self.configuration}-{self.clears}")
        self._drop_trigger()
        self.state = "scheduled"
        self.world.clockwork.at(self.world.now + 1.0, self.start)

    def mark_failed(self) -> None:
        """End it as a person does in the UI."""
        if self.state == "running":
            self._kill_current()
        self._drop_trigger()
        self._end("failed")

    def _kill_current(self) -> None:
        """End the process of the try that runs, as Airflow does for a person; it says nothing more."""
        if self.current is not None:
            self.current.was_killed = True
            self.current.process.kill()

    # Deferrals

    def defer(self, worker: Worker, poller: BatchPoller) -> None:
        """Hand the wait over to a triggerer, with what the operator's ``defer_poll`` passes."""
        if not self.is_current(worker):
            return
        state, now = poller.state, worker.process.clock()
        created = poller.batch.created_at if poller.batch else None
        first_gap = max(defaults.FIRST_POLL_AFTER, state.gap(now))
        arguments = {
            "batch_id": state.key,
            "poll_interval": state.poll_interval,
            "deadline": state.deadline,
            "first_look_at": now + first_gap,
            "since": state.since,
            "created_at": created.timestamp() if created else None,
            "missing_grace": state.missing_grace,
        }
        self.state = "deferred"
        self.world.note(f"{self.name} is deferred until {state.deadline - now:.0f} s from now at the latest")
        self.trigger = Trigger(self, arguments)
        self.trigger.assign()
        backstop = max(0.0, state.deadline - now) + 2 * state.poll_interval + defaults.BACKSTOP
        trigger = self.trigger
        self.world.clockwork.at(self.world.now + backstop, lambda: self._on_backstop(trigger))

    def on_event(self, trigger: Trigger, payload: dict[str, Any]) -> None:
        """Take a trigger's event; the first one counts."""
        if self.trigger is not trigger or self.state != "deferred":
            return
        self._drop_trigger()
        self.state = "queued"
        self.world.clockwork.at(self.world.now + 1.0, lambda: self._resume(payload))

    def _resume(self, payload: dict[str, Any]) -> None:
        if self.state == "queued":
            self._work(payload)

    def _on_backstop(self, trigger: Trigger) -> None:
        """Airflow's own timeout: only a triggerer that stood still, or clocks far apart, may let it come so far."""
        if self.trigger is not trigger or self.state != "deferred":
            return
        deadline = trigger.arguments["deadline"] - EPOCH - trigger.read_ahead
        if trigger.runs and not trigger.was_disturbed and self.world.now > deadline + 10.0:
            self.world.violate("no wait is lost", f"{self.name} is still deferred at Airflow's own timeout")
        self.world.counts["backstops"] += 1
        self.on_event(trigger, {"batch_id": trigger.batch_id, "reason": "timed_out"})

    def _drop_trigger(self) -> None:
        trigger, self.trigger = self.trigger, None
        if trigger is not None:
            trigger.drop()


@dataclass(eq=False)
class Trigger:
    """A trigger's row in Airflow's database; more than one triggerer may run it for a while."""

    instance: TaskInstance
    arguments: dict[str, Any]
    read_ahead: float = 0.0  # how wrong the clock was by which its times were last read
    is_dropped: bool = False
    was_disturbed: bool = False
    began_at: float = 0.0
    runs: list[tuple[Triggerer, asyncio.Task[None]]] = field(default_factory=list)

    @property
    def batch_id(self) -> str:
        return str(self.arguments["batch_id"])

    def assign(self) -> None:
        """Have a triggerer that answers run it, as soon as there is one."""
        world = self.instance.world
        if self.is_dropped:
            return
        alive = [one for one in world.triggerers if one.answers]
        if not alive:
            world.clockwork.at(world.now + 5.0, self.assign)
            return
        triggerer = world.choices.pick(alive)
        self.began_at = world.now
        self.runs.append((triggerer, triggerer.run(self)))
        world.note(f"{triggerer.name} runs the trigger of {self.instance.name}")

    def hand_over(self) -> None:
        """Give it to a triggerer anew; the one that ran it may not know yet."""
        self.was_disturbed = True
        if not self.is_dropped:
            self.instance.world.counts["hand-overs"] += 1
            self.assign()

    def drop(self) -> None:
        """Take it out of the database; who runs it notices within seconds."""
        self.is_dropped = True
        world = self.instance.world
        for triggerer, task in self.runs:
            world.clockwork.at(world.now + 2.0, lambda who=triggerer, what=task: who.stop(what))  # type: ignore[misc]
