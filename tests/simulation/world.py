"""What all parts of a history share: the clock, the service, the network, the store, the log, and what was violated."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch import defaults
from tests.simulation.clockwork import EPOCH, Clockwork
from tests.simulation.network import Network
from tests.simulation.service import Made, Service

if TYPE_CHECKING:
    from tests.simulation.choices import Choices

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
    keeps_record: bool = True


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
    instances: list[Any] = field(default_factory=list)
    triggerers: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    is_quiet: bool = False
    quiet_since: float = float("inf")

    def __post_init__(self) -> None:
        self.service = Service(self.clockwork, self.choices)
        self.network = Network(self.service, self.choices, note=self.note, is_noted=self.tracing)

    @property
    def now(self) -> float:
        return self.clockwork.now

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
            if len(value) > MAX_LOGGED or not value.replace("\n", " ").isprintable():
                self.violate("clean", f"{where} holds {value[:80]!r} ({len(value)} characters)")
        elif isinstance(value, dict):
            for name, held in value.items():
                self.check_clean(where, name)
                self.check_clean(where, held)
        elif isinstance(value, (list, tuple)):
            for held in value:
                self.check_clean(where, held)

    def paid(self, made: Made) -> None:
        """Check a batch that was just paid for: what its task instance had before must no longer count."""
        self.note(f"service: {made.key} is made for {made.owner.name}, paid by {made.poster.process.name}")
        owner = made.owner
        for earlier in owner.batches:
            if self._is_superseded(earlier, owner):
                continue
            if earlier.risky or made.risky or owner.was_overwritten:
                self.counts["two tries at the same moment (documented)"] += 1
                continue
            self.violate("paid twice", f"{owner.name} has {earlier.key}, and now {made.key} as well")
        owner.batches.append(made)

    def _is_superseded(self, made: Made, owner: Any) -> bool:
        status = made.status(self.now)
        if status in ("FAILED", "CANCELLED") or self.now >= made.gone_at:
            return True
        if not self.nature.keeps_record and owner.clears:
            return True  # documented: below Airflow 3.3 the retries of a cleared task count as cleared
        return bool(status == "COMPLETED" and owner.cleared_at > made.at)


class Log(logging.Logger):
    """A process's log; every line is checked."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name, logging.INFO)
        self._world = world

    def handle(self, record: logging.LogRecord) -> None:
        take_line(self._world, self.name, record)


class LoopLog(logging.Handler):
    """Takes the lines of the triggerers' poll loops."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.world: World | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.world is not None:
            take_line(self.world, "triggerer", record)


def take_line(world: World, name: str, record: logging.LogRecord) -> None:
    """Take a line of a log in."""
    text = record.getMessage()
    world.check_clean("the log", text)
    if record.exc_info:
        world.violate("defect", f"{text}: {record.exc_info[1]!r}")
    if record.levelno >= logging.WARNING:
        world.warnings.append(text)
    if world.tracing:
        world.note(f"{name}: {record.levelname} {text[:200]}")


def epoch(now: float) -> float:
    """Return the right epoch time of a virtual one."""
    return EPOCH + now
