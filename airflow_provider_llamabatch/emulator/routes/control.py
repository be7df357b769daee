"""``/_emulator/...``: the control over HTTP, JSON in and out, no key. The same as ``Control``, call for call."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from airflow_provider_llamabatch.emulator.control import Control
from airflow_provider_llamabatch.emulator.errors import invalid, invalid_all, not_found
from airflow_provider_llamabatch.emulator.models.requests import Changes
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest

Json = dict[str, Any]

api = Api("/_emulator", "Control", needs_key=False)


class ClockChange(BaseModel):
    """Body of a clock change."""

    model_config = ConfigDict(extra="forbid")

    advance: NonNegativeFloat = 0
    freeze: bool | None = None


class NewKey(BaseModel):
    """Body of a key rotation."""

    api_key: Annotated[str, Field(pattern="^[!-~]+$")]  # what a header can carry


class NewProject(BaseModel):
    """Body of a new project."""

    name: Annotated[str, Field(min_length=1)]
    organization_id: str | None = None


@api.route("GET", "/settings")
def get_settings(request: ApiRequest) -> Json:
    """Show the settings."""
    return request.settings.model_dump(mode="json")


@api.route("PATCH", "/settings")
def change_settings(request: ApiRequest, body: Changes) -> Json:
    """Change settings by name."""
    changed: Json = _accepted(
        lambda: _control(request).change(**body.model_extra or {}).model_dump(mode="json")
    )
    return changed


@api.route("PUT", "/api-key", status=204)
def set_api_key(request: ApiRequest, body: NewKey) -> None:
    """Rotate the key; it is not shown again."""
    try:
        _control(request).set_api_key(body.api_key)
    except ValueError as error:
        raise invalid("body", "api_key", str(error), None) from None


@api.route("POST", "/projects", status=201)
def add_project(request: ApiRequest, body: NewProject) -> Json:
    """Add a project with a key of its own, which is shown this once."""
    return _control(request).add_project(body.name, body.organization_id)


@api.route("GET", "/clock")
def get_clock(request: ApiRequest) -> Json:
    """Show the time."""
    return _control(request).clock()


@api.route("POST", "/clock")
def change_clock(request: ApiRequest, body: ClockChange) -> Json:
    """Freeze or release the clock, move it forward."""
    control = _control(request)
    try:
        control.advance(body.advance)
    except ValueError as error:
        raise invalid("body", "advance", str(error), body.advance) from None
    if body.freeze is not None:
        control.freeze(body.freeze)
    return control.clock()


@api.route("GET", "/faults")
def list_faults(request: ApiRequest) -> list[Json]:
    """Show all faults and their scores."""
    return _control(request).faults()


@api.route("POST", "/faults", status=201)
def add_fault(request: ApiRequest, body: Changes) -> Json:
    """Add a fault."""
    return {"id": _accepted(lambda: _control(request).add_fault(**body.model_extra or {}))}


@api.route("DELETE", "/faults", status=204)
def clear_faults(request: ApiRequest) -> None:
    """Remove all faults."""
    _control(request).clear_faults()


@api.route("DELETE", "/faults/{fault_id}", status=204, refusals=[404])
def remove_fault(request: ApiRequest, fault_id: str) -> None:
    """Remove one fault."""
    try:
        _control(request).remove_fault(fault_id)
    except KeyError:
        raise not_found("Fault", fault_id) from None


@api.route("POST", "/reset", status=204)
def reset(request: ApiRequest) -> None:
    """Start over."""
    _control(request).reset()


@api.route("GET", "/requests")
def list_requests(request: ApiRequest) -> list[Json]:
    """Show the requests that came in."""
    return [asdict(seen) for seen in _control(request).requests()]


@api.route("GET", "/deliveries")
def list_deliveries(request: ApiRequest) -> list[Json]:
    """Show the webhook deliveries."""
    return _control(request).deliveries()


@api.route("GET", "/counters")
def get_counters(request: ApiRequest) -> Json:
    """Show the counts."""
    return _control(request).counters()


@api.route("GET", "/state")
def get_state(request: ApiRequest) -> Json:
    """Show what exists."""
    return _control(request).state()


def _control(request: ApiRequest) -> Control:
    return Control(request.service)


def _accepted(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except ValidationError as error:
        raise invalid_all(error, "body") from None
