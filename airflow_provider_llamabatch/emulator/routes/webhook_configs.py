"""``/api/v1/beta/webhook-configs`` and ``/api/v2/webhook-configs``: save, list, get, change, delete."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import ValidationError

from airflow_provider_llamabatch.emulator.errors import invalid_all
from airflow_provider_llamabatch.emulator.models.requests import SavedWebhook, WebhookChange, WebhookList
from airflow_provider_llamabatch.emulator.models.responses import Page, WebhookConfigurationResponse
from airflow_provider_llamabatch.emulator.routes.base import Api, ApiRequest, sure
from airflow_provider_llamabatch.emulator.routes.paging import newest_page
from airflow_provider_llamabatch.emulator.state.clock import iso
from airflow_provider_llamabatch.emulator.state.records import WebhookConfiguration

Json = dict[str, Any]

MASK = "********"

api = Api("/api", "Webhooks")


@api.route("POST", "/v1/beta/webhook-configs", WebhookConfigurationResponse, status=201)
def save_webhook(request: ApiRequest, body: SavedWebhook) -> Json:
    """Save a webhook."""
    service, now = request.service, request.now
    saved = WebhookConfiguration(service.ids.new("whc"), service.order(), now, now, body)
    request.project.webhooks.add(saved)
    return _webhook_json(request, saved)


@api.route("GET", "/v1/beta/webhook-configs", list[WebhookConfigurationResponse])
def list_webhooks_v1(request: ApiRequest) -> list[Json]:
    """List webhooks as a bare array, newest first."""
    return [_webhook_json(request, one) for one in reversed([*request.project.webhooks])]


@api.route("GET", "/v2/webhook-configs", Page[WebhookConfigurationResponse])
def list_webhooks_v2(request: ApiRequest, query: Annotated[WebhookList, Query()]) -> Json:
    """List webhooks, newest first."""
    table = request.project.webhooks
    found = newest_page(
        table, query, request.settings, lambda one: _webhook_json(request, one), now=request.now
    )
    return {**found, "total_size": len(table) if query.include_total else None}


@api.route("GET", "/v1/beta/webhook-configs/{config_id}", WebhookConfigurationResponse)
def get_webhook(request: ApiRequest, config_id: str) -> Json:
    """Show a webhook."""
    return _webhook_json(request, _webhook(request, config_id))


@api.route("PUT", "/v1/beta/webhook-configs/{config_id}", WebhookConfigurationResponse)
def change_webhook(request: ApiRequest, config_id: str, body: WebhookChange) -> Json:
    """Change what is sent; what is not stays."""
    saved = _webhook(request, config_id)
    changes = body.model_dump(exclude_unset=True)
    try:
        saved.webhook = SavedWebhook.model_validate({**saved.webhook.model_dump(), **changes})
    except ValidationError as error:
        raise invalid_all(error, "body") from None
    saved.updated_at = request.now
    return _webhook_json(request, saved)


@api.route("DELETE", "/v1/beta/webhook-configs/{config_id}", status=204)
def delete_webhook(request: ApiRequest, config_id: str) -> None:
    """Delete a webhook."""
    request.project.webhooks.remove(_webhook(request, config_id).id)


def _webhook(request: ApiRequest, id_: str) -> WebhookConfiguration:
    return sure(request.project.webhooks.get(id_), "Webhook configuration", id_)


def _webhook_json(request: ApiRequest, saved: WebhookConfiguration) -> Json:
    webhook = saved.webhook
    headers = webhook.webhook_headers
    return {
        "id": saved.id,
        "tenant_id": request.project.id,
        "tenant_type": "project",
        "webhook_url": webhook.webhook_url,
        "webhook_headers": None if headers is None else dict.fromkeys(headers, MASK),
        "webhook_events": webhook.webhook_events,
        "webhook_output_format": webhook.webhook_output_format,
        "has_secret": webhook.webhook_signing_secret is not None,
        "created_at": iso(saved.created_at),
        "updated_at": iso(saved.updated_at),
    }
