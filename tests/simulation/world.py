"""What all parts of a history share: the clock, the service, the network, the store, the log, and what was violated."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults
from tests.simulation.clockwork import Clockwork
from tests.simulation.network import FLAPS, Network
from tests.simulation.service import Made, Service

if TYPE_CHECKING:
    from tests.simulation.choices import Choices

TROUBLED = 3600.0  # virtual seconds after which all trouble is over
EXCUSED = "excused: "
MOMENT = "two tries at the same moment"
CLEARED = "a try that stood still and submitted after its task was cleared"
OVERWRITTEN = "a record overwritten by a process that stood still"
TWICE = "a POST carried out twice on its way"
LATE = "a batch that lists showed too late"
YOUNG_AND_GONE = "a batch deleted, or not listed, within minutes of its submission, rejoined after a Clear"
# Seconds before a POST from which on the lists before it must have shown a batch: where nothing is in their way, where
# a response may be late, and where pages are asked for again or leave something out.
LISTED_BEFORE, LATE_LIST, TROUBLED_LIST = 30.0, 100.0, 400.0
MAX_LOGGED = 4 * defaults.MAX_MESSAGE_CHARACTERS


class StoreDownError(RuntimeError):
    """The task state store could not be reached."""


@dataclass
class Nature:
    """How unkind a history is to processes; all are chances per step, or seconds."""

    kills: float = 0.0
    freezes: float = 0.0
    store_failures: float = 0.0
    ahead: float = 0.0  # the workers' clocks
    apart: float = 0.0  # by which they differ from each other, at most
    triggerers_ahead: float = 0.0
    steps: float = 0.0  # by which clocks are set while things run
    deaths_at_posts: float = 0.0  # how likely a worker dies soon after it has begun to send a POST
    keeps_record: bool = True
    edits: float = 0.0  # how likely a Clear comes with other arguments
    zone: str = "UTC0"  # of the machines, as TZ says it
    rows: int = 0  # that fit on a page, by what the package knows: so few make few waits as good as many

    @property
    def spares_workers(self) -> bool:
        """Say whether nothing happens to workers and their store."""
        return not (self.kills or self.freezes or self.store_failures or self.deaths_at_posts)


@dataclass(frozen=True, slots=True)
class Hang:
    """A time in which looking up the connection takes ``seconds``; less than none is a failure after as many."""

    begins: float
    ends: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Excused:
    """Batches too many, paid for through a gap that the documentation names."""

    gap: str
    owner: Any
    worker: Any  # which paid for the last one
    keys: tuple[str, ...]
    is_visible: bool = True  # on lists that leave nothing out, as soon as they were made


@dataclass
class World:
    """One history's world. ``violation`` is the first broken promise; nothing goes on after it."""

    choices: Choices
    nature: Nature = field(default_factory=Nature)
    clockwork: Clockwork = field(default_factory=Clockwork)
    tracing: bool = False
    trace: list[tuple[float, str]] = field(default_factory=list)
    violation: str = ""
    connection_key: str = "llx-first"
    key_changed_at: float = float("inf")
    instances: list[Any] = field(default_factory=list)
    triggerers: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    excused: list[Excused] = field(default_factory=list)
    hangs: list[Hang] = field(default_factory=list)
    is_quiet: bool = False
    quiet_since: float = float("inf")

    def __post_init__(self) -> None:
        self.service = Service(self.clockwork, self.choices)
        self.network = Network(self.service, self.choices, note=self.note, is_noted=self.tracing)

    @property
    def now(self) -> float:
        return self.clockwork.now

    def lookup_takes(self) -> float:
        """Return how many seconds looking up the connection takes now, less than none where it fails after them."""
        for hang in self.hangs:
            if hang.begins <= self.now < hang.ends:
                self.counts["look-ups of the connection that hang or fail"] += 1
                return hang.seconds
        return 0.01

    @property
    def refuses_all_keys(self) -> bool:
        """Say whether the service may refuse a key that it takes, or looking one up may fail."""
        faults = {*self.network.faults, *(outage.fault for outage in self.network.outages)}
        return (
            bool({"api 401", FLAPS} & faults) or bool(self.hangs) or self.connection_key != self.service.key
        )

    @property
    def has_no_trouble(self) -> bool:
        """Say whether this history's service answers all along as it should."""
        return self.counts["services without trouble"] > 0

    def note(self, text: str) -> None:
        """Add a line to the readable history."""
        if self.tracing:
            self.trace.append((self.now, text))

    def violate(self, promise: str, text: str) -> None:
        """Take down a broken promise."""
        if not self.violation:
            self.violation = f"{promise}: {text}"
            self.note(f"BROKEN {self.violation}")

    def check_clean(self, where: str, value: Any) -> None:
        """See that nothing hostile of the service's has got anywhere."""
        if isinstance(value, str):
            if "llx-" in value:
                self.violate("clean", f"{where} holds a key: {value[:80]!r}")
            if len(value) > MAX_LOGGED or not value.replace("\n", " ").isprintable():
                self.violate("clean", f"{where} holds {value[:80]!r} ({len(value)} characters)")
        elif isinstance(value, dict):
            for name, held in value.items():
                self.check_clean(where, name)
                self.check_clean(where, held)
        elif isinstance(value, (list, tuple)):
            for held in value:
                self.check_clean(where, held)

    def paid(self, made: Made, twin: Made | None = None) -> None:
        """Check a batch that was just paid for: what its task instance had before must no longer count."""
        self.note(f"service: {made.key} is made for {made.owner.name}, paid by {made.poster.process.name}")
        owner = made.owner
        if twin is not None:
            made.has_twin = twin.has_twin = True
            self.excuse(TWICE, owner, made.poster, twin, made)
        else:
            for earlier in owner.batches:
                if self._is_superseded(earlier, owner) or earlier.has_twin or earlier.is_given_up:
                    continue
                if earlier.configuration != made.configuration:
                    continue  # documented: what was submitted with other arguments is given up
                if earlier.poster.began < owner.cleared_at < earlier.at and earlier.poster.was_frozen:
                    self.counts[f"{EXCUSED}{CLEARED}"] += (
                        1  # the later try's log names it, as any finished batch
                    )
                elif self._was_lost(made):
                    self.counts[f"{EXCUSED}{OVERWRITTEN}"] += 1  # what it said is gone, so nobody can know
                elif earlier.is_late and not self._was_shown(earlier, made.poster):
                    self.counts[f"{EXCUSED}{LATE}"] += 1
                    earlier.is_given_up = True
                elif earlier.risky or made.risky:
                    self.excuse(MOMENT, owner, made.poster, earlier, made)
                else:
                    self.violate("paid twice", f"{owner.name} has {earlier.key}, and now {made.key} as well")
        owner.batches.append(made)

    def excuse(self, gap: str, owner: Any, worker: Any, *batches: Made) -> None:
        """Take down what a documented gap has cost; the log has to tell of it."""
        self.counts[f"{EXCUSED}{gap}"] += 1
        is_visible = gap == MOMENT or (gap == TWICE and all(made.visible <= made.at for made in batches))
        self.excused.append(Excused(gap, owner, worker, tuple(made.key for made in batches), is_visible))

    @staticmethod
    def _was_lost(made: Made) -> bool:
        """Say whether what the record said of earlier batches was lost on this one's poster."""
        owner, poster = made.owner, made.poster
        # Who writes over a record with an intent doubts it then; one more that stood still cannot know.
        stood_still_too = poster.was_frozen and poster.number < owner.try_number
        return bool(owner.was_lost or (owner.was_overwritten and stood_still_too))

    def _was_shown(self, made: Made, poster: Any) -> bool:
        """Say whether a list surely showed a batch to a process before it sent its POST."""
        if poster.was_frozen:
            return False
        before = LISTED_BEFORE
        if self.network.troubles_lists:
            has_many_pages = self.service.habits.page_limit < 10
            before = TROUBLED_LIST if has_many_pages or self.network.has_left_out else LATE_LIST
        return bool(poster.sent_at > made.visible + before)

    def _is_superseded(self, made: Made, owner: Any) -> bool:
        status = made.status(self.now)
        if status in ("FAILED", "CANCELLED") or self.now >= made.gone_at:
            return True
        if not self.nature.keeps_record and owner.clears:
            return True  # documented: below Airflow 3.3 the retries of a cleared task count as cleared
        return bool(status == "COMPLETED" and owner.cleared_at > max(made.at, made.owned_at))


class Log(logging.Logger):
    """A process's log; every line is checked."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name, logging.INFO)
        self._world = world

    def info(self, msg: object, *args: Any, **_: Any) -> None:
        take_line(self._world, self.name, logging.INFO, str(msg) % args)

    def warning(self, msg: object, *args: Any, **_: Any) -> None:
        take_line(self._world, self.name, logging.WARNING, str(msg) % args)


class LoopLog(logging.Handler):
    """Takes the lines of the triggerers' poll loops."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.world: World | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.world is not None:
            text = record.getMessage()
            take_line(self.world, "triggerer", record.levelno, text)
            if record.exc_info:
                self.world.violate("defect", f"{text}: {record.exc_info[1]!r}")


def take_line(world: World, name: str, level: int, text: str) -> None:
    """Take a line of a log in."""
    world.check_clean("the log", text)
    if level >= logging.WARNING:
        world.warnings.append(f"{name}: {text}")
    if world.tracing:
        world.note(f"{name}: {logging.getLevelName(level)} {text[:200]}")
