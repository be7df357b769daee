"""``/api/v1/beta/configurations``: save, list, get, change, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from airflow_provider_llamabatch.emulator.answers import Answer
from airflow_provider_llamabatch.emulator.asking import Flag, Paging, Word, Words
from airflow_provider_llamabatch.emulator.clock import iso
from airflow_provider_llamabatch.emulator.paging import page
from airflow_provider_llamabatch.emulator.records import Configuration
from airflow_provider_llamabatch.emulator.store import PRESET_ID, new_id

if TYPE_CHECKING:
    from typing import Self

    from airflow_provider_llamabatch.emulator.asking import Ask
    from airflow_provider_llamabatch.emulator.world import World

NEEDED = {"parse_v2": ("tier", "version"), "extract_v2": ("data_schema",)}


class Parameters(BaseModel):
    """The options of a product; kept as they are once the needed ones are there."""

    model_config = ConfigDict(extra="allow")

    product_type: Literal["parse_v2", "extract_v2", "classify_v2", "split_v1", "spreadsheet_v1", "unknown"]

    @model_validator(mode="after")
    def _has_what_is_needed(self) -> Self:
        missing = [name for name in NEEDED.get(self.product_type, ()) if name not in (self.model_extra or {})]
        if missing:
            raise ValueError(f"{', '.join(missing)} required for {self.product_type}")
        return self


class ConfigurationCreate(BaseModel):
    """Body of a create."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    parameters: Parameters


class ConfigurationChange(BaseModel):
    """Body of a change."""

    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    parameters: Parameters | None = None


class ConfigurationList(Paging):
    """Query of a list. There is one version of each configuration here, so ``latest_only`` changes nothing."""

    product_type: Words = ()
    name: Word = None
    latest_only: Flag = False


def save_configuration(world: World, ask: Ask) -> Answer:
    """Create a configuration, or change the one with the same name and product."""
    asked = ask.body(ConfigurationCreate)
    known = (
        one
        for one in world.store.configurations.values()
        if one.name == asked.name
        and one.product_type == asked.parameters.product_type
        and one.id != PRESET_ID
    )
    configuration = next(known, None)
    if configuration is None:
        configuration = _new_configuration(world, asked.name)
    _set_parameters(world, configuration, asked.parameters)
    return Answer(_configuration_json(configuration), status=201)


def list_configurations(world: World, ask: Ask) -> Answer:
    """List configurations and presets, newest first."""
    asked = ask.query(ConfigurationList)
    found = (
        one
        for one in world.store.configurations.values()
        if asked.name in {None, one.name}
        and (not asked.product_type or one.product_type in asked.product_type)
    )
    return Answer(page(found, asked, world.settings, _configuration_json))


def get_configuration(world: World, ask: Ask) -> Answer:
    """Show a configuration."""
    return Answer(_configuration_json(world.configuration(ask.ids["config_id"], "parse_v2")))


def change_configuration(world: World, ask: Ask) -> Answer:
    """Change a configuration. Jobs and batches made before keep what they were made with."""
    configuration = world.configuration(ask.ids["config_id"], "parse_v2")
    world.refuse_when(configuration.id == PRESET_ID, 403, "A built-in preset cannot be changed")
    asked = ask.body(ConfigurationChange)
    configuration.name = asked.name or configuration.name
    if asked.parameters is not None:
        _set_parameters(world, configuration, asked.parameters)
    return Answer(_configuration_json(configuration))


def delete_configuration(world: World, ask: Ask) -> Answer:
    """Delete a configuration."""
    configuration = world.configuration(ask.ids["config_id"], "parse_v2")
    world.refuse_when(configuration.id == PRESET_ID, 403, "A built-in preset cannot be deleted")
    world.store.configurations.pop(configuration.id, None)
    return Answer(status=204)


def _new_configuration(world: World, name: str) -> Configuration:
    now = world.now
    configuration = Configuration(new_id("cfg"), world.store.order(), now, now, name, {}, version="")
    world.store.configurations[configuration.id] = configuration
    return configuration


def _set_parameters(world: World, configuration: Configuration, parameters: Parameters) -> None:
    configuration.parameters = parameters.model_dump()
    configuration.updated_at = world.now
    configuration.version = iso(world.now)


def _configuration_json(configuration: Configuration) -> dict[str, Any]:
    return {
        "id": configuration.id,
        "name": configuration.name,
        "product_type": configuration.product_type,
        "version": configuration.version,
        "parameters": configuration.parameters,
        "created_at": iso(configuration.created_at),
        "updated_at": iso(configuration.updated_at),
    }


_CONFIGURATIONS = "/api/v1/beta/configurations"
ROUTES = [
    ("POST", _CONFIGURATIONS, save_configuration),
    ("GET", _CONFIGURATIONS, list_configurations),
    ("GET", f"{_CONFIGURATIONS}/{{config_id}}", get_configuration),
    ("PUT", f"{_CONFIGURATIONS}/{{config_id}}", change_configuration),
    ("DELETE", f"{_CONFIGURATIONS}/{{config_id}}", delete_configuration),
]
