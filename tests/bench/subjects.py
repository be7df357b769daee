"""Who is measured: how to make one wait of each, and how to tell that it ended well.

A provider is imported only when its subject is built, so one that is not installed is in nobody's way.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent

    from tests.bench.scenarios import Wait

POLL_SECONDS = 5.0
DEADLINE_SECONDS = 900.0  # deadline of every wait, far behind the last end


class Waiter(Protocol):
    """What the triggerer needs of a trigger."""

    def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event the wait ends with."""
        ...

    async def cleanup(self) -> None:
        """Let go of what the wait held."""
        ...


# the wait, seconds between polls -> what waits
MakeWaiter = Callable[["Wait", float], Waiter]


@dataclass(frozen=True)
class Subject:
    """One way of waiting: what it is called, its connection, how it is built, the word of a good end."""

    title: str
    environment: Callable[[str], Mapping[str, str]]
    load: Callable[[], MakeWaiter]
    succeeded: Callable[[Any], bool]
    distribution: str = "apache-airflow"
    most_waits: int = 1000  # more would take it minutes, so it takes part only up to here unless named

    def installed(self) -> bool:
        """Say whether the subject's provider is there; asked without importing Airflow."""
        try:
            version(self.distribution)
        except PackageNotFoundError:
            return False
        return True


def connection(name: str, **fields: str) -> dict[str, str]:
    """Return the environment variable that gives Airflow a connection."""
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields)}


class Sleeper:
    """The empty loop: a wait that knows when its batch ends and only sleeps until then."""

    def __init__(self, ends: float, event: TriggerEvent) -> None:
        self._ends = ends
        self._event = event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep once."""
        await asyncio.sleep(max(0.0, self._ends - time.time()))
        yield self._event

    async def cleanup(self) -> None:
        """Hold nothing."""


class GetLoop:
    """The plain way: one shared client, a GET per batch and interval."""

    def __init__(
        self, client: Any, address: str, first_poll: float, poll_seconds: float, event: TriggerEvent
    ) -> None:
        self._client = client
        self._address = address
        self._first_poll = first_poll
        self._poll_seconds = poll_seconds
        self._event = event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask until the batch has ended."""
        await asyncio.sleep(max(0.0, self._first_poll - time.time()))
        while True:
            response = await self._client.get(self._address)
            if response.json()["status"] == "COMPLETED":
                yield self._event
                return
            await asyncio.sleep(self._poll_seconds)

    async def cleanup(self) -> None:
        """Leave the client to the others."""


def load_empty() -> MakeWaiter:
    """Make waits of the empty loop."""
    from airflow.triggers.base import TriggerEvent

    event = TriggerEvent({"status": "success"})
    return lambda wait, _poll: Sleeper(wait.ends, event)


def load_get_loop() -> MakeWaiter:
    """Make waits of the plain GET loop on one shared httpx client."""
    import httpx
    from airflow.triggers.base import TriggerEvent

    event = TriggerEvent({"status": "success"})
    fields = json.loads(os.environ["AIRFLOW_CONN_LLAMABATCH_DEFAULT"])
    client = httpx.AsyncClient(
        base_url=fields["host"], headers={"Authorization": f"Bearer {fields['password']}"}
    )
    return lambda wait, poll: GetLoop(
        client, f"/api/v2/batches/bat-{wait.name}", wait.first_poll, poll, event
    )


def load_llamabatch() -> MakeWaiter:
    """Make waits of this package's trigger on the default connection."""
    return llamabatch_waits("llamabatch_default")


def llamabatch_waits(conn_id: str) -> MakeWaiter:
    """Make waits of this package's trigger as the operators make it."""
    from airflow_provider_llamabatch.triggers.batch import BatchTrigger

    def make(wait: Wait, poll: float) -> Waiter:
        return BatchTrigger(
            batch_id=f"bat-{wait.name}",
            llamabatch_conn_id=conn_id,
            poll_interval=poll,
            deadline=wait.begins + DEADLINE_SECONDS,
            first_look_at=wait.first_poll,
            since=wait.begins,
            created_at=wait.created_at,
        )

    return make


def load_anthropic() -> MakeWaiter:
    """Make waits of the Anthropic provider's message batch trigger."""
    from airflow.providers.anthropic.triggers.batch import AnthropicBatchTrigger

    return lambda wait, poll: AnthropicBatchTrigger(
        conn_id="anthropic_default",
        batch_id=f"msgbatch_{wait.name}",
        poll_interval=poll,
        end_time=time.time() + DEADLINE_SECONDS,
    )


def load_openai() -> MakeWaiter:
    """Make waits of the OpenAI provider's batch trigger."""
    from airflow.providers.openai.triggers.openai import OpenAIBatchTrigger

    return lambda wait, poll: OpenAIBatchTrigger(
        conn_id="openai_default",
        batch_id=f"batch_{wait.name}",
        poll_interval=poll,
        timeout=DEADLINE_SECONDS,
    )


def load_dbt() -> MakeWaiter:
    """Make waits of the dbt Cloud provider's job run trigger, its fixed ``https`` turned to ``http``."""
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    secure = DbtCloudHook.get_request_url_params

    def plain(*args: Any, **kwargs: Any) -> tuple[str, dict[str, Any]]:
        url, parameters = secure(*args, **kwargs)
        return url.replace("https://", "http://", 1), parameters

    DbtCloudHook.get_request_url_params = staticmethod(plain)
    return lambda wait, poll: DbtCloudRunJobTrigger(
        conn_id="dbt_cloud_default",
        run_id=int(wait.name),
        end_time=time.time() + DEADLINE_SECONDS,
        poll_interval=poll,
        account_id=1,
    )


def status_is_success(event: Any) -> bool:
    """Read the event of the peers, which carry a word under ``status``."""
    return bool(event["status"] == "success")


def reason_is_completed(event: Any) -> bool:
    """Read the event of this package."""
    return bool(event["reason"] == "completed")


def llamabatch_environment(url: str, conn_id: str = "llamabatch_default") -> dict[str, str]:
    """Return the connection to LlamaCloud at ``url``."""
    return connection(conn_id, conn_type="llamabatch", host=url, password="llx-bench")


SUBJECTS: dict[str, Subject] = {
    "empty": Subject(
        "empty loop (sleeps only)", lambda url: {}, load_empty, status_is_success, most_waits=10_000
    ),
    "llamabatch": Subject(
        "airflow-provider-llamabatch",
        llamabatch_environment,
        load_llamabatch,
        reason_is_completed,
        most_waits=10_000,
    ),
    "get-loop": Subject(
        "one httpx client, a GET per batch",
        llamabatch_environment,
        load_get_loop,
        status_is_success,
        most_waits=100,
    ),
    "dbt": Subject(
        "dbt Cloud provider",
        lambda url: connection(
            "dbt_cloud_default",
            conn_type="dbt_cloud",
            host=url.removeprefix("http://"),
            login="1",
            password="x",
        ),
        load_dbt,
        status_is_success,
        "apache-airflow-providers-dbt-cloud",
    ),
    "anthropic": Subject(
        "Anthropic provider",
        lambda url: connection("anthropic_default", conn_type="anthropic", host=url, password="x"),
        load_anthropic,
        status_is_success,
        "apache-airflow-providers-anthropic",
    ),
    "openai": Subject(
        "OpenAI provider",
        lambda url: connection("openai_default", conn_type="openai", host=f"{url}/v1", password="x"),
        load_openai,
        status_is_success,
        "apache-airflow-providers-openai",
    ),
}
