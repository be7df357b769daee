"""To wait for what happens in another process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def until(what: Callable[[], T | None], seconds: float = 60.0) -> T:
    """Return what is asked for again and again as soon as it is there; fails where it never is."""
    give_up = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.3)
    return found
