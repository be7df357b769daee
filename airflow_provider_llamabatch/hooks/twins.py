"""Makes a synchronous and an asynchronous method out of one flow (see ``batches/flow.py``)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from airflow_provider_llamabatch.batches.flow import Flow, adrive, drive

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

P = ParamSpec("P")
T = TypeVar("T")


def blocking(
    flow: Callable[Concatenate[LlamaBatchHook, P], Flow[T]],
) -> Callable[Concatenate[LlamaBatchHook, P], T]:
    """Return a method that carries the flow out and blocks until it is done."""

    def method(self: LlamaBatchHook, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return drive(flow(self, *args, **kwargs), self._perform)

    _present(method, flow, prefix="")
    return method


def awaiting(
    flow: Callable[Concatenate[LlamaBatchHook, P], Flow[T]],
) -> Callable[Concatenate[LlamaBatchHook, P], Coroutine[Any, Any, T]]:
    """Return the asynchronous twin."""

    async def method(self: LlamaBatchHook, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await adrive(flow(self, *args, **kwargs), self._aperform)

    _present(method, flow, prefix="a")
    return method


def _present(method: Any, flow: Any, prefix: str) -> None:
    """Give a method its own name and the flow's signature, with what the flow returns in the end."""
    name = flow.__name__
    method.__name__ = prefix + name.removeprefix("_")
    method.__doc__, method.__module__ = flow.__doc__, flow.__module__
    method.__qualname__ = flow.__qualname__.replace(name, method.__name__)
    signature = inspect.signature(flow)
    result = str(signature.return_annotation).removeprefix("Flow[").removesuffix("]")
    method.__signature__ = signature.replace(return_annotation=result)
    method.__annotations__ = {**flow.__annotations__, "return": result}
