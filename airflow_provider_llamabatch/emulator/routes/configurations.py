"""``/api/v1/beta/configurations``: save, list, get, change, delete."""

from typing import Annotated, Any

from fastapi import Query

from airflow_provider_llamabatch.emulator.models.products import (
    ConfigurationChange,
    ConfigurationCreate,
    ConfigurationList,
    Parameters,
    ParseParameters,
)
from airflow_provider_llamabatch.emulator.models.responses import ConfigurationResponse, Page
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, refuse_when
from airflow_provider_llamabatch.emulator.routes.paging import newest_page
from airflow_provider_llamabatch.emulator.state.clock import iso
from airflow_provider_llamabatch.emulator.state.records import Configuration
from airflow_provider_llamabatch.emulator.state.service import PRESET_ID
from airflow_provider_llamabatch.emulator.webhooks import targets

Json = dict[str, Any]

api = Api("/api/v1/beta/configurations", "Configurations")


@api.route("POST", "", ConfigurationResponse, status=201)
def save_configuration(request: ApiRequest, body: ConfigurationCreate) -> Json:
    """Create a configuration, or change the one with the same name and product."""
    _check_webhooks(request, body.parameters)
    configuration = _called(request, body.name, body.parameters.product_type)
    if configuration is None:
        service, now = request.service, request.now
        id_ = service.ids.new("cfg")
        configuration = Configuration(id_, service.order(), now, now, body.name, {}, version="")
        request.project.configurations.add(configuration)
    _set_parameters(request, configuration, body.parameters)
    return _configuration_json(configuration)


@api.route("GET", "", Page[ConfigurationResponse])
def list_configurations(request: ApiRequest, query: Annotated[ConfigurationList, Query()]) -> Json:
    """List configurations and presets, newest first."""

    def keep(one: Configuration) -> bool:
        return query.name in {None, one.name} and (
            not query.product_type or one.product_type in query.product_type
        )

    table, settings = request.project.configurations, request.settings
    longest = settings.max_page_size_of_files
    return newest_page(
        table, query, settings, _configuration_json, now=request.now, keep=keep, longest=longest
    )


@api.route("GET", "/{config_id}", ConfigurationResponse)
def get_configuration(request: ApiRequest, config_id: str) -> Json:
    """Show a configuration."""
    return _configuration_json(request.configuration(config_id))


@api.route("PUT", "/{config_id}", ConfigurationResponse, refusals=[409])
def change_configuration(request: ApiRequest, config_id: str, body: ConfigurationChange) -> Json:
    """Change a configuration. Jobs and batches made before keep what they were made with."""
    configuration = request.configuration(config_id)
    refuse_when(configuration.id == PRESET_ID, 403, "A built-in preset cannot be changed")
    _check_webhooks(request, body.parameters)
    name = body.name or configuration.name
    product_type = configuration.product_type if body.parameters is None else body.parameters.product_type
    found = _called(request, name, product_type)
    is_taken = found is not None and found.id != configuration.id
    refuse_when(is_taken, 409, f"A configuration {name!r} for {product_type} exists already")
    configuration.name = name
    if body.parameters is not None:
        _set_parameters(request, configuration, body.parameters)
    return _configuration_json(configuration)


@api.route("DELETE", "/{config_id}", status=204)
def delete_configuration(request: ApiRequest, config_id: str) -> None:
    """Delete a configuration."""
    configuration = request.configuration(config_id)
    refuse_when(configuration.id == PRESET_ID, 403, "A built-in preset cannot be deleted")
    request.project.configurations.remove(configuration.id)


def _called(request: ApiRequest, name: str, product_type: str) -> Configuration | None:
    """Return the one configuration with this name and product; presets are apart."""
    asked = (name, product_type)
    saved = (one for one in request.project.configurations if one.id != PRESET_ID)
    return next((one for one in saved if (one.name, one.product_type) == asked), None)


def _check_webhooks(request: ApiRequest, parameters: Parameters | None) -> None:
    if isinstance(parameters, ParseParameters):
        targets(request, parameters)


def _set_parameters(request: ApiRequest, configuration: Configuration, parameters: Parameters) -> None:
    configuration.parameters = parameters.model_dump(exclude_unset=True)
    configuration.updated_at = request.now
    configuration.version = iso(request.now)


def _configuration_json(configuration: Configuration) -> Json:
    return {
        "id": configuration.id,
        "name": configuration.name,
        "product_type": configuration.product_type,
        "version": configuration.version,
        "parameters": configuration.parameters,
        "created_at": iso(configuration.created_at),
        "updated_at": iso(configuration.updated_at),
    }
