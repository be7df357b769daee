"""The batches the fake server responds from, as four services would show them. No I/O, the clock is passed in.

A world holds one set of waits: the batches of a `Scenario` that are waited for, and ``foreign`` ones of the same
project nobody waits for. The same batch is a LlamaCloud batch, an Anthropic message batch, an OpenAI batch and a
dbt Cloud run, told apart by the address it is asked at.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from tests.bench.scenarios import LARGEST_PAGE, Wait

if TYPE_CHECKING:
    from tests.bench.scenarios import Scenario

QUEUED_SECONDS = 3.0  # a batch of this age is running
DBT_RUNNING, DBT_SUCCESS = 3, 10


@dataclass(frozen=True)
class Batch:
    """One batch: when it was created and when it ends, as epoch seconds."""

    name: str
    created: float
    ends: float

    def status(self, now: float) -> str:
        """Return LlamaCloud's word for where the batch is."""
        if now >= self.ends:
            return "COMPLETED"
        return "PENDING" if now < self.created + QUEUED_SECONDS else "RUNNING"


View = Callable[[Batch, float], dict[str, object]]


@dataclass(frozen=True)
class Response:
    """What the server sends: the status code and the JSON body."""

    status: int
    body: bytes


class World:
    """The batches of one run and the responses about them."""

    def __init__(self, scenario: Scenario, started: float) -> None:
        self.scenario = scenario
        rng = random.Random(scenario.seed)
        waited_for = self._made("", scenario.count, started, rng)
        foreign = self._made("f", scenario.foreign, started, rng)
        self.waits = [self._wait(batch, started, rng) for batch in waited_for]
        self._by_name = {batch.name: batch for batch in [*waited_for, *foreign]}
        self._newest_first = sorted(self._by_name.values(), key=lambda batch: -batch.created)
        self._created_falling = [-batch.created for batch in self._newest_first]

    def _made(self, prefix: str, count: int, started: float, rng: random.Random) -> list[Batch]:
        scenario = self.scenario
        within = scenario.begins_within
        earliest, latest = (-scenario.oldest, 0.0) if within is None else (0.0, within)
        # as exact as it is shown
        created = [epoch(iso(started + rng.uniform(earliest, latest))) for _ in range(count)]
        ends = [started + rng.uniform(scenario.first_end, scenario.last_end) for _ in range(count)]
        if scenario.ordered:
            created.sort()
            ends.sort()
        pairs = zip(created, ends, strict=True)
        return [Batch(f"{prefix}{number:05d}", *times) for number, times in enumerate(pairs)]

    def _wait(self, batch: Batch, started: float, rng: random.Random) -> Wait:
        if self.scenario.begins_within is None:
            return Wait(batch.name, started, batch.ends, first_poll=started)
        first_poll = batch.created + rng.uniform(*self.scenario.first_poll_after)
        known = batch.created if self.scenario.ages_known else None
        return Wait(batch.name, batch.created, batch.ends, first_poll, known)

    def respond(self, target: str, now: float) -> tuple[str, Response]:
        """Return the kind of request (``list``, ``get`` or ``unknown``) and the response to GET ``target``."""
        path, _, query = target.partition("?")
        steps = path.strip("/").split("/")
        match steps:
            case ["api", "v2", "batches"]:
                return "list", self._page(parse_qs(query), now)
            case ["api", "v2", "batches", name]:
                return "get", self._one(name.removeprefix("bat-"), llamacloud_view, now)
            case ["v1", "messages", "batches", name]:
                return "get", self._one(name.removeprefix("msgbatch_"), anthropic_view, now)
            case ["v1", "batches", name]:
                return "get", self._one(name.removeprefix("batch_"), openai_view, now)
            case ["api", "v2", "accounts", _, "runs", number]:
                return "get", self._one(f"{int(number):05d}", dbt_view, now)
        return "unknown", Response(404, b'{"detail": "Not Found"}')

    def _one(self, name: str, view: View, now: float) -> Response:
        batch = self._by_name.get(name)
        if batch is None:
            return Response(404, b'{"detail": "Batch not found"}')
        return Response(200, json.dumps(view(batch, now)).encode())

    def _page(self, query: dict[str, list[str]], now: float) -> Response:
        """Return a page of the list, newest batches first; the page token is the position it starts at."""
        if self.scenario.list_status != 200:
            return Response(self.scenario.list_status, b'{"detail": "The list is out of order"}')
        size = min(int(query.get("page_size", ["50"])[0]), LARGEST_PAGE, self.scenario.page_limit)
        status, first, last = None, self._position(now - self.scenario.hidden), len(self._newest_first)
        if self.scenario.filters:
            status = query.get("status", [None])[0]
            if before := query.get("created_at_on_or_before"):
                first = max(first, self._position(epoch(before[0])))
            if after := query.get("created_at_on_or_after"):
                last = bisect_right(self._created_falling, -epoch(after[0]))
        first = max(first, int(query.get("page_token", ["0"])[0]))
        places = (
            place
            for place in range(first, last)
            if status is None or self._newest_first[place].status(now) == status
        )
        shown = list(islice(places, size + 1))
        items = [llamacloud_view(self._newest_first[place], now) for place in shown[:size]]
        token = str(shown[size]) if len(shown) > size else None
        page = {"items": items, "next_page_token": token, "total_size": None}
        return Response(200, json.dumps(page).encode())

    def _position(self, latest_created: float) -> int:
        """Return where the batches created at ``latest_created`` or before begin, newest first."""
        return bisect_left(self._created_falling, -latest_created)


def epoch(moment: str) -> float:
    """Return the epoch seconds of an ISO 8601 moment."""
    parsed = datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def llamacloud_view(batch: Batch, now: float) -> dict[str, object]:
    """Return a batch as LlamaCloud shows it, without results."""
    return {
        "id": f"bat-{batch.name}",
        "project_id": "prj-bench",
        "source_directory_id": f"dir-{batch.name}",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        "status": batch.status(now),
        "created_at": iso(batch.created),
        "updated_at": iso(min(now, batch.ends)),
        "results": None,
    }


def anthropic_view(batch: Batch, now: float) -> dict[str, object]:
    """Return a batch as Anthropic's Message Batches API shows it."""
    ended = now >= batch.ends
    return {
        "id": f"msgbatch_{batch.name}",
        "type": "message_batch",
        "processing_status": "ended" if ended else "in_progress",
        "request_counts": {
            "processing": 0 if ended else 1,
            "succeeded": 1 if ended else 0,
            "errored": 0,
            "canceled": 0,
            "expired": 0,
        },
        "created_at": iso(batch.created),
        "expires_at": iso(batch.created + 86400),
        "ended_at": iso(batch.ends) if ended else None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": None,
    }


def openai_view(batch: Batch, now: float) -> dict[str, object]:
    """Return a batch as OpenAI's Batch API shows it."""
    ended = now >= batch.ends
    return {
        "id": f"batch_{batch.name}",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "input_file_id": "file-bench",
        "completion_window": "24h",
        "status": "completed" if ended else "in_progress",
        "created_at": int(batch.created),
        "completed_at": int(batch.ends) if ended else None,
    }


def dbt_view(batch: Batch, now: float) -> dict[str, object]:
    """Return a batch as dbt Cloud shows a job run."""
    ended = now >= batch.ends
    run = {"id": int(batch.name), "status": DBT_SUCCESS if ended else DBT_RUNNING, "is_complete": ended}
    return {"status": {"code": 200, "is_success": True}, "data": run}


def iso(moment: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat()
