"""Debian's chromium, driven by Playwright, as a user of the page."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = shutil.which("chromium")
LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@contextmanager
def browser() -> Iterator[Any]:
    """Start the browser; ``CHROMIUM`` has to be there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root, as on a build machine, can have no sandbox.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield chromium
        finally:
            chromium.close()


def window(
    chromium: Any, url: str, token: str, *, size: dict[str, int] | None = None, theme: str = "light"
) -> tuple[Any, list[str]]:
    """Return a window of a user who is logged in, and the list that errors of its pages are added to."""
    context = chromium.new_context(viewport=size or LAPTOP)
    context.add_cookies([{"name": "_token", "value": token, "url": url}])
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page = context.new_page()
    page.set_default_timeout(60_000)  # ms; long only where the machine does much else
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if _is_error_of_ours(message) else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))
    return page, errors


def _is_error_of_ours(message: Any) -> bool:
    """Say so of an error in what the page itself loads: Airflow's frame asks for DAGs that were never parsed here."""
    return message.type == "error" and "/llamabatch" in message.location["url"]


class HeldRefreshes:
    """The requests by which an open page reads itself again, held until they are released."""

    def __init__(self) -> None:
        self._routes: list[Any] = []
        self._held = True

    def hold(self, page: Any) -> None:
        """Hold those of a page that was not opened yet."""
        page.route("**/llamabatch/**", self._see)

    def release(self) -> None:
        """Send what was held, and hold nothing any more."""
        self._held = False
        for route in self._routes:
            route.continue_()

    def _see(self, route: Any) -> None:
        if self._held and "hx-request" in route.request.headers:
            self._routes.append(route)
        else:
            route.continue_()


def ready(page: Any) -> None:
    """Return when a page shows what it is about."""
    page.locator("[data-soon]").wait_for(state="detached")
