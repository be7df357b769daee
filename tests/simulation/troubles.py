"""What a history has broken for a time, and what troubles its submissions: a few things at once, each strongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.network import LASTING, POST, Outage
from tests.simulation.world import TROUBLED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.world import World

MOST_AT_ONCE = 4


def draw_outage(world: World, begins: float, what: str = "", faults: Sequence[str] = ()) -> float:
    """Have one kind of request meet with one fault for a time; returns when that ends."""
    choices = world.choices
    what = what or choices.pick(("any", "get", "list", "get", "post"))
    length = choices.pick((5.0, 30.0, 200.0, 900.0))
    fault = choices.pick(faults or LASTING[what])
    world.network.outages.append(Outage(begins, begins + length, what, fault))
    world.counts["outages"] += 1
    return begins + length


def trouble_submissions(world: World) -> None:
    """Have what submissions need be broken just as tasks submit: one of many, so that each thing meets another."""
    choices, network = world.choices, world.network
    if choices.chance(0.2):
        world.nature.deaths_at_posts = 0.7
    if choices.chance(0.5):
        network.rate, network.faults = 0.3, (*(kind for kind in POST if choices.chance(0.3)), *network.faults)
    if choices.chance(0.3):  # one may have been made, and what is sent next is refused
        ends = draw_outage(world, 0.0, "post", ("lost after", "gateway after", "no id"))
        draw_outage(world, ends, "post", ("api 402", "refused", "api 429 for a minute"))
    for what in ("post", "list", "get"):
        if choices.chance(0.4):
            ends = draw_outage(world, choices.between(0, 30), what)
            if choices.chance(0.5):
                draw_outage(world, ends, what)  # trouble of another kind


def combine_troubles(world: World) -> None:
    """
    Have a few troubles of submissions at once, and nothing else of them.

    What a submission gets wrong takes two or three rare things together. Each drawn by itself, they hardly ever meet.
    """
    choices, network = world.choices, world.network
    network.rate, network.faults, network.outages = 0.0, (), []
    usable = [trouble for trouble in TROUBLES if world.nature.keeps_record or trouble not in NEED_A_RECORD]
    for _ in range(2 + choices.draw(MOST_AT_ONCE - 1)):
        trouble = usable.pop(choices.draw(len(usable)))
        world.note(f"trouble: {(trouble.__doc__ or '').strip()}")
        trouble(world)


def _flicker(world: World, what: str, *faults: str) -> None:
    """Have requests meet with one of the faults now and then, or all of them."""
    choices = world.choices
    share = choices.pick((0.3, 0.7, 1.0))
    ends = choices.pick((200.0, 30.0, 900.0, TROUBLED))
    world.network.outages.append(Outage(0.0, ends, what, choices.pick(faults), share))
    world.counts["outages"] += 1


def _late_lists(world: World) -> None:
    """Lists show a batch later than is documented."""
    world.service.habits.late = 0.7


def _lists_behind(world: World) -> None:
    """Lists are nearly a minute behind."""
    world.service.habits.lag = 58.0


def _reads_behind(world: World) -> None:
    """What was just made is not read for a minute."""
    world.service.habits.read_lag = 60.0


def _omitting_lists(world: World) -> None:
    """Lists leave something out, or stay unread."""
    _flicker(world, "list", "omits", "omits", "failed early", "lost before", "gateway")


def _short_pages(world: World) -> None:
    """Lists have many pages."""
    world.service.habits.page_limit = 1


def _missing_batches(world: World) -> None:
    """Batches are read as if they were not there."""
    _flicker(world, "get", "api 404", "stale", "gateway")


def _late_posts(world: World) -> None:
    """POSTs take long, or effect something only after their response."""
    _flicker(world, "post", "slow", "late", "late effect")


def _lost_responses(world: World) -> None:
    """What a POST was answered is lost, or of no use."""
    _flicker(world, "post", "lost after", "gateway after", "no id", "odd id")


def _refused_posts(world: World) -> None:
    """POSTs are refused."""
    _flicker(world, "post", "refused", "api 429 for a minute", "api 402", "api 5xx")


def _old_responses(world: World) -> None:
    """POSTs are answered with what was answered before."""
    _flicker(world, "post", "known id")


def _failing_batches(world: World) -> None:
    """Batches fail."""
    world.service.habits.failing = 0.5


def _short_batches(world: World) -> None:
    """Batches end soon."""
    world.service.habits.shortest, world.service.habits.longest = 5.0, 60.0


def _deleted_batches(world: World) -> None:
    """Batches are deleted, and their dates are of no use."""
    world.service.habits.expiring = 0.5


def _deaths(world: World) -> None:
    """Workers die as they send a POST."""
    world.nature.deaths_at_posts = 0.7


def _standstills(world: World) -> None:
    """Workers stand still."""
    world.nature.freezes = 0.1


def _failing_store(world: World) -> None:
    """What is recorded is hard to read and to write."""
    world.nature.store_failures = 0.1


def _soon_again(world: World) -> None:
    """Tasks are retried at once."""
    for instance in world.instances:
        instance.retry_delay = 1.0


def _clears(world: World) -> None:
    """Tasks are cleared again and again."""
    for instance in world.instances:
        for _ in range(2 + world.choices.draw(4)):
            world.clockwork.at(world.choices.between(0, 1200), instance.clear)


def _edits(world: World) -> None:
    """Tasks are cleared with other arguments."""
    world.nature.edits = 0.5


TROUBLES: tuple[Callable[[World], None], ...] = (
    _late_lists,
    _lists_behind,
    _reads_behind,
    _omitting_lists,
    _short_pages,
    _missing_batches,
    _late_posts,
    _lost_responses,
    _refused_posts,
    _old_responses,
    _failing_batches,
    _short_batches,
    _deleted_batches,
    _deaths,
    _standstills,
    _failing_store,
    _soon_again,
    _clears,
    _edits,
)
# What cannot be known below Airflow 3.3 is documented.
NEED_A_RECORD = frozenset(
    {_late_lists, _lists_behind, _omitting_lists, _standstills, _failing_store, _old_responses}
)
