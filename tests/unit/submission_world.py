"""
A small simulated world around the submission: a service that bills, a store, several tries, and trouble at every step.

Each try is the real flow, driven one step at a time. A try can be killed or frozen before a step and after it, and a
frozen one goes on hours later beside its successors. Histories are reproducible: all chance is one ``Random``.

A *round* is what Airflow runs between two Clears: a try and its automatic retries. It may pay for one batch.
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
LATEST = submission.defaults.MAX_LIST_LAG - 1  # seconds after a POST by which its batch is made and listed
LONGEST_AT_POST = 3500.0  # a process that stands still longer than this just before its POST never sends it

PAYS_ONCE = "one round pays for one batch"
RETURNS_ITS_OWN = "what a try returns is the task's own batch"
ENDS_WELL = "a try that nothing disturbs returns the batch of its round"
STAYS_BOUNDED = "a try sends so many requests and no more"

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


class BrokenError(AssertionError):
    """A history broke what must hold; ``invariant`` says what."""

    def __init__(self, invariant: str, found: object) -> None:
        super().__init__(f"{invariant}: {found!r}")
        self.invariant = invariant


def hold(invariant: str, condition: object, found: object = None) -> None:
    """Raise unless the condition is true."""
    if not condition:
        raise BrokenError(invariant, found)


@dataclass
class Made:
    """A batch and what the service knows of it; ``clear`` is the round of tries that paid for it, None a stranger."""

    batch: Batch
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
    hiccup: float = (
        0.0  # how likely a read begins some seconds in which lists leave batches out and a GET finds none
    )
    strangers: bool = False  # other tasks submit the same request meanwhile
    status: str = "RUNNING"
    now: float = BEGINNING
    made: list[Made] = field(default_factory=list)
    stored: str | None = None
    floors: dict[str, float] = field(default_factory=dict)  # by the id that was recorded under it
    hiccup_ends: float = 0.0
    had_hiccups: bool = False

    def make(self, clear: int | None, *, configuration: str = CONFIGURATION, late: float = 0.0) -> Batch:
        """Make a batch in ``late`` seconds: ours for a round of tries, or a stranger's."""
        created = self.now + late + self.skew + self.random.uniform(-self.spread, self.spread)
        batch = Batch.model_validate(
            {
                "id": f"bat-{len(self.made)}",
                "status": self.status,
                "source_directory_id": DIRECTORY,
                "config": {"job": {"type": "parse_v2", "configuration_id": configuration}},
                "created_at": datetime.fromtimestamp(created, UTC),
            }
        )
        self.made.append(Made(batch, self.now + late + self.random.uniform(0, self.lag), clear))
        return batch

    def hiccups(self) -> bool:
        """Say whether this read is one of a few bad seconds, which are never closer than a minute to each other."""
        if self.now > self.hiccup_ends + 60.0 and self.random.random() < self.hiccup:
            self.hiccup_ends = self.now + self.random.uniform(0.0, submission.defaults.CONFIRM_SECONDS - 0.1)
        return self.now <= self.hiccup_ends

    def paid(self, clear: int) -> list[str]:
        """Return the ids of the batches that a round of tries has made."""
        return [made.batch.id for made in self.made if made.clear == clear]

    def read(self, call: Call[Any]) -> Any:
        """Answer a GET: a batch, or the list in pages of two, the newest first; a bad page is partial and unordered."""
        if self.random.random() < self.trouble:
            raise self.random.choice(GATEWAYS)
        bad = self.hiccups()
        shown = [made.batch for made in self.made if made.visible <= self.now]
        if not call.path.endswith("/batches"):
            for batch in shown:
                if call.path.endswith(f"/{batch.id}") and not bad:
                    return batch
            raise e.NotFoundError("404", status_code=404, from_api=True)
        query = dict(call.query)
        assert query["source_directory_id"] == DIRECTORY
        since = datetime.fromisoformat(query["created_at_on_or_after"])
        items = [batch for batch in shown if batch.created_at is not None and batch.created_at >= since]
        if bad:
            items = self.random.sample(items, self.random.randint(0, len(items)))
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
    raced: bool = False  # another try has written or POSTed since this one last read the record
    overwrites: bool = False  # another try has written since then
    read_again: bool = False  # this one has read the record since it last wrote it
    at_post: float | None = None  # when it came to its POST
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
            hold(STAYS_BOUNDED, self.requests <= MAX_REQUESTS, self.requests)
            return self._post() if self.posting else world.read(step.call)
        if not self.keeps_record:
            self.kept = json.loads(json.dumps(getattr(step, "value", self.kept)))
            return self.kept
        if world.random.random() < world.trouble / 4:
            raise StoreDownError
        if isinstance(step, flow.LoadRecord):
            return json.loads(world.stored) if world.stored is not None else None
        assert isinstance(step, flow.SaveRecord)
        world.stored = json.dumps(step.value)
        assert len(world.stored) < 60_000
        if step.value["batch_id"]:
            world.floors[step.value["batch_id"]] = step.value["floor"]
        return None

    def _post(self) -> Batch:
        world = self.world
        self.posts += 1
        if world.random.random() >= world.trouble * 3:
            return world.make(self.clear)
        kind = world.random.choice(("nothing", "refused", "lost before", "lost after", "late", "stale"))
        if kind == "nothing":
            raise world.random.choice(NOTHING_DONE)
        if kind == "refused":
            raise world.random.choice(REFUSALS)
        if kind == "lost before":
            raise world.random.choice(AMBIGUOUS)
        if kind == "late":
            world.now += world.random.choice((0.0, 60.0))
            world.make(self.clear, late=world.random.uniform(0, max(0.0, LATEST - world.lag)))
            raise world.random.choice(AMBIGUOUS)
        world.make(self.clear)
        if kind == "stale" and len(world.made) > 1 and world.made[0].clear is None:
            known = json.loads(world.stored or "{}").get("seen", [])
            if world.made[0].batch.id in known:
                return world.made[0].batch
        world.now += world.random.choice((0.0, 60.0))
        raise world.random.choice(AMBIGUOUS)


@dataclass
class History:
    """
    A task instance through tries, kills, freezes and clears.

    The store cannot write only what nobody else has written, so two things cannot be prevented and excuse a history.
    ``gaps`` counts POSTs before which another try wrote or POSTed since this one read its own intent again.
    ``overwritten`` counts records that went over what another try wrote since this one's last reading.
    """

    world: World
    keeps_record: bool = True
    freezes: bool = True
    clears: bool = True
    number: int = 0
    clear: int = 0
    tries: list[Try] = field(default_factory=list)
    gaps: int = 0
    overwritten: int = 0

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
        one.at_post = (one.at_post or world.now) if one.posting else None
        chance = random.random()
        if chance < world.trouble / 3 or world.now - (one.at_post or world.now) > LONGEST_AT_POST:
            one.kill()
            return
        if self.freezes and chance < world.trouble * 2 / 3:
            one.frozen_until = world.now + random.choice(
                (6.0, 40.0, 400.0, 4000.0, 40_000.0)
            ) * random.uniform(1, 2)
            return
        if world.strangers and random.random() < 0.02:
            world.make(None)
        self._note(one)
        one.act()

    def _note(self, one: Try) -> None:
        """Keep count of who acts on what another one has changed meanwhile."""
        writes = isinstance(one.step, flow.SaveRecord)
        if one.posting:
            self.gaps += one.raced and one.read_again
        if writes:
            self.overwritten += one.overwrites
            one.read_again = False
        if one.posting or writes:
            for other in self.tries:
                other.raced |= other is not one
                other.overwrites |= writes and other is not one
        if isinstance(one.step, flow.LoadRecord):
            one.raced, one.overwrites, one.read_again = False, False, True

    def check(self) -> None:
        """Raise if more was paid than was wanted, or what a try returned is not the task's own."""
        world = self.world
        for clear in range(self.clear + 1):
            paid = world.paid(clear)
            hold(PAYS_ONCE, len(paid) <= 1 or self.excused, paid)
        for one in self.tries:
            hold(RETURNS_ITS_OWN, one.result is None or self._own(one.result.batch_id), one.result)

    @property
    def excused(self) -> bool:
        """Say whether something happened that cannot be prevented."""
        return self.gaps > 0 or self.overwritten > 0

    def _own(self, batch_id: str) -> bool:
        """Say whether a batch is the task's; a stranger's that came after the intent cannot be told apart."""
        made = next(made for made in self.world.made if made.batch.id == batch_id)
        if made.clear is not None or not (self.world.strangers or self.world.had_hiccups):
            return made.clear is not None
        created = submission.created(made.batch, self.world.now)
        return created is not None and created >= self.world.floors[batch_id]

    def play(self, tries: int) -> None:
        """Play a history of some tries, then a last one that nothing disturbs, and check it all."""
        random, world = self.world.random, self.world
        for _ in range(tries):
            self.run(self.begin())
            self.check()
            world.now += random.choice((0.0, 1.0, 30.0, 300.0, 4000.0, 90_000.0)) * random.random()
            if random.random() < 0.2:
                world.make(None, configuration=CONFIGURATION if world.strangers else "cfg-2")
            if self.clears and random.random() < 0.2:
                self._clear()
        world.now += 10.0
        for one in self.tries:
            one.frozen_until = 0.0 if random.random() < 0.5 else one.frozen_until
        self.run(self.begin())
        world.trouble, world.hiccup = 0.0, 0.0
        for one in self.tries:
            if not one.ended:
                one.frozen_until = 0.0
                self.run(one)
        self.check()
        world.now += 1000.0
        last = self.begin()
        self.run(last)
        self.check()
        hold(ENDS_WELL, last.result is not None, last.error)
        newest = world.paid(self.clear)
        if not (self.excused or world.strangers or world.had_hiccups) and newest and last.result is not None:
            hold(ENDS_WELL, last.result.batch_id in newest, last.result)

    def _clear(self) -> None:
        self.clear += 1


def world_of(random: Random, *, hiccups: bool) -> World:
    """
    Return a world with chance troubles within what the documentation allows for.

    ``hiccups`` go with tries that do not stand still: one that does may meet two of them in two reads.
    """
    calm = random.random() < 0.3
    hiccup = random.choice((0.0, 0.1, 0.4)) if hiccups else 0.0
    return World(
        random,
        trouble=random.choice((0.0, 0.05, 0.15, 0.3)),
        lag=random.choice((0.0, 0.0, 5.0, 30.0, LATEST)),
        skew=random.choice((0.0, 30.0, -30.0, 3500.0, -3500.0)),
        spread=0.0 if calm else random.choice((0.0, 4.0)),
        hiccup=hiccup,
        had_hiccups=hiccup > 0,
        strangers=random.random() < 0.3,
        status=random.choice(("RUNNING", "COMPLETED")),
    )
