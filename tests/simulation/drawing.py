"""What a history begins with, drawn from the choices: the service, the network, who waits for what, what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.airflow import TaskInstance
from tests.simulation.network import KINDS
from tests.simulation.service import Habits
from tests.simulation.triggerers import Triggerer
from tests.simulation.troubles import combine_troubles, draw_outage, trouble_submissions
from tests.simulation.world import TROUBLED, Hang, Nature

if TYPE_CHECKING:
    from tests.simulation.choices import Choices
    from tests.simulation.world import World

LARGEST = 3500.0  # seconds by which the clocks of workers and service are apart: documented is an hour


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
        draw_outage(world, choices.between(0, 2400))
    untroubled = choices.chance(0.1)
    about_submissions = choices.chance(0.45)
    are_combined = about_submissions and choices.chance(0.5)
    if about_submissions and not are_combined:
        trouble_submissions(world)
    for number in range(1 + choices.pick((0, 0, 1))):
        Triggerer(world, f"triggerer-{number}")
    instances = 1 + choices.pick((0, 0, 0, 1, 1, 3, 3 if about_submissions else 7))
    if nature.rows and not about_submissions:
        instances = 8 + choices.pick((0, 2, 4))
    _draw_instances(world, instances, waits=0.3 if about_submissions else 0.8)
    _draw_disturbances(world)
    if are_combined:
        combine_troubles(world)
    if untroubled:
        network.rate, network.faults, network.outages, world.hangs = 0.0, (), [], []
    if not (network.faults or network.outages or world.hangs or world.counts["rotated keys"]):
        world.counts["services without trouble"] += 1


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
        draw_outage(world, at)
    if choices.chance(0.2):
        draw_outage(world, at, choices.pick(("post", "list")))


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
