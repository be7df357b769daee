"""Defects to plant in the real code, one at a time: the simulation must find them, or its silence means nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.simulation.defects_of_submissions import SUBMISSIONS
from tests.simulation.defects_of_waits import REQUESTS, WAITS

if TYPE_CHECKING:
    from collections.abc import Iterator

PLANTS = SUBMISSIONS | REQUESTS | WAITS


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """Have a defect in the code for as long as this context is open."""
    with contextlib.ExitStack() as stack:
        for change in PLANTS[name]:
            stack.enter_context(patch.object(change.owner, change.name, change.made()))
        yield
