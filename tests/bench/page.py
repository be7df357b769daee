"""How soon the page in Airflow's UI is there, in Debian's chromium: a thousand batches, a thousand files in one.

Called by the benchmark as ``python -m tests.bench.page``; prints one line of JSON. The first time is that of a fresh
API server, which has read nothing from LlamaCloud yet, in a browser that shows Airflow's home page; the others open the
page again after what it has read is too old.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BATCHES = FILES = 1000
ROUNDS = 7
MOST_SECONDS = 1.0
SCREENS = {
    "/batches": "the batches",
    "/batches/{large}": "one batch, its files",
    "/directories": "the directories",
    "/overview": "the overview",
}


def measure() -> dict[str, Any]:
    """Open each screen and return the seconds until it shows what it is about."""
    from airflow_provider_llamabatch.ui import limits
    from tests.support import browser as browsers
    from tests.support import page_world

    if browsers.CHROMIUM is None:
        return {"missing": "chromium"}
    page_world.users_and_rights()
    page_world.prepare_airflow()
    with page_world.page_world() as world, browsers.browser() as chromium:
        large = page_world.fill(world, batches=BATCHES, files=FILES)
        application = page_world.airflow_application()
        world.store()
        found: dict[str, list[float]] = {screen: [] for screen in SCREENS}
        with page_world.served(application) as url:
            window, _ = browsers.window(chromium, url, page_world.token_of("admin", "admin"))
            window.goto(url)  # as a user comes: from Airflow's own pages, which first have to be there
            window.get_by_text("Dags").first.wait_for()
            window.wait_for_load_state("networkidle")
            for number in range(ROUNDS):
                for screen, seconds in found.items():
                    seconds.append(opened(window, url + page_world.PREFIX + screen.format(large=large)))
                if number < ROUNDS - 1:
                    time.sleep(limits.REFRESH + 0.5)
            window.context.close()
    screens = [
        {"screen": title, "first": found[screen][0], "again": median(found[screen][1:])}
        for screen, title in SCREENS.items()
    ]
    return {"batches": BATCHES, "files": FILES, "rounds": ROUNDS - 1, "screens": screens}


def opened(window: Any, url: str) -> float:
    """Open a page and return the seconds until all of it is there."""
    from tests.support import browser as browsers

    began = time.monotonic()
    window.goto(url)
    browsers.ready(window)
    return time.monotonic() - began


def page_text(found: dict[str, Any], table: Callable[[Sequence[str], Iterable[Sequence[str]]], str]) -> str:
    """Return the section of the report."""
    if "missing" in found:
        return f"Not measured: there is no {found['missing']} on this machine."
    lines = [[one["screen"], f"{one['first']:.2f}", f"{one['again']:.2f}"] for one in found["screens"]]
    return (
        f"{found['batches']:,} batches in the emulator, {found['files']:,} files in one of them, Airflow's API server "
        "and chromium on this machine: seconds from opening a screen until all of it is there. The first time nothing "
        "has been read yet, and the browser comes from Airflow's home page; then medians of "
        f"{found['rounds']} times, each after what was read is too old.\n\n"
        + table(["screen", "first, s", "again, s"], lines)
    )


def page_targets(found: dict[str, Any]) -> list[Target]:
    """Return the bound of each screen."""
    return [
        Target(f"page, {one['screen']}: s until it is there", max(one["first"], one["again"]), MOST_SECONDS)
        for one in found.get("screens", ())
    ]


if __name__ == "__main__":
    from tests.support.page_world import airflow_home

    with airflow_home():
        sys.stdout.write(json.dumps(measure()) + "\n")
