"""Servers whose list is useless or dear: the waits must still end right and cost little more than GETs."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.runs import Row, Run, side_by_side
from tests.bench.scenarios import Scenario
from tests.bench.subjects import POLL_SECONDS

WAITS = 100
MOST_REQUESTS = 1.5  # times the requests of a GET per batch and interval
LATEST_SECONDS = 2 * POLL_SECONDS  # a wait may miss one poll, no more

SCENARIOS = {
    "a list as documented": Scenario(WAITS),
    "pages of 10 at most": Scenario(WAITS, page_limit=10),
    "new batches hidden from the list for 5 s": Scenario(WAITS, oldest=0.0, hidden=5.0),
    "the list always answers 503": Scenario(WAITS, list_status=503),
    "2,000 batches of others in the project": Scenario(WAITS, foreign=2000),
}


@dataclass(frozen=True)
class Trial:
    """What our trigger needed against one adverse server, and what a GET per batch needed."""

    name: str
    server: str
    row: Row
    plain_requests: float

    @property
    def ratio(self) -> float:
        """Requests in units of the plain GET loop's."""
        return self.row.requests / self.plain_requests

    @property
    def passed(self) -> bool:
        """Say whether every wait ended right, in time, and with few enough requests."""
        in_time = self.row.delay_max <= LATEST_SECONDS
        return self.row.failures == 0 and in_time and self.ratio <= MOST_REQUESTS


def try_all(server: str, control: str) -> list[Trial]:
    """Run our trigger against each scenario on a server, and the plain GET loop once, all side by side."""
    runs = [Run("llamabatch", scenario) for scenario in SCENARIOS.values()]
    *rows, plain = side_by_side(control, [*runs, Run("get-loop", Scenario(WAITS))])
    return [Trial(name, server, row, plain.requests) for name, row in zip(SCENARIOS, rows, strict=True)]
