"""
Send the emulator requests made up from its own OpenAPI document, over a real socket, and judge every answer.

Half of the requests keep to the document, half break it; half of the ids in them exist. No answer may be a 5xx or
outside the document, none may be late, and nothing that was sent may keep a healthy story from working afterwards.
Exits with 1 and prints a request for every kind of failure.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import schemathesis
from schemathesis.core.result import Ok

from tests.fuzz.controlling import PREFIX, Controlled
from tests.fuzz.judging import Tally
from tests.fuzz.sending import Sender
from tests.fuzz.served import Served, populated
from tests.fuzz.story import read, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemathesis import APIOperation

    from tests.fuzz.served import Pool

AT_ONCE = 20
"""Requests to one operation before the next one's turn."""
DOWNLOADS = f"{PREFIX}downloads/"
DOCUMENT = f"{PREFIX}openapi.json"
PARSE = "POST /api/v2/parse"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", default="", help="operations whose label contains this, such as 'POST /api/v2'"
    )
    return parser.parse_args()


def operations_of(served: Served) -> list[APIOperation]:
    """Return all operations of the document that the emulator serves."""
    schema = schemathesis.openapi.from_url(served.url + DOCUMENT)
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


def is_control(operation: APIOperation) -> bool:
    """Say whether an operation changes or shows the emulator itself."""
    return operation.path.startswith(PREFIX) and not operation.path.startswith(DOWNLOADS)


def rounds(
    sender: Sender, operations: list[APIOperation], cases: int, seed: int, fill: Callable[[], Pool]
) -> None:
    """Send so many requests, to each operation in its turn, with new things in the emulator each round."""
    sent, turn = 0, 0
    while sent < cases:
        pool = fill()
        for operation in operations:
            number = min(AT_ONCE, cases - sent)
            before = sender.tally.sent.total()
            sender.send_some(operation, pool, number, f"{seed} {turn}")
            sent += sender.tally.sent.total() - before
        turn += 1
        print(f"{sent:8,} of {cases:,}  {len(sender.tally.failures)} kinds of failures", flush=True)


def fuzz(chosen: argparse.Namespace, folder: Path) -> Tally:
    """Send everything and look at what is left."""
    tally = Tally()
    with (
        Served("emulator", folder / "api.log", chosen.seed) as served,
        Served("controlled emulator", folder / "control.log", chosen.seed) as other,
    ):
        found = operations_of(served)
        parse = next(one for one in found if one.label == PARSE)
        wanted = [one for one in found if chosen.only in one.label]
        api, control = ([one for one in wanted if is_control(one) is which] for which in (False, True))
        for_control = chosen.cases * len(control) // max(1, len(wanted))
        if api:
            print(f"{len(api)} operations of the API", flush=True)
            sender = Sender(served.url, parse, tally)
            rounds(sender, api, chosen.cases - for_control, chosen.seed, lambda: _filled(served))
            look_back(served, tally)
        if control:
            print(f"{len(control)} operations of the control", flush=True)
            controlled = Controlled(other, tally)
            sender = Sender(other.url, parse, tally)
            sender.after = controlled.look
            rounds(sender, control, for_control, chosen.seed, lambda: controlled.pool)
            controlled.start_over()
            look_back(other, tally)
    return tally


def _filled(served: Served) -> Pool:
    served.advance(5)
    return populated(served)


def look_back(served: Served, tally: Tally) -> None:
    """See that nothing was left behind that keeps the emulator from working."""
    for problem in (*read(served), *told(served)):
        tally.fail("afterwards", problem.partition(":")[0], problem, "")
    for line in served.troubles():
        tally.fail("afterwards", "the emulator printed what no request may make it print", line, "")
    if served.followed():
        tally.fail("afterwards", "an address out of a schema was followed", served.black_hole, "")


def report(tally: Tally, seconds: float) -> None:
    """Print what was sent, what came back, and every kind of failure."""
    print(
        f"\n{tally.sent.total():,} requests in {seconds:,.0f} s, {tally.unsendable:,} more that no client could send"
    )
    for operation, statuses in sorted(tally.by_operation.items()):
        shown = "  ".join(f"{status}: {number}" for status, number in sorted(statuses.items()))
        print(f"{tally.sent[operation]:6,}  {operation:75} {shown}")
    print("  ".join(f"{status}: {number:,}" for status, number in sorted(tally.statuses.items())))
    print(f"{tally.against_vendor:,} answers were held against the vendor's document as well")
    for failure in tally.failures.values():
        print(f"\n{failure.operation} {failure.what} ({failure.times} times)\n    {failure.detail}")
        if failure.request:
            print(f"    {failure.request}")
    print(
        f"\n{len(tally.failures)} kinds of failures"
        if tally.failures
        else "\nevery answer was one that may be given"
    )


def main() -> int:
    """Fuzz and report."""
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and end what was started
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llamabatch-fuzz-") as folder:
        tally = fuzz(chosen, Path(folder))
    report(tally, time.monotonic() - began)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # what hypothesis warns of when a strategy repeats itself
    sys.exit(main())
