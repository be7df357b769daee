"""Telling others about jobs and batches: saved and inline webhooks, signed, with retries, by the emulator's clock."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_llamabatch.emulator.errors import invalid
from airflow_provider_llamabatch.emulator.models.requests import EVENTS, SavedWebhook
from airflow_provider_llamabatch.emulator.state import batches, jobs
from airflow_provider_llamabatch.emulator.state.clock import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from airflow_provider_llamabatch.emulator.routes.base import ApiRequest
    from airflow_provider_llamabatch.emulator.state.records import Batch, Job
    from airflow_provider_llamabatch.emulator.state.service import EmulatorState

USER_AGENT = "llamaindex-webhook-service/1.0"
LOOK_SECONDS = 0.05
WORDS = {"PENDING": "pending", "RUNNING": "running", "COMPLETED": "success", "FAILED": "error"}
WORDS["CANCELLED"] = "cancelled"
OPEN = frozenset({"PENDING", "THROTTLED", "RUNNING"})
"""Any other status is the last one, also one for which there is no event."""


@dataclass(slots=True)
class Watched:
    """A job or batch that somebody wants to hear about, the events it has had, and whether more can come."""

    id: str
    project_id: str
    product: str
    status: Callable[[float], str]
    targets: list[SavedWebhook]
    is_partial: bool = False
    since: float = 0.0
    told: set[str] = field(default_factory=set)
    has_ended: bool = False

    def news(self, now: float) -> Iterator[str]:
        """Go through the statuses that have come since the last look; what was passed unseen is told too."""
        if now < self.since:
            return
        word = self.status(now)
        self.has_ended = word not in OPEN
        passed = [
            "PENDING",
            *(["RUNNING"] if word not in {"PENDING", "THROTTLED", "CANCELLED"} else []),
            word,
        ]
        for status in passed:
            if self.event(status) in EVENTS and status not in self.told:
                self.told.add(status)
                yield status

    def event(self, status: str) -> str:
        """Return what the API calls a status as an event; not all that come of this are events."""
        word = "partial_success" if self.is_partial and status == "COMPLETED" else WORDS.get(status)
        return f"{self.product}.{word}"


def targets(request: ApiRequest, asked: Any) -> list[SavedWebhook]:
    """Return the webhooks of a create. Refuses ids that are unknown (422)."""
    for id_ in asked.webhook_configuration_ids or []:
        if request.project.webhooks.get(id_) is None:
            raise invalid("body", "webhook_configuration_ids", f"Webhook configuration {id_} not found", id_)
    return targets_of(
        request, asked.model_dump(include={"webhook_configuration_ids", "webhook_configurations"})
    )


def targets_of(request: ApiRequest, parameters: dict[str, Any]) -> list[SavedWebhook]:
    """Return the webhooks that options name, without saved ones that have been deleted since."""
    saved = (request.project.webhooks.get(id_) for id_ in parameters.get("webhook_configuration_ids") or [])
    inline = parameters.get("webhook_configurations") or []
    return [
        *(one.webhook for one in saved if one is not None),
        *(SavedWebhook.model_construct(**one) for one in inline if one.get("webhook_url")),
    ]


def watch_batch(service: EmulatorState, project_id: str, batch: Batch, told: list[SavedWebhook]) -> None:
    """Tell about a batch."""
    _watch(
        service, Watched(batch.id, project_id, "batch", lambda now: batches.snapshot(batch, now).status, told)
    )


def watch_job(service: EmulatorState, project_id: str, job: Job, told: list[SavedWebhook]) -> None:
    """Tell about a job."""
    product = "parse" if job.type == "parse_v2" else "extract"
    watched = Watched(job.id, project_id, product, lambda now: jobs.status(job, now), told)
    watched.is_partial, watched.since = bool(job.failed_pages), job.created_at
    _watch(service, watched)


def forget(service: EmulatorState, ids: list[str]) -> None:
    """Tell nothing about jobs that will never be made."""
    service.watched = [watched for watched in service.watched if watched.id not in ids]


def _watch(service: EmulatorState, watched: Watched) -> None:
    if watched.targets:
        service.watched.append(watched)
        service.on_change()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one target."""

    target: SavedWebhook
    event: str
    event_id: str
    payload: dict[str, Any]

    @property
    def body(self) -> bytes:
        """What is sent: a string that holds the payload, or the payload itself where the target asks for JSON."""
        text = json.dumps(self.payload)
        return (text if self.target.webhook_output_format == "json" else json.dumps(text)).encode()

    def headers(self) -> dict[str, str]:
        """Return the documented headers, the target's own, and the signature over the body."""
        own: dict[str, Any] = {**(self.target.webhook_headers or {})}  # those of parse webhooks are any JSON
        headers = {
            **{name: one if isinstance(one, str) else json.dumps(one) for name, one in own.items()},
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "X-Webhook-Event-ID": self.event_id,
            "X-Webhook-Event-Type": self.event,
        }
        if self.target.webhook_signing_secret:
            secret = self.target.webhook_signing_secret.encode()
            headers["LC-Signature"] = f"sha256={hmac.new(secret, self.body, hashlib.sha256).hexdigest()}"
        return headers


def due(service: EmulatorState) -> list[Delivery]:
    """Return what is to be sent now and take it off the list."""
    now, found = service.now, []
    for watched in service.watched:
        for status in watched.news(now):
            event = watched.event(status)
            wanting = [one for one in watched.targets if event in (one.webhook_events or [event])]
            found += [_delivery(service, watched, target, status, event) for target in wanting]
    service.watched = [watched for watched in service.watched if not watched.has_ended]
    return found


def _delivery(
    service: EmulatorState, watched: Watched, target: SavedWebhook, status: str, event: str
) -> Delivery:
    event_id, now = service.ids.uuid(), service.now
    data = {"id": watched.id, "job_id": watched.id, "project_id": watched.project_id, "status": status}
    envelope = {"event_id": event_id, "event_type": event, "timestamp": now}
    payload = {**envelope, "data": {**data, "updated_at": iso(now)}}
    return Delivery(target, event, event_id, payload)


class Deliverer:
    """Sends what is due, from the server's loop. It costs nothing while nobody wants to hear anything."""

    def __init__(self, service: EmulatorState) -> None:
        self._service = service
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sending: set[asyncio.Task[None]] = set()
        service.on_change = self._changed

    async def run(self) -> None:
        """Deliver until cancelled."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        try:
            while True:
                await self._wait()
                with self._service.lock:
                    found = due(self._service)
                for delivery in found:
                    task = asyncio.create_task(self._deliver(delivery))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
        finally:
            for task in self._sending:
                task.cancel()

    async def _wait(self) -> None:
        assert self._wake is not None
        timeout = LOOK_SECONDS if self._service.watched else None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)
        self._wake.clear()

    def _changed(self) -> None:
        if self._loop is not None and self._wake is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _deliver(self, delivery: Delivery) -> None:
        import httpx

        settings, url = self._service.settings, str(delivery.target.webhook_url)
        seen: dict[str, Any] = {"url": url, "event_type": delivery.event, "event_id": delivery.event_id}
        seen |= {"attempts": 0, "status": None, "delivered": False, "body": delivery.payload}
        with self._service.lock:
            self._service.deliveries.append(seen)
        if not settings.webhook_private_targets and await _is_private(url):
            return
        async with httpx.AsyncClient(timeout=settings.webhook_timeout_seconds, trust_env=False) as client:
            pause = settings.webhook_retry_seconds
            for attempt in range(1, settings.webhook_attempts + 1):
                seen["attempts"] = attempt
                seen["status"] = status = await _send(client, url, delivery)
                seen["delivered"] = status is not None and status < 300
                if seen["delivered"] or attempt == settings.webhook_attempts:
                    return
                await asyncio.sleep(pause)
                pause *= 2


async def _send(client: httpx.AsyncClient, url: str, delivery: Delivery) -> int | None:
    try:
        return (await client.post(url, content=delivery.body, headers=delivery.headers())).status_code
    except Exception:  # address and headers may be anything, and what libraries make of that as well
        return None


async def _is_private(url: str) -> bool:
    """Whether a host, however it is spelled, stands for an address that the service does not call."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(urlsplit(url).hostname, None)
    except ValueError:
        return True  # it is nobody's address
    except OSError:
        return False  # the call will fail
    return not all(ipaddress.ip_address(address[0]).is_global for *_, address in found)
