"""One history: a world drawn from the choices, its disturbances, the calm after them, and what holds at its end."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.polling.schedule import RECHECK_GAPS
from tests.simulation.airflow import VERDICTS, TaskInstance
from tests.simulation.choices import Choices
from tests.simulation.clockwork import HistoryTooLongError
from tests.simulation.network import KINDS, LASTING, POST, Outage
from tests.simulation.patches import simulated
from tests.simulation.service import Habits
from tests.simulation.triggerers import Triggerer
from tests.simulation.world import TWICE, Excused, Hang, Nature, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.clockwork import Process

TROUBLED = 3600.0  # virtual seconds after which all trouble is over
PATIENCE = 4 * 3600.0  # virtual seconds after that within which everything must have ended
LARGEST = 3500.0  # seconds by which the clocks of workers and service are apart: documented is an hour
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


def draw_nature(choices: Choices) -> Nature:
    """Draw how unkind a history is; most of its chances are switched off, so that the others show."""
    kind = choices.pick
    return Nature(
        kills=kind((0.0, 0.0, 0.03, 0.15)),
        freezes=kind((0.0, 0.0, 0.03, 0.1)),
        store_failures=kind((0.0, 0.0, 0.05)),
        ahead=kind((0.0, 0.0, 30.0, -30.0, 3400.0, -3400.0)),
        apart=kind((0.0, 0.0, 2.0)),
        triggerers_ahead=kind((0.0, 0.0, 20.0, -20.0, 1000.0)),
        keeps_record=not choices.chance(0.15),
        deaths_at_posts=kind((0.0, 0.0, 0.0, 0.3)),
        edits=kind((0.0, 0.0, 0.3)),
        zone=kind(("UTC0", "UTC0", "WEST8", "EAST-14")),
        rows=kind((0, 0, 0, 0, 0, 2)),
    )


def draw(world: World) -> None:
    """Draw the rest of a history: the service, the network, who waits for what, and what happens when."""
    choices, nature = world.choices, world.nature
    if not nature.keeps_record:  # what cannot be known below Airflow 3.3 is documented, so it is left out
        nature.freezes = 0.0
        nature.ahead = max(-200.0, min(nature.ahead, 200.0))
        world.network.lies_of_directories = False
    world.service.habits = _habits(choices, nature)
    network = world.network
    network.rate = choices.pick((0.0, 0.02, 0.1, 0.3))
    network.faults = tuple(kind for kind in KINDS if choices.chance(0.3)) if network.rate else ()
    network.slowest = choices.pick((0.1, 0.5, 3.0))
    for _ in range(choices.pick((0, 0, 0, 1, 2))):
        _draw_outage(world, choices.between(0, 2400))
    untroubled = choices.chance(0.1)
    about_submissions = choices.chance(0.35)
    if about_submissions:
        _trouble_submissions(world)
    for number in range(1 + choices.pick((0, 0, 1))):
        Triggerer(world, f"triggerer-{number}")
    instances = 1 + choices.pick((0, 0, 0, 1, 1, 3, 3 if about_submissions else 7))
    if nature.rows and not about_submissions:
        instances = 8 + choices.pick((0, 2, 4))
    _draw_instances(world, instances, waits=0.3 if about_submissions else 0.8)
    _draw_disturbances(world)
    if untroubled:
        network.rate, network.faults, network.outages, world.hangs = 0.0, (), [], []
    if not (network.faults or network.outages or world.hangs or world.counts["rotated keys"]):
        _be_healthy(world)


def _trouble_submissions(world: World) -> None:
    """Have what submissions need be broken just as tasks submit: one of many, so that each thing meets another."""
    choices, network = world.choices, world.network
    if choices.chance(0.2):
        world.nature.deaths_at_posts = 0.7
    if choices.chance(0.5):
        network.rate, network.faults = 0.3, (*(kind for kind in POST if choices.chance(0.3)), *network.faults)
    if choices.chance(0.3):  # one may have been made, and what is sent next is refused
        ends = _draw_outage(world, 0.0, "post", ("lost after", "gateway after", "no id"))
        _draw_outage(world, ends, "post", ("api 402", "refused"))
    for what in ("post", "list", "get"):
        if choices.chance(0.4):
            ends = _draw_outage(world, choices.between(0, 30), what)
            if choices.chance(0.5):
                _draw_outage(world, ends, what)  # trouble of another kind


def _be_healthy(world: World) -> None:
    """Hold a service without trouble to what it is held to in the calm, from the beginning."""
    world.counts["services without trouble"] += 1
    world.quiet_since = 0.0
    for minute in range(1, int(TROUBLED / 60.0)):
        world.clockwork.at(60.0 * minute, lambda: _check_found(world))


def _habits(choices: Choices, nature: Nature) -> Habits:
    pick = choices.pick
    return Habits(
        ahead=pick((0.0, 0.0, 10.0, -10.0)) if nature.keeps_record else 0.0,
        spread=pick((0.0, 0.0, 4.0)),
        lag=pick((0.0, 0.0, 5.0, 30.0, 58.0) if nature.keeps_record else (0.0, 5.0)),
        read_lag=pick((0.0, 0.0, 3.0, 60.0)),
        late=pick((0.0, 0.0, 0.0, 0.0, 0.5)) if nature.keeps_record else 0.0,
        page_limit=nature.rows or pick((1000, 1000, 1, 2)),
        ignores=pick(
            ((), (), (), ("status",), ("created_at_on_or_after",), ("status", "source_directory_id"))
        ),
        ascending=choices.chance(0.15),
        hides=pick((0, 0, 0, 0, 0, 0, 0, 0, 3, 1)),
        whole_seconds=choices.chance(0.15),
        shortest=pick((5.0, 60.0)),
        longest=pick((60.0, 300.0, 1500.0)),
        failing=pick((0.0, 0.0, 0.4)),
        expiring=pick((0.0, 0.0, 0.0, 0.2)),
        odd_dates=nature.keeps_record,
        zoneless=choices.chance(0.2),
    )


def _draw_instances(world: World, count: int, *, waits: float) -> None:
    """Draw tasks: each as it comes, or all alike, as mapped ones are. ``waits`` is how likely one waits."""
    choices = world.choices
    shared = choices.chance(0.3)
    same_configuration = not shared and choices.chance(0.4)
    is_mapped = choices.chance(0.7 if world.nature.rows else 0.3)  # else they are seldom asked for together
    arguments: dict[str, Any] = {}
    for number in range(count):
        if not arguments or not is_mapped:
            arguments = {
                "waits": not choices.chance(1.0 - waits),
                "deferrable": not choices.chance(0.2),
                "poll_interval": choices.pick((30.0, 5.0, 60.0, 120.0)),
                "timeout": choices.pick((7200.0, 600.0, 90.0, 86400.0)),
                "retry_delay": choices.pick((1.0, 60.0, 300.0)),
            }
        instance = TaskInstance(
            world,
            f"task-{number}",
            "dir-0" if shared else f"dir-{number}",
            "cfg-0" if same_configuration else f"cfg-{number}",
            **arguments,
        )
        world.clockwork.at(choices.between(0, 30), instance.start)


def _draw_disturbances(world: World) -> None:
    choices, clockwork = world.choices, world.clockwork
    for instance in world.instances:
        for _ in range(choices.pick((0, 0, 0, 0, 0, 1, 1, 2))):
            _draw_clear(world, instance)
        if choices.chance(0.03):
            clockwork.at(choices.between(0, TROUBLED - 1), instance.mark_failed)
    for triggerer in world.triggerers:
        _draw_fate(world, triggerer)
    if choices.chance(0.1):
        _draw_rotation(world)
    if choices.chance(0.15):
        _draw_step(world)
    if choices.chance(0.1):
        _draw_hang(world)
    for _ in range(choices.pick((0, 0, 1, 3))):
        directory = choices.pick(("dir-of-others", "dir-0"))
        clockwork.at(choices.between(0, 600), lambda where=directory: stranger(world, where))  # type: ignore[misc]


def _draw_fate(world: World, triggerer: Triggerer) -> None:
    choices, clockwork = world.choices, world.clockwork
    if choices.chance(0.15):
        clockwork.at(choices.between(0, 2000), triggerer.kill)
    if choices.chance(0.15):
        seconds = choices.pick((5.0, 20.0, 60.0, 600.0))
        clockwork.at(choices.between(0, 2000), lambda: triggerer.freeze(seconds))


def _draw_clear(world: World, instance: TaskInstance) -> None:
    """Have a task cleared, perhaps just while something does not answer as it should."""
    choices = world.choices
    at = choices.between(0, choices.pick((TROUBLED - 1, 900.0)))  # the latter mostly while its batch runs
    world.clockwork.at(at, instance.clear)
    if choices.chance(0.4):
        _draw_outage(world, at)
    if choices.chance(0.2):
        _draw_outage(world, at, choices.pick(("post", "list")))


def _draw_outage(world: World, begins: float, what: str = "", faults: Sequence[str] = ()) -> float:
    """Have one kind of request meet with one fault for a time; returns when that ends."""
    choices = world.choices
    what = what or choices.pick(("any", "get", "list", "get", "post"))
    length = choices.pick((5.0, 30.0, 200.0, 900.0))
    fault = choices.pick(faults or LASTING[what])
    world.network.outages.append(Outage(begins, begins + length, what, fault))
    world.counts["outages"] += 1
    return begins + length


def _draw_hang(world: World) -> None:
    """Have look-ups of the connection hang or fail for a time."""
    choices = world.choices
    begins = choices.between(0, choices.pick((30.0, 1200.0)))  # the former as the first waits begin
    seconds = choices.pick((20.0, 31.0, 600.0, -5.0, -40.0))
    world.hangs.append(Hang(begins, begins + choices.pick((30.0, 300.0, 900.0)), seconds))


def _draw_rotation(world: World) -> None:
    """Have the key changed in LlamaCloud and in Airflow, one of them first."""
    choices, clockwork = world.choices, world.clockwork
    world.counts["rotated keys"] += 1
    at = choices.between(10, choices.pick((2000.0, 90.0)))  # the latter as tasks submit

    def refuse() -> None:
        world.note("the service takes another key from now on")
        world.service.key = "llx-second"

    def change() -> None:
        world.note("the connection holds another key from now on")
        world.connection_key, world.key_changed_at = "llx-second", world.now

    clockwork.at(at, refuse)
    clockwork.at(at + choices.pick((0.0, 20.0, 50.0, 300.0)), change)


def _draw_step(world: World) -> None:
    """Have a clock set, while everything runs."""
    choices, nature, clockwork = world.choices, world.nature, world.clockwork
    who = choices.pick(("workers", "triggerers", "service"))
    by = choices.pick((2.0, -2.0, 30.0, -30.0, 900.0, -900.0))
    if who == "service" or not nature.keeps_record:
        by = max(-4.0, min(by, 4.0))  # more is documented as beyond what can be told apart

    def step() -> None:
        world.note(f"the clock of the {who} is set by {by:+g} s")
        world.counts["clocks set"] += 1
        if who == "service":
            world.service.habits.ahead += by
        elif who == "workers":
            by_now = max(-LARGEST, min(nature.ahead + by, LARGEST)) - nature.ahead
            nature.ahead += by_now
            for worker in (worker for instance in world.instances for worker in instance.workers):
                worker.process.ahead += by_now
        else:
            nature.triggerers_ahead += by
            for triggerer in world.triggerers:
                triggerer.process.ahead += by

    clockwork.at(choices.between(0, 2400), step)


def stranger(world: World, directory: str) -> None:
    """Have somebody else make a batch."""
    service = world.service
    is_alike = directory != "dir-0" and world.choices.chance(0.5)
    configuration = "cfg-0" if is_alike else "cfg-of-a-stranger"
    made = service.make(None, None, directory, configuration, float("inf"))
    world.note(f"service: {made.key} is made by a stranger in {directory}")


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
