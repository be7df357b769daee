"""
A small simulated world around the submission: a service that bills, a store, several tries, and trouble at every step.

Each try is the real flow, driven one step at a time. A try can be killed or frozen before a step and after it, and a
frozen one goes on hours later beside its successors. Histories are reproducible: all chance is one ``Random``.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.batches import flow, submission
from airflow_provider_llamabatch.batches.record import RecordUnreadableError
from airflow_provider_llamabatch.batches.submission import Request, SubmissionUndecidedError, TaskFacts
from airflow_provider_llamabatch.batches.submit_flow import SubmitFlow
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud import errors as e
from airflow_provider_llamabatch.llamacloud.models import Batch, Page

if TYPE_CHECKING:
    from random import Random

    from airflow_provider_llamabatch.batches.submission import Submission
    from airflow_provider_llamabatch.llamacloud.call import Call

DIRECTORY, CONFIGURATION = "dir-1", "cfg-1"
REQUEST = Request(DIRECTORY, CONFIGURATION, "parse_v2", "llamabatch_default")
CREATE = calls.create_batch(source_directory_id=DIRECTORY, configuration_id=CONFIGURATION)
BEGINNING = 1_800_000_000.0
LOG = logging.getLogger("submission_world")
MAX_REQUESTS = 150  # of one try

NOTHING_DONE: tuple[Exception, ...] = (
    e.NoResponseError("connection refused", reached_server=False),
    e.RateLimitedError("429", status_code=429, retry_after=3.0, from_api=True),
)
REFUSALS: tuple[Exception, ...] = (
    e.PaymentRequiredError("402", status_code=402, from_api=True),
    e.RefusedError("422", status_code=422, from_api=True),
    e.NotFoundError("404 of an ingress", status_code=404),
    e.PermissionDeniedError("403 of an ingress", status_code=403),
)
AMBIGUOUS: tuple[Exception, ...] = (
    e.NoResponseError("read timed out", reached_server=True),
    e.InvalidResponseError("not JSON"),
    e.UnavailableError("502", status_code=502),
    e.RateLimitedError("429 of a gateway", status_code=429),
)
GATEWAYS: tuple[Exception, ...] = (
    e.NotFoundError("404 of an ingress", status_code=404),
    e.AuthenticationError("401 of an ingress", status_code=401),
    e.UnavailableError("503", status_code=503),
)


class StoreDownError(RuntimeError):
    """The task state store could not be reached."""


@dataclass
class Made:
    """A batch and what the service knows of it; ``clear`` is the round of tries that paid for it, None a stranger."""

    batch: Batch
    at: float  # by the worker's clock
    visible: float  # when list and GET begin to show it
    clear: int | None


@dataclass
class World:
    """The service, the store and the clock. ``trouble`` is how likely each step goes wrong."""

    random: Random
    trouble: float = 0.1
    lag: float = 0.0  # seconds until a list or a GET may show a batch, at most
    skew: float = 0.0  # seconds that the service's clock is ahead
    spread: float = 0.0  # seconds by which its times of creation are out of order
    hiccup: float = 0.0  # how likely a list leaves out what it showed before, or a GET is stale
    status: str = "RUNNING"
    now: float = BEGINNING
    made: list[Made] = field(default_factory=list)
    stored: str | None = None
    logged: list[str] = field(default_factory=list)

    def make(self, clear: int | None, *, configuration: str = CONFIGURATION) -> Batch:
        """Make a batch: ours for a round of tries, or a stranger's."""
        created = self.now + self.skew + self.random.uniform(-self.spread, self.spread)
        batch = Batch.model_validate(
            {
                "id": f"bat-{len(self.made)}",
                "status": self.status,
                "source_directory_id": DIRECTORY,
                "config": {"job": {"type": "parse_v2", "configuration_id": configuration}},
                "created_at": datetime.fromtimestamp(created, UTC),
            }
        )
        self.made.append(Made(batch, self.now, self.now + self.random.uniform(0, self.lag), clear))
        return batch

    def paid(self, clear: int) -> list[str]:
        """Return the ids of the batches that a round of tries has made."""
        return [made.batch.id for made in self.made if made.clear == clear]

    def read(self, call: Call[Any]) -> Any:
        """Answer a GET: the list, in pages of two and in any order, or a batch."""
        if self.random.random() < self.trouble:
            raise self.random.choice(GATEWAYS)
        shown = [made.batch for made in self.made if made.visible <= self.now]
        if not call.path.endswith("/batches"):
            for batch in shown:
                if call.path.endswith(f"/{batch.id}") and self.random.random() >= self.hiccup:
                    return batch
            raise e.NotFoundError("404", status_code=404, from_api=True)
        query = dict(call.query)
        assert query["source_directory_id"] == DIRECTORY
        since = datetime.fromisoformat(query["created_at_on_or_after"])
        items = [batch for batch in shown if batch.created_at is not None and batch.created_at >= since]
        first = int(query.get("page_token", "0"))
        more = str(first + 2) if first + 2 < len(items) else None
        return Page(items=items[::-1][first : first + 2], next_page_token=more)


@dataclass
class Try:
    """One try of the task instance as a process: the flow, and the step that it is about to do."""

    world: World
    number: int
    clear: int
    keeps_record: bool = True
    fresh: bool = False
    frozen_until: float = 0.0
    requests: int = 0
    posts: int = 0
    result: Submission | None = None
    error: BaseException | None = None
    ended: bool = False
    raced: bool = False  # another try has acted between its last reading of the record and its POST
    kept: Any = None

    def __post_init__(self) -> None:
        facts = TaskFacts(
            self.number,
            2 + 3 * self.clear,
            f"nonce-{self.number}-{self.world.random.random()}",
            keeps_record=self.keeps_record,
            fresh=self.fresh,
            run_started=BEGINNING - 60,
            cleared=self.clear > 0,
        )
        self.flow = SubmitFlow(
            REQUEST, CREATE, facts, lambda: self.world.now, LOG, random=self.world.random.random
        ).submit_or_rejoin()
        self._go_on(lambda: next(self.flow))

    @property
    def posting(self) -> bool:
        """Say whether the next step is the POST."""
        return isinstance(self.step, flow.Send) and self.step.call is CREATE

    def kill(self) -> None:
        """End it as SIGKILL does: nothing after this runs."""
        self.ended = True

    def act(self) -> None:
        """Do the next step; what goes wrong at it is chance."""
        try:
            value = self._perform(self.step)
        except Exception as error:
            trouble = error
            self._go_on(lambda: self.flow.throw(trouble))
        else:
            self._go_on(lambda: self.flow.send(value))

    def _go_on(self, advance: Any) -> None:
        try:
            self.step = advance()
        except StopIteration as stop:
            self.result, self.ended = stop.value, True
        except (e.LlamaCloudError, SubmissionUndecidedError, StoreDownError, RecordUnreadableError) as error:
            self.error, self.ended = error, True

    def _perform(self, step: flow.Step) -> Any:
        world = self.world
        if isinstance(step, flow.Sleep):
            assert 0 <= step.seconds <= 120
            world.now += step.seconds
            return None
        world.now += world.random.uniform(0.01, 0.3)
        if isinstance(step, flow.Send):
            self.requests += 1
            assert self.requests <= MAX_REQUESTS
            return self._post() if self.posting else world.read(step.call)
        if not self.keeps_record:
            self.kept = json.loads(json.dumps(getattr(step, "value", self.kept)))
            return self.kept
        if world.random.random() < world.trouble / 4:
            raise StoreDownError
        if isinstance(step, flow.LoadRecord):
            return json.loads(world.stored) if world.stored is not None else None
        world.stored = json.dumps(step.value) if isinstance(step, flow.SaveRecord) else None
        assert world.stored is None or len(world.stored) < 60_000
        return None

    def _post(self) -> Batch:
        world = self.world
        self.posts += 1
        if world.random.random() >= world.trouble * 3:
            return world.make(self.clear)
        kind = world.random.choice(("nothing", "refused", "lost before", "lost after", "no id", "stale"))
        if kind == "nothing":
            raise world.random.choice(NOTHING_DONE)
        if kind == "refused":
            raise world.random.choice(REFUSALS)
        if kind == "lost before":
            raise world.random.choice(AMBIGUOUS)
        made = world.make(self.clear)
        if kind == "no id":
            return made.model_copy(update={"id": ""})
        if kind == "stale" and len(world.made) > 1 and world.made[0].clear is None:
            known = json.loads(world.stored or "{}").get("seen", [])
            if world.made[0].batch.id in known:
                return world.made[0].batch
        world.now += world.random.choice((0.0, 60.0))
        raise world.random.choice(AMBIGUOUS)


@dataclass
class History:
    """
    A task instance through tries, kills, freezes and clears; ``gaps`` counts what no record can prevent.

    A gap is a POST or a writing of the record before which another try has posted or written since this one's last
    reading: the store has no way to write only what nobody else has written.
    """

    world: World
    keeps_record: bool = True
    freezes: bool = True
    clears: bool = True
    number: int = 0
    clear: int = 0
    tries: list[Try] = field(default_factory=list)
    gaps: int = 0

    def begin(self) -> Try:
        """Have Airflow start the next try."""
        self.number += 1
        started = Try(self.world, self.number, self.clear, self.keeps_record)
        self.tries.append(started)
        return started

    def run(self, started: Try) -> None:
        """Run one try until it ends or stands still; others that wake up meanwhile act in between."""
        random = self.world.random
        while not started.ended and started.frozen_until <= self.world.now:
            awake = [one for one in self.tries if not one.ended and one.frozen_until <= self.world.now]
            self._act(random.choice(awake))

    def _act(self, one: Try) -> None:
        random, world = self.world.random, self.world
        chance = random.random()
        if chance < world.trouble / 3:
            one.kill()
            return
        if self.freezes and chance < world.trouble * 2 / 3 and not one.posting:
            one.frozen_until = world.now + random.choice(
                (6.0, 40.0, 400.0, 4000.0, 40_000.0)
            ) * random.uniform(1, 2)
            return
        if one.posting or isinstance(one.step, flow.SaveRecord):
            self.gaps += one.raced
        if one.posting or isinstance(one.step, flow.SaveRecord | flow.DeleteRecord):
            for other in self.tries:
                other.raced |= other is not one
        if isinstance(one.step, flow.LoadRecord):
            one.raced = False
        one.act()

    def check(self) -> None:
        """Raise if more was paid than was wanted, or what a try returned is not the task's own."""
        world = self.world
        for clear in range(self.clear + 1):
            paid = world.paid(clear)
            assert len(paid) <= 1 or self.gaps, paid
        ours = {batch_id for clear in range(self.clear + 1) for batch_id in world.paid(clear)}
        for one in self.tries:
            assert one.result is None or one.result.batch_id in ours, one.result

    def play(self, tries: int) -> None:
        """Play a history of some tries, then a last one that nothing disturbs, and check it all."""
        random, world = self.world.random, self.world
        for _ in range(tries):
            self.run(self.begin())
            self.check()
            world.now += random.choice((0.0, 1.0, 30.0, 300.0, 4000.0, 90_000.0)) * random.random()
            if random.random() < 0.2:
                world.make(None, configuration="cfg-2")
            if self.clears and random.random() < 0.2:
                self._clear()
        world.now += 10.0
        for one in self.tries:
            one.frozen_until = 0.0 if random.random() < 0.5 else one.frozen_until
        self.run(self.begin())
        world.trouble = world.hiccup = 0.0
        for one in self.tries:
            if not one.ended:
                one.frozen_until = 0.0
                self.run(one)
        self.check()
        world.now += 1000.0
        last = self.begin()
        self.run(last)
        self.check()
        assert last.result is not None, last.error
        newest = world.paid(self.clear)
        assert self.gaps or not newest or last.result.batch_id in newest

    def _clear(self) -> None:
        self.clear += 1


def world_of(random: Random) -> World:
    """Return a world with chance troubles within what the documentation allows for."""
    calm = random.random() < 0.3
    return World(
        random,
        trouble=random.choice((0.0, 0.05, 0.15, 0.3)),
        lag=random.choice((0.0, 0.0, 5.0, 30.0, submission.defaults.MAX_LIST_LAG - 1)),
        skew=random.choice((0.0, 30.0, -30.0, 3500.0, -3500.0)),
        spread=0.0 if calm else random.choice((0.0, 4.0)),
        status=random.choice(("RUNNING", "COMPLETED")),
    )
