"""The batches the fake server answers from, as four services would show them. No I/O, the clock is passed in.

A world holds one set of waits: ``count`` batches that end at random between two moments after the start, and
``foreign`` ones of the same project nobody waits for. The same batch is a LlamaCloud batch, an Anthropic
message batch, an OpenAI batch and a dbt Cloud run, told apart by the address it is asked at.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs

LARGEST_PAGE = 100
QUEUED_SECONDS = 3.0  # a batch of this age is running
DBT_RUNNING, DBT_SUCCESS = 3, 10


@dataclass(frozen=True)
class Terms:
    """What a world is like. Times in seconds; ``first_end`` and ``last_end`` count from the start."""

    count: int
    seed: int = 1
    first_end: float = 20.0
    last_end: float = 40.0
    latency: float = 0.05
    oldest: float = 30.0  # batches were created at random over this time before the start
    foreign: int = 0
    page_limit: int = LARGEST_PAGE  # the list never answers with more
    hidden: float = 0.0  # the list shows a batch only from this age on
    list_status: int = 200  # what the list endpoint answers with


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
class Answer:
    """What the server sends: the status code and the JSON body."""

    status: int
    body: bytes


class World:
    """The batches of one run and the answers about them."""

    def __init__(self, terms: Terms, started: float) -> None:
        self.terms = terms
        dice = random.Random(terms.seed)

        def made(name: str) -> Batch:
            created = epoch(iso(started - dice.uniform(0.0, terms.oldest)))  # as exact as it is shown
            return Batch(name, created, started + dice.uniform(terms.first_end, terms.last_end))

        self.waited_for = [made(f"{number:05d}") for number in range(terms.count)]
        foreign = [made(f"f{number:05d}") for number in range(terms.foreign)]
        self._by_name = {batch.name: batch for batch in [*self.waited_for, *foreign]}
        self._newest_first = sorted(self._by_name.values(), key=lambda batch: -batch.created)
        self._created_falling = [-batch.created for batch in self._newest_first]

    def answer(self, target: str, now: float) -> tuple[str, Answer]:
        """Return the kind of request (``list``, ``get`` or ``unknown``) and the answer to GET ``target``."""
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
        return "unknown", Answer(404, b'{"detail": "Not Found"}')

    def _one(self, name: str, view: View, now: float) -> Answer:
        batch = self._by_name.get(name)
        if batch is None:
            return Answer(404, b'{"detail": "Batch not found"}')
        return Answer(200, json.dumps(view(batch, now)).encode())

    def _page(self, query: dict[str, list[str]], now: float) -> Answer:
        """Return a page of the list, newest batches first; the page token is the position it starts at."""
        if self.terms.list_status != 200:
            return Answer(self.terms.list_status, b'{"detail": "The list is out of order"}')
        size = min(int(query.get("page_size", ["50"])[0]), LARGEST_PAGE, self.terms.page_limit)
        first = max(int(query.get("page_token", ["0"])[0]), self._position(now - self.terms.hidden))
        last = len(self._newest_first)
        if since := query.get("created_at_on_or_after"):
            # the oldest batch to show is the last one created at or after that moment
            last = bisect_right(self._created_falling, -epoch(since[0]))
        shown = self._newest_first[first : min(first + size, last)]
        follows = str(first + size) if first + size < last else None
        items = [llamacloud_view(batch, now) for batch in shown]
        page = {"items": items, "next_page_token": follows, "total_size": None}
        return Answer(200, json.dumps(page).encode())

    def _position(self, latest_created: float) -> int:
        """Return where the batches created at ``latest_created`` or before begin, newest first."""
        return next(
            (at for at, falling in enumerate(self._created_falling) if -falling <= latest_created),
            len(self._created_falling),
        )


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
