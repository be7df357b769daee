"""``/_emulator/...``: the control over HTTP, JSON in and out, no key. The same as ``Control``, call for call."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from airflow_provider_llamabatch.emulator.answers import Answer, invalid_all, not_found
from airflow_provider_llamabatch.emulator.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World


class Changes(BaseModel):
    """Any fields; who takes them checks them."""

    model_config = ConfigDict(extra="allow")


class ClockChange(BaseModel):
    """Body of a clock change."""

    model_config = ConfigDict(extra="forbid")

    advance: NonNegativeFloat = 0
    freeze: bool | None = None


class NewKey(BaseModel):
    """Body of a key rotation."""

    api_key: Annotated[str, Field(min_length=1)]


def get_settings(world: World, _ask: Ask) -> Answer:
    """Show the settings."""
    return Answer(Control(world).settings.model_dump(mode="json"))


def change_settings(world: World, ask: Ask) -> Answer:
    """Change settings by name."""
    changes = ask.body(Changes).model_extra or {}
    return Answer(_accepted(lambda: Control(world).change(**changes).model_dump(mode="json")))


def set_api_key(world: World, ask: Ask) -> Answer:
    """Rotate the key; it is not shown again."""
    Control(world).set_api_key(ask.body(NewKey).api_key)
    return Answer(status=204)


def get_clock(world: World, _ask: Ask) -> Answer:
    """Show the time."""
    return Answer(Control(world).clock())


def change_clock(world: World, ask: Ask) -> Answer:
    """Freeze or release the clock, move it forward."""
    change = ask.body(ClockChange)
    control = Control(world)
    if change.freeze is not None:
        control.freeze(change.freeze)
    control.advance(change.advance)
    return Answer(control.clock())


def list_faults(world: World, _ask: Ask) -> Answer:
    """Show all faults and their scores."""
    return Answer(Control(world).faults())


def add_fault(world: World, ask: Ask) -> Answer:
    """Add a fault."""
    fault = ask.body(Changes).model_extra or {}
    return Answer({"id": _accepted(lambda: Control(world).add_fault(**fault))}, status=201)


def clear_faults(world: World, _ask: Ask) -> Answer:
    """Remove all faults."""
    Control(world).clear_faults()
    return Answer(status=204)


def remove_fault(world: World, ask: Ask) -> Answer:
    """Remove one fault."""
    try:
        Control(world).remove_fault(ask.ids["fault_id"])
    except KeyError:
        raise not_found("Fault", ask.ids["fault_id"]) from None
    return Answer(status=204)


def reset(world: World, _ask: Ask) -> Answer:
    """Start over."""
    Control(world).reset()
    return Answer(status=204)


def list_requests(world: World, _ask: Ask) -> Answer:
    """Show the requests that came in."""
    return Answer([asdict(seen) for seen in Control(world).requests()])


def get_counters(world: World, _ask: Ask) -> Answer:
    """Show the counts."""
    return Answer(Control(world).counters())


def get_state(world: World, _ask: Ask) -> Answer:
    """Show what exists."""
    return Answer(Control(world).state())


def _accepted(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except ValidationError as error:
        raise invalid_all("body", error) from None


ROUTES = [
    ("GET", "/_emulator/settings", get_settings),
    ("PATCH", "/_emulator/settings", change_settings),
    ("PUT", "/_emulator/api-key", set_api_key),
    ("GET", "/_emulator/clock", get_clock),
    ("POST", "/_emulator/clock", change_clock),
    ("GET", "/_emulator/faults", list_faults),
    ("POST", "/_emulator/faults", add_fault),
    ("DELETE", "/_emulator/faults", clear_faults),
    ("DELETE", "/_emulator/faults/{fault_id}", remove_fault),
    ("POST", "/_emulator/reset", reset),
    ("GET", "/_emulator/requests", list_requests),
    ("GET", "/_emulator/counters", get_counters),
    ("GET", "/_emulator/state", get_state),
]
