"""One history: a world drawn from the choices, its disturbances, the calm after them, and what holds at its end."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.polling.schedule import RECHECK_GAPS
from tests.simulation.airflow import VERDICTS
from tests.simulation.choices import Choices
from tests.simulation.clockwork import HistoryTooLongError
from tests.simulation.drawing import draw, draw_nature
from tests.simulation.patches import simulated
from tests.simulation.world import TROUBLED, TWICE, Excused, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.clockwork import Process

PATIENCE = 4 * 3600.0  # virtual seconds after that within which everything must have ended
FOUND_WITHIN = 400.0  # seconds, and some polls, after which the end of a batch is found on a healthy service


@dataclass(frozen=True)
class Result:
    """What came of a history. ``violation`` is empty when all promises were kept."""

    violation: str
    record: list[int]
    trace: list[tuple[float, str]]
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def promise(self) -> str:
        return self.violation.partition(":")[0]


def play(seed: int, recorded: Sequence[int] | None = None, *, tracing: bool = False) -> Result:
    """Play the history of a seed, or one that was recorded."""
    choices = Choices(seed, recorded)
    return run(World(choices, draw_nature(choices), tracing=tracing), draw)


def run(world: World, prepare: Callable[[World], None]) -> Result:
    """Run a world through its troubles and the calm after them."""
    random.seed(world.choices.seed)  # the jitter of the package's own pauses
    with simulated(world):
        try:
            prepare(world)
            if world.has_no_trouble:
                _be_healthy(world)
            _live(world)
        except HistoryTooLongError as error:
            world.violate("bounded", str(error))
        finally:
            world.network.is_over = True
            world.clockwork.bury()
    counts = world.counts + world.network.exercised
    counts["requests"] = sum(world.network.sent.values())
    counts["batches"] = len(world.service.batches)
    return Result(world.violation, world.choices.record, world.trace, counts)


def _be_healthy(world: World) -> None:
    """Hold a service without trouble to what it is held to in the calm, from the beginning."""
    world.quiet_since = 0.0
    for minute in range(1, int(TROUBLED / 60.0)):
        world.clockwork.at(60.0 * minute, lambda: _check_found(world))


def _live(world: World) -> None:
    clockwork = world.clockwork
    clockwork.run(TROUBLED, stop=lambda: bool(world.violation))
    if world.violation:
        return
    _calm(world)
    settled = False
    while not world.violation and not settled and clockwork.now < TROUBLED + PATIENCE + 86400.0:
        clockwork.run(clockwork.now + 60.0, stop=lambda: bool(world.violation))
        for instance in world.instances:
            if instance.state == "failed" and not instance.ended_as and not instance.is_helped:
                instance.is_helped = True  # its tries were used up in the trouble
                instance.clear()
        settled = all(instance.state in ("success", "failed") for instance in world.instances)
        _check_found(world)
    if not world.violation and not settled:
        states = {instance.name: instance.state for instance in world.instances}
        world.violate("no wait is lost", f"not over in the end: {states}")
    if not world.violation:
        clockwork.run(clockwork.now + 3000.0, stop=lambda: bool(world.violation))
        _check_end(world)


def _calm(world: World) -> None:
    """End all trouble: what is frozen goes on, what is broken works."""
    world.note("all trouble is over")
    world.is_quiet, world.quiet_since = True, world.now
    world.network.rate, world.network.outages = 0.0, []
    world.connection_key = world.service.key
    habits = world.service.habits
    habits.lag = min(habits.lag, 5.0)
    habits.failing = 0.0


def _check_found(world: World) -> None:
    """See that no wait goes on long after its batch has ended and the service is healthy."""
    for instance in world.instances:
        trigger = instance.trigger
        if instance.state != "deferred" or trigger is None or not trigger.runs:
            continue
        made = world.service.batches[trigger.batch_id]
        since = max(made.ends_at, world.quiet_since, trigger.began_at, made.visible)
        polls = 3 if not world.service.habits.hides else RECHECK_GAPS + 5
        bound = FOUND_WITHIN + polls * instance.poll_interval
        since = max(since, trigger.runs[-1][0].process.frozen_until)
        if world.now > since + bound and trigger.runs[-1][0].answers:
            world.violate("no wait is lost", f"{instance.name} does not see that {made.key} has ended")


def _check_end(world: World) -> None:
    for instance in world.instances:
        if instance.state == "success":
            made = world.service.batches.get(instance.batch_id)
            if made is None or made.owner is not instance:
                world.violate("own batch", f"{instance.name} ended with {instance.batch_id!r}")
        elif instance.ended_as not in (Reason.TIMED_OUT, *VERDICTS, Reason.FAILED, Reason.CANCELLED):
            world.violate(
                "comes to an end", f"{instance.name} failed ({instance.ended_as}) on a healthy service"
            )
    for triggerer in world.triggerers:
        triggerer.check_left()
        triggerer.check_requests()
    for excused in world.excused:
        _check_told(world, excused)
    left = [process.name for process in world.network.under_way.values() if not _may_go_on(process)]
    if left:
        world.violate("nothing is left", f"requests of {left} are still under way")


def _may_go_on(process: Process) -> bool:
    """Say so of what has died, and of a try that Airflow gave up while it stood still: its deadline ends it later."""
    worker = process.poster
    return process.is_dead or (
        worker is not None and (worker.was_frozen or worker.number < worker.instance.try_number)
    )


def _check_told(world: World, excused: Excused) -> None:
    """See that a batch too many is told of in a WARNING, where its process lived on and a list could show it."""
    was_left_out = excused.gap == TWICE and world.network.has_left_out
    if excused.worker.was_killed or not excused.is_visible or was_left_out:
        return
    lines = [line for line in world.warnings if line.startswith(f"{excused.owner.name}.")]
    doubts = "whether a second batch was made", "batch was made by this try's POST"
    if not any(word in line for line in lines for word in (*excused.keys, *doubts)):
        which = " and ".join(excused.keys)
        world.violate(
            "said in the log", f"{excused.owner.name} has {which} ({excused.gap}), no WARNING names one"
        )
