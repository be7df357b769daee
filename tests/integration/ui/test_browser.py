"""The walk through the page in a real browser, with a thousand batches and a thousand files in one."""

from __future__ import annotations

import pytest

from airflow_provider_llamabatch.ui import limits
from tests.support import browser as browsers
from tests.support import page_world
from tests.support.page_world import PREFIX

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore"),  # Airflow's API server and the browser's driver: their own
    pytest.mark.timeout(300),
    pytest.mark.skipif(browsers.CHROMIUM is None, reason="there is no chromium"),
]

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'.txt"
PAGES = ("/batches", "/batches/{large}", "/batches/{hostile}", "/directories", "/overview")


@pytest.fixture(scope="module")
def ids(world, application):
    world.emulator.control.change(ephemeral_lifetime_seconds=60 * 86400)
    hostile = world.directory(HOSTILE, {HOSTILE: HOSTILE})
    hostile_batch = world.batch(hostile, "inbox_daily", reason=HOSTILE)
    large = page_world.fill(world, batches=999, files=1000)  # a thousand with the hostile one
    world.store()
    return {"large": large, "hostile": hostile_batch}


@pytest.fixture(scope="module")
def running(world, ids):
    batches = world.emulator.control.state()["batches"]
    return next(one["id"] for one in batches if one["status"] in {"PENDING", "RUNNING"})


@pytest.fixture(scope="module")
def url(application, ids):
    with page_world.served(application) as url:
        yield url


@pytest.fixture(scope="module")
def chromium():
    with browsers.browser() as chromium:
        yield chromium


@pytest.fixture
def window(chromium, url, new_process):
    """Open windows, none of whose pages may have an error in the end."""
    opened = []

    def open_one(path: str, user: str = "admin", refreshes: browsers.HeldRefreshes | None = None, **more):
        page, errors = browsers.window(
            chromium, url, page_world.token_of(user, "admin" if user == "admin" else "viewer"), **more
        )
        opened.append((page, errors))
        if refreshes is not None:
            refreshes.hold(page)
        page.goto(url + path)
        return page

    yield open_one
    for page, errors in opened:
        page.context.close()
        assert errors == []


def test_the_walk_from_a_thousand_batches_to_the_first_lines_of_a_result(window, ids):
    page = window(f"{PREFIX}/batches")
    browsers.ready(page)
    assert page.locator(".choices a").first.inner_text() == "All 1,000"
    assert page.locator("table.rows tbody tr").count() == limits.ROWS
    page.click("#next")
    assert page.locator(".pager").inner_text().startswith("101 to 200 of 1,000 batches")
    page.click(".choices >> text=Failed")
    page.wait_for_url("**status=FAILED*")
    assert set(page.locator("td .status").all_inner_texts()) == {"FAILED"}
    page.goto(page.url.split("?")[0])
    page.fill("#search", ids["large"])
    page.locator("table.rows tbody tr").nth(1).wait_for(state="detached")
    assert ids["large"] in page.url
    page.click(f"#{ids['large']}")
    page.wait_for_url(f"**/batches/{ids['large']}")
    browsers.ready(page)
    assert page.locator(".choices a").first.inner_text() == "All 1,000"
    page.fill("#search", "lab-notes clay-0008")
    page.locator("table.rows tbody tr").nth(1).wait_for(state="detached")
    page.click("table.rows tbody th a")
    browsers.ready(page)
    assert "Its first line." in page.inner_text("pre")
    page.click(f"text={ids['large']}")
    assert page.locator("h1").inner_text() == ids["large"]


def test_the_page_is_in_airflows_frame_follows_its_theme_and_leaves_it_for_a_dag_run(window, ids):
    page = window("/plugin/llamabatch", theme="dark")
    frame = page.frame_locator("iframe")
    frame.locator("table.rows").wait_for()
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    page.evaluate("document.documentElement.classList.replace('dark', 'light')")
    frame.locator("html[data-theme=light]").wait_for()
    frame.locator("a[data-airflow]").first.click()
    page.wait_for_url("**/dags/**/runs/**")
    page.locator("iframe").wait_for(state="detached")


def test_the_link_on_a_task_leads_to_its_batch_in_airflows_frame_where_it_can(window, ids):
    from airflow_provider_llamabatch.airflow_compat import opens_views_anywhere
    from airflow_provider_llamabatch.links import batch_page_url

    page = window(batch_page_url(page_world.CONNECTION, ids["large"]))
    shown = page.frame_locator("iframe") if opens_views_anywhere() else page
    heading = shown.locator("h1")
    heading.wait_for()
    assert heading.inner_text() == ids["large"]


def test_an_open_page_shows_what_is_new_by_itself(window, ids, world, monkeypatch):
    monkeypatch.setattr(limits, "REFRESH", 1.0)
    page = window(f"{PREFIX}/batches")
    browsers.ready(page)
    page.focus("table.rows tbody th a")
    focused = page.evaluate("document.activeElement.id")
    new = world.batch(world.client.send(_first_directory()).items[0].id)
    page.wait_for_selector(f"#{new}")
    assert page.evaluate("document.activeElement.id") == focused


def test_a_batch_that_is_read_slowly_is_whole_once_it_is_read(window, running, monkeypatch):
    monkeypatch.setattr(limits, "FIRST_WAIT", 0.0)
    refreshes = browsers.HeldRefreshes()
    page = window(f"{PREFIX}/batches/{running}?status=COMPLETED", user="clerk", refreshes=refreshes)
    assert page.inner_text(".fresh") == "Being read …"
    page.fill("#search", "lab")
    refreshes.release()
    browsers.ready(page)
    page.wait_for_selector("#ask-cancel")
    assert page.input_value("#search") == "lab"
    assert "status=COMPLETED" in page.locator("#live").get_attribute("hx-get")


def test_a_file_that_is_read_slowly_gets_its_name(window, ids, world, monkeypatch):
    monkeypatch.setattr(limits, "FIRST_WAIT", 0.0)
    refreshes = browsers.HeldRefreshes()
    page = window(f"{PREFIX}/batches/{ids['large']}/files/dfl-00000008", refreshes=refreshes)
    assert page.inner_text("h1") == "dfl-00000008"
    refreshes.release()
    page.wait_for_selector("h1 >> text=lab-notes")


def test_what_can_be_done_with_an_open_batch_changes_when_it_ends(window, ids, world, monkeypatch):
    monkeypatch.setattr(limits, "REFRESH", 1.0)
    slow = world.emulator.control.settings.batch_running_seconds
    world.emulator.control.change(batch_running_seconds=120)
    batch = world.batch(world.directory("short", {"a.txt": "a"}), "inbox_daily")
    world.emulator.control.change(batch_running_seconds=slow)
    world.store()
    page = window(f"{PREFIX}/batches/{batch}", user="clerk")
    page.click("#ask-cancel")
    world.emulator.control.advance(600)
    page.wait_for_timeout(2500)
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    page.locator("#ask-cancel").wait_for(state="detached")


def _first_directory():
    from airflow_provider_llamabatch.llamacloud import calls

    return calls.list_directories()


def test_a_batch_is_cancelled_with_the_keyboard_after_one_more_question(window, running, world):
    page = window(f"{PREFIX}/batches/{running}", user="clerk")
    browsers.ready(page)
    page.focus("[data-dialog=cancel]")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="hidden")
    assert world.emulator.control.counters()["cancels_by_batch"] == {}
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=LlamaCloud was asked to cancel the batch")
    assert world.emulator.control.counters()["cancels_by_batch"] == {running: 1}


@pytest.mark.parametrize("size", [browsers.LAPTOP, browsers.PHONE], ids=["laptop", "phone"])
def test_no_page_is_wider_than_the_window_and_hostile_names_are_text(window, ids, size):
    page = window(f"{PREFIX}/batches", size=size)
    for path in PAGES:
        page.goto(page.url.split("/llamabatch/")[0] + PREFIX + path.format(**ids))
        browsers.ready(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.goto(page.url.split("/llamabatch/")[0] + PREFIX + f"/batches/{ids['hostile']}")
    browsers.ready(page)
    assert HOSTILE in page.inner_text("table.rows tbody th")
    assert page.locator("img").count() == 0


def test_every_page_is_reached_with_the_tab_key_from_its_beginning(window):
    page = window(f"{PREFIX}/batches")
    browsers.ready(page)
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.trim() || document.activeElement.id"))
    assert reached == [
        "Skip to the content",
        "Batches",
        "Directories",
        "Overview",
        "Connection llamabatch_default",
        "search",
    ]
