"""Makes a synchronous and an asynchronous method out of one flow (see ``batches/flow.py``)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

from airflow_provider_llamabatch.batches.flow import Flow, adrive, drive

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

P = ParamSpec("P")
T = TypeVar("T")


class Hidden(Generic[T]):
    """Holds what may be a secret: a traceback with local variables shows what the frames hold, but not this."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


def blocking(
    flow: Callable[Concatenate[LlamaBatchHook, P], Flow[T]],
) -> Callable[Concatenate[LlamaBatchHook, P], T]:
    """Return a method that carries the flow out and blocks until it is done."""

    def method(self: LlamaBatchHook, /, *args: P.args, **kwargs: P.kwargs) -> T:
        given = Hidden((args, kwargs))
        del args, kwargs
        return drive(_begun(flow, self, given), self._perform)

    _present(method, flow, prefix="")
    return method


def awaiting(
    flow: Callable[Concatenate[LlamaBatchHook, P], Flow[T]],
) -> Callable[Concatenate[LlamaBatchHook, P], Coroutine[Any, Any, T]]:
    """Return the asynchronous twin."""

    async def method(self: LlamaBatchHook, /, *args: P.args, **kwargs: P.kwargs) -> T:
        given = Hidden((args, kwargs))
        del args, kwargs
        return await adrive(_begun(flow, self, given), self._aperform)

    _present(method, flow, prefix="a")
    return method


def _begun(flow: Callable[..., Flow[T]], hook: LlamaBatchHook, given: Hidden[Any]) -> Flow[T]:
    """Return the flow with the arguments of its method, which raises where they are not its own."""
    return flow(hook, *given.value[0], **given.value[1])


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
