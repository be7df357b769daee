"""
Work written as a generator: it yields the steps it needs done and is sent what came of them.

So one text says what happens in which order, without doing any of it: a worker carries the steps out for real
(``execution``), a simulation carries out thousands of histories of them in a second. An exception of a step is thrown
into the generator at its ``yield``. The clock is passed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.call import Call

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """
    Send a call; what comes back is its value, a ``LlamaCloudError`` is thrown in.

    ``once``: without the client's retries. ``within``: seconds it may take as a whole, retries included.
    """

    call: Call[Any]
    once: bool = False
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let time pass, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """Read the record in the task state store; None comes back where none is kept."""


@dataclass(frozen=True, slots=True)
class SaveRecord:
    """Write the record into the task state store."""

    value: dict[str, Any]


Step: TypeAlias = Send | Sleep | LoadRecord | SaveRecord
Flow: TypeAlias = Generator[Step, Any, T]


def send(call: Call[T], *, once: bool = False, within: float | None = None) -> Flow[T]:
    """Have a call sent; ``yield from`` this gives its value."""
    value: T = yield Send(call, once, within)
    return value


def drive(flow: Flow[T], perform: Callable[[Step], Any]) -> T:
    """Carry a flow out: ``perform`` does each step and returns what came of it."""
    try:
        step = next(flow)
        while True:
            try:
                value = perform(step)
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(value)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


async def adrive(flow: Flow[T], perform: Callable[[Step], Awaitable[Any]]) -> T:
    """Carry a flow out asynchronously; the twin of ``drive``."""
    try:
        step = next(flow)
        while True:
            try:
                value = await perform(step)
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(value)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()
