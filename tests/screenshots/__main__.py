"""Makes the pictures of the page in docs/ui anew: an emulator with batches of two weeks, an API server, chromium."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs" / "ui"


def main() -> int:
    """Make all pictures; 1 where there is no browser."""
    from tests.support import browser as browsers
    from tests.support import page_world

    if browsers.CHROMIUM is None:
        print("There is no chromium: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    page_world.users_and_rights()
    page_world.prepare_airflow([page_world.ROOT / "dags_examples" / "process_failed_files.py"])
    with page_world.page_world() as world, browsers.browser() as chromium:
        large = page_world.fill(world, batches=400, files=240)
        application = page_world.airflow_application()
        world.store()
        with page_world.served(application) as url:
            laptop, _ = browsers.window(chromium, url, page_world.token_of("admin", "admin"))
            in_airflow(laptop, url)
            pages(laptop, url, large)
            dark, _ = browsers.window(chromium, url, page_world.token_of("admin", "admin"), theme="dark")
            shot(dark, f"{url}{page_world.PREFIX}/overview", "overview-dark")
            shot(dark, f"{url}{page_world.PREFIX}/batches/{large}", "batch-dark")
            phone, _ = browsers.window(
                chromium, url, page_world.token_of("admin", "admin"), size=browsers.PHONE
            )
            shot(phone, f"{url}{page_world.PREFIX}/batches", "batches-phone")
            for window in (laptop, dark, phone):
                window.context.close()
    return 0


def in_airflow(page: Any, url: str) -> None:
    """Make the picture of the page in Airflow's own frame."""
    page.goto(f"{url}/plugin/llamabatch")
    page.frame_locator("iframe").locator("table.rows").wait_for()
    page.screenshot(path=FOLDER / "batches.png")


def pages(page: Any, url: str, batch_id: str) -> None:
    """Make the pictures of the other pages, of a file, and of the question before an action."""
    base = url + _prefix()
    shot(page, f"{base}/batches/{batch_id}", "batch")
    page.click("[data-dialog=again]")
    page.screenshot(path=FOLDER / "again.png")
    page.keyboard.press("Escape")
    page.click("table.rows tbody tr:nth-child(8) th a")
    page.locator("pre").wait_for()
    page.screenshot(path=FOLDER / "file.png")
    shot(page, f"{base}/directories", "directories")
    shot(page, f"{base}/overview", "overview")


def shot(page: Any, url: str, name: str) -> None:
    """Make the picture of one page."""
    page.goto(url)
    page.locator("[data-soon]").wait_for(state="detached")
    page.screenshot(path=FOLDER / f"{name}.png")


def _prefix() -> str:
    from tests.support.page_world import PREFIX

    return PREFIX


if __name__ == "__main__":
    from tests.support.page_world import airflow_home

    with airflow_home():
        sys.exit(main())
