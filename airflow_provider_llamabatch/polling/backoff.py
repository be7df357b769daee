"""The one rule for pauses after trouble, for polls and for the retries of a single request alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Half fixed, half random under a ceiling that doubles with each failure in a row. All values are seconds.

    What a server asks for (``Retry-After``) counts where it is longer, up to ``max_retry_after``: a gateway that asks
    for a day must not silence everything behind it for a day.
    """

    first_ceiling: float = 1.0
    max_ceiling: float = 60.0
    max_retry_after: float = 120.0

    def pause(self, failures: int, random: Callable[[], float], *, retry_after: float | None = None) -> float:
        """Return the seconds to pause after the ``failures``-th failure in a row (1 is the first)."""
        ceiling = min(self.max_ceiling, self.first_ceiling * 2.0 ** min(max(failures, 1) - 1, 16))
        asked = min(retry_after or 0.0, self.max_retry_after)
        return max(ceiling * (0.5 + random() / 2), asked)
