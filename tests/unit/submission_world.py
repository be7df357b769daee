"""A small simulated world around the submission: a service that bills, a store, and trouble at every step."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.batches.submission import Request
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.models import Batch
from airflow_provider_llamabatch.operators.submitting import Submitter

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY, CONFIGURATION = "dir-1", "cfg-1"
STEP_SECONDS = 0.2
LONGEST_LAG = 12.0  # seconds that a list may lag behind: less than the looks for a lost submission take


class Trouble(Enum):
    """What happens at one step."""

    NONE = auto()
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()
    FAILED = auto()  # nothing was done, and the task learns that something went wrong
    ANSWER_LOST = auto()  # it was done, but the answer never came
    ANSWER_BROKEN = auto()  # it was done, but the answer makes no sense
    NOT_SENT = auto()  # nothing was done, surely
    SLOWED_DOWN = auto()  # nothing was done: 429
    REFUSED = auto()  # nothing was done: 422
    STRANGER = auto()  # all went well, but somebody else has just made a batch of the same kind


class KilledError(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


class StoreDownError(RuntimeError):
    """The task state store could not be reached."""


_REPORTED = {
    Trouble.FAILED: e.UnavailableError("503", status_code=503),
    Trouble.ANSWER_LOST: e.NoResponseError("read timed out", reached_server=True),
    Trouble.ANSWER_BROKEN: e.InvalidResponseError("not JSON"),
    Trouble.NOT_SENT: e.NoResponseError("connection refused", reached_server=False),
    Trouble.SLOWED_DOWN: e.RateLimitedError("429", status_code=429, from_api=True),
    Trouble.REFUSED: e.RefusedError("422", status_code=422),
}
_DONE_ALL_THE_SAME = {
    Trouble.NONE,
    Trouble.KILLED_AFTER,
    Trouble.ANSWER_LOST,
    Trouble.ANSWER_BROKEN,
    Trouble.STRANGER,
}


@dataclass
class World:
    """``troubles`` holds what happens at each step, in order; when it is used up, all goes well."""

    troubles: Iterator[Trouble]
    lag: float = 0.0  # seconds until a list and a GET show a batch
    skew: float = 0.0  # seconds that the service's clock is ahead
    status: str = "RUNNING"
    now: float = 1_800_000_000.0
    batches: list[Batch] = field(default_factory=list)
    ours: list[str] = field(default_factory=list)
    store: dict[str, Any] = field(default_factory=dict)

    def happens(self) -> Trouble:
        """Move on to the next step; returns what happens at it, or kills the task before it."""
        self.now += STEP_SECONDS
        trouble = next(self.troubles, Trouble.NONE)
        if trouble is Trouble.KILLED_BEFORE:
            raise KilledError
        if trouble is Trouble.STRANGER:
            self.make()
        return trouble

    def make(self) -> Batch:
        """Make a batch."""
        made = Batch.model_validate(
            {
                "id": f"bat-{len(self.batches)}",
                "status": self.status,
                "source_directory_id": DIRECTORY,
                "config": {"job": {"type": "parse_v2", "configuration_id": CONFIGURATION}},
                "created_at": datetime.fromtimestamp(self.now + self.skew, UTC),
            }
        )
        self.batches.append(made)
        return made

    def shows(self, batch: Batch) -> bool:
        """Say whether a batch can be read by now."""
        assert batch.created_at is not None
        return batch.created_at.timestamp() - self.skew + self.lag <= self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Service:
    """What the submitter uses of the hook."""

    def __init__(self, world: World) -> None:
        self.world = world

    def send(self, call: Any) -> Batch:
        trouble = self.world.happens()
        made = None
        if trouble in _DONE_ALL_THE_SAME:
            made = self.world.make()
            self.world.ours.append(made.id)
        _report(trouble)
        assert made is not None
        return made

    def iterate(self, call: Any) -> Iterator[Batch]:
        _report(self.world.happens())
        query = dict(call.query)
        assert query["source_directory_id"] == DIRECTORY
        since = datetime.fromisoformat(query["created_at_on_or_after"])
        for batch in reversed(self.world.batches):
            assert batch.created_at is not None
            if self.world.shows(batch) and batch.created_at >= since:
                yield batch

    def get_batch(self, batch_id: str) -> Batch:
        _report(self.world.happens())
        for batch in self.world.batches:
            if batch.id == batch_id and self.world.shows(batch):
                return batch
        raise e.NotFoundError("404", status_code=404)


class Store:
    """Airflow's task state store, which may fail as well."""

    def __init__(self, world: World) -> None:
        self.world = world

    def get(self, key: str) -> Any:
        self._act(lambda: None)
        return self.world.store.get(key)

    def set(self, key: str, value: Any) -> None:
        self._act(lambda: self.world.store.update({key: value}))

    def delete(self, key: str) -> None:
        self._act(lambda: self.world.store.pop(key, None))

    def _act(self, act: Any) -> None:
        trouble = self.world.happens()
        if trouble in _DONE_ALL_THE_SAME:
            act()
        if trouble is Trouble.KILLED_AFTER:
            raise KilledError
        if trouble in _REPORTED:
            raise StoreDownError(trouble.name)


def _report(trouble: Trouble) -> None:
    if trouble is Trouble.KILLED_AFTER:
        raise KilledError
    if trouble in _REPORTED:
        raise _REPORTED[trouble]


@dataclass
class Task:
    """A task instance, tried again and again; ``clears`` counts how often a person cleared it."""

    world: World
    keeps_record: bool = True
    tries: int = 0
    clears: int = 0

    def run(self) -> str | None:
        """Run the next try; returns the batch's id, or None when the try came to nothing."""
        self.tries += 1
        began = datetime.fromtimestamp(1_800_000_000.0, UTC) - timedelta(minutes=1)
        ti = SimpleNamespace(
            task=SimpleNamespace(retries=2),
            try_number=self.tries,
            max_tries=2 + 3 * self.clears,
            map_index=-1,
        )
        context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=began)}
        if self.keeps_record:
            context["task_state_store"] = Store(self.world)
        submitter = Submitter(
            hook=Service(self.world),  # type: ignore[arg-type]
            call=calls.create_batch(source_directory_id=DIRECTORY, configuration_id=CONFIGURATION),
            request=Request(DIRECTORY, CONFIGURATION, "parse_v2", "fingerprint"),
            context=context,
            log=logging.getLogger(__name__),  # type: ignore[arg-type]
            clock=lambda: self.world.now,
            sleep=self.world.sleep,
        )
        try:
            return submitter.submit_or_rejoin()
        except (KilledError, StoreDownError, e.LlamaCloudError):
            return None
