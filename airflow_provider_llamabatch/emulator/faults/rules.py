"""Which requests a fault hits and how often. Pure; ``middleware.py`` acts on it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveInt,
    model_validator,
)

Kind = Literal["delay", "stall", "drop_before", "drop_after", "status", "html", "malformed", "missing_fields"]
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
COMMITS_BY_DEFAULT = frozenset({"delay"})


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"not a header: {name!r}: {value!r}")
    return headers


class Fault(BaseModel):
    """
    One rule. The first rule that matches a request and is due fires; the others do not see the request.

    ``method`` and ``path`` (a regular expression that is searched in the path) say which requests match; none given
    matches all. ``times`` ends the rule after so many shots, ``every`` fires on every n-th match, ``probability`` on a
    share of them (``seed`` makes the draw repeatable).

    Kinds, where "the change" is what the request would do:

    - ``delay``: the answer comes ``seconds`` late, after the change (``committed=False``: the change is late as well)
    - ``stall``: change made, head of the answer sent, its body comes ``seconds`` late
    - ``drop_before`` and ``drop_after``: the connection is closed without an answer, without or with the change
    - ``status``: ``status`` and ``detail`` instead of the answer; ``committed=True`` makes the change
    - ``html``: an HTML page (``body``) with ``status`` (502) instead of the answer; ``committed`` as above
    - ``malformed``: change made, the second half of the JSON is missing
    - ``missing_fields``: change made, ``fields`` are missing in the answer and in each of its ``items``
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    method: str | None = None
    path: Annotated[str, AfterValidator(_pattern)] = ""
    seconds: NonNegativeFloat = 0
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    detail: Any = None
    body: str = "<html><body><h1>Bad gateway</h1></body></html>"
    headers: Annotated[dict[str, str], AfterValidator(_sendable)] = Field(default_factory=dict)
    fields: tuple[str, ...] = ("id", "status")
    committed: bool | None = None
    times: PositiveInt | None = None
    every: PositiveInt | None = None
    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.kind == "status" and self.status is None:
            raise ValueError("a fault of kind 'status' needs a status")
        if self.kind in {"delay", "stall"} and not self.seconds:
            raise ValueError(f"a fault of kind {self.kind!r} needs seconds")
        return self

    @property
    def commits(self) -> bool:
        """Whether the change is made before the fault shows, for the kinds that leave it open."""
        return self.kind in COMMITS_BY_DEFAULT if self.committed is None else self.committed

    def matches(self, method: str, path: str) -> bool:
        """Whether the rule is about such a request."""
        return self.method in {None, method} and re.search(self.path, path) is not None


@dataclass
class Rule:
    """A fault with its score."""

    id: str
    fault: Fault
    matched: int = 0
    fired: int = 0
    draw: random.Random = field(default_factory=random.Random)

    def is_due(self) -> bool:
        """Count a match and say whether the rule fires on it."""
        self.matched += 1
        fault = self.fault
        due = (
            (fault.times is None or self.fired < fault.times)
            and (fault.every is None or self.matched % fault.every == 0)
            and (fault.probability is None or self.draw.random() < fault.probability)
        )
        self.fired += due
        return due


class FaultRules:
    """All rules, in the order in which they were added; ``dice`` seeds those that name no seed."""

    def __init__(self, dice: random.Random | None = None) -> None:
        self._dice = dice or random.Random()  # noqa: S311 - nothing secret
        self._rules: dict[str, Rule] = {}
        self._added = 0

    def add(self, fault: Fault) -> str:
        """Add a rule at the end and return its id."""
        self._added += 1
        id_ = f"fault-{self._added}"
        seed = self._dice.random() if fault.seed is None else fault.seed
        self._rules[id_] = Rule(id_, fault, draw=random.Random(seed))  # noqa: S311 - nothing secret
        return id_

    def remove(self, id_: str) -> None:
        """Remove a rule. Raises KeyError for an id that is none."""
        del self._rules[id_]

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def rules(self) -> list[Rule]:
        """Return all rules with their scores."""
        return list(self._rules.values())

    def pick(self, method: str, path: str) -> Rule | None:
        """Return the rule that fires on this request, if one does."""
        return next(
            (rule for rule in self.rules() if rule.fault.matches(method, path) and rule.is_due()), None
        )
