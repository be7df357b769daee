from __future__ import annotations

import html
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from sqlalchemy import delete, select, update

from tests.support.page_world import KEY, PREFIX, SECRET_DAG, usage

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("new_process"),
    pytest.mark.filterwarnings("ignore"),  # Airflow's API server: what it is warned of is its own
    pytest.mark.timeout(300),  # the first test makes a database and builds the API server
]

HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}.txt"


@dataclass
class Ids:
    plain: str  # made by nobody known
    of_dag: str
    secret: str
    running: str
    failed: str  # with a failed file
    directory: str
    secret_directory: str
    hostile: str


@pytest.fixture(scope="module")
def ids(world, application):
    control = world.emulator.control
    control.change(
        file_results={"broken*": {"error_message": HOSTILE}}, ephemeral_lifetime_seconds=60 * 86400
    )
    directory = world.directory("shared", {"a.txt": "# A\n\nText of a.", "broken.txt": "x"})
    secret_directory = world.directory("salaries", {"salaries.txt": "much"})
    hostile = world.directory(HOSTILE, {HOSTILE: "# <script>alert(1)</script>\n\n[x](javascript:alert(1))"})
    plain = world.batch(directory)
    of_dag = world.batch(directory, "inbox_daily", usage=usage(2, 1, 6.0, {HOSTILE: 1}))
    secret = world.batch(secret_directory, SECRET_DAG, usage=usage(77, 0, 991.0))
    failed = world.batch(directory, "inbox_daily", action="adopt", reason="the response to its POST was lost")
    hostile_batch = world.batch(hostile, "inbox_daily")
    control.advance(3600)
    control.change(batch_running_seconds=30 * 86400)
    running = world.batch(directory, "inbox_daily")
    world.settle()
    world.store()
    return Ids(plain, of_dag, secret, running, failed, directory, secret_directory, hostile_batch)


@pytest.fixture(autouse=True)
def _the_service_is_well(world):
    yield
    world.emulator.control.clear_faults()
    world.emulator.control.set_api_key(KEY)


def lists(world) -> int:
    return sum(
        seen.method == "GET" and seen.path == "/api/v2/batches" for seen in world.emulator.control.requests()
    )


# Who may see what


def test_nobody_sees_anything_without_a_login(user, ids):
    stranger = user("admin")
    del stranger.http.headers["Authorization"]
    for path in ("/batches", f"/batches/{ids.plain}", "/directories", "/overview"):
        assert stranger.get(path).status_code == 401
    assert stranger.http.get("/llamabatch/").status_code == 401
    assert stranger.post(f"/batches/{ids.running}/cancel").status_code == 401


def test_who_may_not_see_the_connection_sees_nothing_of_it(user, ids):
    nobody = user("nobody")
    for path in (
        "/batches",
        f"/batches/{ids.plain}",
        f"/batches/{ids.plain}/files/dfl-1",
        "/directories",
        f"/directories/{ids.directory}",
        "/overview",
    ):
        answered = nobody.get(path)
        assert answered.status_code == 403
        assert ids.plain not in answered.text.replace(path, "")
    start = nobody.http.get("/llamabatch/")
    assert "no connection of the type llamabatch that you may see" in start.text


def test_a_connection_that_no_address_reaches_is_not_where_the_page_begins(user, ids):
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection(conn_id="a/team", conn_type="llamabatch", host="na"))
    try:
        start = user("admin").http.get("/llamabatch/")
        assert start.headers["location"] == f"{PREFIX}/batches"
        assert user("admin").http.get(start.headers["location"]).status_code == 200
    finally:
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_id == "a/team"))


def test_who_may_not_see_a_dag_sees_nothing_of_its_batches(user, ids):
    clerk = user("clerk")
    batches, overview, directories = (clerk.read(path) for path in ("/batches", "/overview", "/directories"))
    assert ids.of_dag in batches
    assert ids.secret not in batches
    assert SECRET_DAG not in batches + overview + directories
    assert "991" not in overview
    assert "salaries" not in directories
    for path in (
        f"/batches/{ids.secret}",
        f"/batches/{ids.secret}/files/dfl-1",
        f"/directories/{ids.secret_directory}",
    ):
        answered = clerk.get(path)
        assert answered.status_code == 404
        assert SECRET_DAG not in answered.text
    assert clerk.post(f"/batches/{ids.secret}/cancel", token="x").status_code == 404
    admins = user("admin").read("/batches")
    assert ids.secret in admins
    assert SECRET_DAG in admins


def test_who_may_only_read_sees_no_action_and_is_refused(user, ids, world):
    reader = user("reader")
    shown = reader.read(f"/batches/{ids.running}") + reader.read(f"/batches/{ids.failed}")
    assert "<form method=" not in shown
    token = user("admin").token(ids.running, "cancel")
    assert reader.post(f"/batches/{ids.running}/cancel", token=token).status_code == 403
    assert reader.post(f"/batches/{ids.failed}/failed-files", token=token).status_code == 403
    assert world.emulator.control.counters()["cancels_by_batch"] == {}


def test_another_services_connection_is_never_used(user, ids, world, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE", f"postgres://u:secret@{world.emulator.url.removeprefix('http://')}/x"
    )
    before = len(world.emulator.control.requests())
    shown = user("admin").http.get("/llamabatch/connections/warehouse/batches").text
    assert "no Airflow connection" in html.unescape(shown)
    assert len(world.emulator.control.requests()) == before


def test_an_id_that_is_none_never_reaches_the_service(user, ids, world):
    before = len(world.emulator.control.requests())
    for path in ("/batches/..%2f..%2fv1", "/batches/llx-abcdefghijklmnopqrst", "/directories/%00"):
        assert user("admin").get(path).status_code == 404
    assert len(world.emulator.control.requests()) == before


# What is shown


def test_a_batch_shows_its_files_its_run_and_what_the_task_decided(user, ids):
    shown = html.unescape(user("admin").read(f"/batches/{ids.failed}"))
    assert "a.txt" in shown
    assert "broken.txt" in shown
    assert "1 of 2, 1 failed" in shown
    assert "<strong>adopted</strong>: the response to its POST was lost" in shown
    assert '<a href="/dags/inbox_daily/runs/' in shown
    assert "Ended COMPLETED" in shown


def test_a_table_is_narrowed_down_by_status_and_words(user, ids):
    admin = user("admin")
    running = admin.read("/batches?status=RUNNING")
    assert ids.running in running
    assert ids.plain not in running
    assert ids.secret in admin.read(f"/batches?search={SECRET_DAG}+completed")
    assert "No batch matches" in admin.read("/batches?search=nowhere")


def test_a_file_shows_the_first_lines_of_its_result_with_pages_and_credits(user, ids):
    admin = user("admin")
    batch = admin.read(f"/batches/{ids.of_dag}")
    file_id = batch.split(">a.txt</a>")[0].rsplit('id="', 1)[1].split('"')[0]
    shown = admin.read(f"/batches/{ids.of_dag}/files/{file_id}")
    assert "Text of a." in shown
    assert "<dt>Credits</dt><dd>10</dd>" in shown
    assert '<td data-label="Credits" class="number">10</td>' in admin.read(f"/batches/{ids.of_dag}")
    assert admin.get(f"/batches/{ids.of_dag}/files/dfl-none").status_code == 404


@pytest.mark.parametrize("path", ["", "/files/{file}"])
def test_hostile_names_errors_and_results_stay_text(user, ids, path):
    admin = user("admin")
    batch = admin.read(f"/batches/{ids.hostile}")
    file_id = batch.split('<th scope="row"><a id="', 1)[1].split('"')[0]
    answered = admin.get(f"/batches/{ids.hostile}{path.format(file=file_id)}")
    shown = (
        answered.text
        + admin.read("/directories")
        + admin.read(f"/batches/{ids.failed}")
        + admin.read("/overview")
    )
    assert "<img" not in shown
    assert "<script>" not in shown
    assert "{{7*7}}" in html.unescape(shown)
    policy = answered.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert " style=" not in shown


def test_the_key_never_reaches_the_browser(user, ids, world):
    admin = user("admin")
    world.emulator.control.set_api_key("llx-another-key-0123456789abcdef")
    for path in ("/batches", f"/batches/{ids.plain}", "/directories", "/overview"):
        assert KEY not in admin.read(path)


# What is read


def test_fifty_viewers_cause_one_list_per_refresh(user, ids, world):
    before = lists(world)
    viewers = [user("admin") for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        shown = list(pool.map(lambda viewer: viewer.read("/batches"), viewers))
    assert all(ids.plain in text for text in shown)
    assert lists(world) == before + 1


def test_a_slow_service_holds_up_no_page(user, ids, world):
    world.emulator.control.add_fault(kind="delay", path="/api/v2/batches", seconds=3.0)
    answered = user("admin").get("/batches")
    assert answered.status_code == 200
    assert "Being read" in answered.text
    assert "data-soon" in answered.text
    assert ids.plain in user("admin").read("/batches")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ({"kind": "status", "status": 503}, "LlamaCloud has trouble of its own"),
        ({"kind": "drop_before"}, "LlamaCloud does not respond"),
        ("key", "LlamaCloud refuses the API key of this connection"),
    ],
)
def test_trouble_is_said_in_words_and_the_last_that_was_read_stays(
    user, ids, world, application, trouble, said
):
    from airflow_provider_llamabatch.ui.plugin import LlamaBatchPlugin

    admin = user("admin")
    assert ids.plain in admin.read("/batches")
    if trouble == "key":
        world.emulator.control.set_api_key("llx-another-key-0123456789abcdef")
    else:
        world.emulator.control.add_fault(path="/api/v2/batches", **trouble)
    LlamaBatchPlugin.fastapi_apps[0]["app"]._application.state.readers["llamabatch_default"].batches.expire()
    for _ in range(40):
        shown = admin.read("/batches")
        if said in shown:
            break
    assert said in shown
    assert "What is shown is the last that was read" in shown
    assert ids.plain in shown


# Actions


def audit(event: str, about: str = "") -> list[str | None]:
    """Return who did something to a batch, as Airflow's audit log has it."""
    from airflow.models import Log
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.scalars(select(Log).where(Log.event == event))
        return [log.owner for log in found if about in (log.extra or "")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ""},
        {"Origin": "null"},
        {"Origin": "http://evil.test"},
        {"Origin": "http://airflow.test:8081"},
        {"Origin": "http://airflow.test.evil.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_from_another_site_is_refused(user, ids, world, headers):
    admin = user("admin")
    token = admin.token(ids.running, "cancel")
    answered = admin.post(f"/batches/{ids.running}/cancel", token=token, headers=headers)
    assert answered.status_code == 403
    assert "another site" in answered.text
    assert world.emulator.control.counters()["cancels_by_batch"] == {}


def test_a_form_needs_the_token_of_this_user_and_this_batch(user, ids, world):
    admin, clerk = user("admin"), user("clerk")
    of_clerk = clerk.token(ids.running, "cancel")
    again = admin.token(ids.failed, "failed-files")
    for token in (None, "x", of_clerk, of_clerk[:-1], again):
        assert admin.post(f"/batches/{ids.running}/cancel", token=token).status_code == 403
    assert admin.http.get(f"{PREFIX}/batches/{ids.running}/cancel").status_code == 405
    assert world.emulator.control.counters()["cancels_by_batch"] == {}
    assert audit("llamabatch_cancel_batch", ids.running) == []


def pause(paused: bool) -> None:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.execute(
            update(DagModel).where(DagModel.dag_id == "process_failed_files").values(is_paused=paused)
        )


def test_failed_files_are_processed_again_by_a_dag_run_of_the_user(user, ids):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    pause(False)
    clerk = user("clerk")
    answered = clerk.post(
        f"/batches/{ids.failed}/failed-files", token=clerk.token(ids.failed, "failed-files")
    )
    assert answered.status_code == 303, answered.text
    assert "A DAG run was started" in clerk.http.get(answered.headers["location"]).text
    with create_session() as session:
        runs = list(session.scalars(select(DagRun).where(DagRun.dag_id == "process_failed_files")))
    [given] = [run.conf or {} for run in runs]
    assert (given["batch_id"], given["source_directory_id"]) == (ids.failed, ids.directory)
    assert len(given["file_ids"]) == 1
    assert audit("llamabatch_process_failed_files", ids.failed) == ["clerk"]
    assert audit("trigger_dag_run", ids.failed) == ["clerk"]


def test_a_form_that_is_sent_twice_starts_one_dag_run(user, ids):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    def runs() -> int:
        with create_session() as session:
            return len(
                list(session.scalars(select(DagRun.id).where(DagRun.dag_id == "process_failed_files")))
            )

    admin, before = user("admin"), runs()
    token = admin.token(ids.failed, "failed-files")
    answers = [admin.post(f"/batches/{ids.failed}/failed-files", token=token) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 303], answers[1].text
    assert runs() == before + 1
    pause(True)
    waiting = admin.post(f"/batches/{ids.failed}/failed-files", token=token)
    assert "begins once its DAG is unpaused" in admin.http.get(waiting.headers["location"]).text
    again = admin.post(
        f"/batches/{ids.failed}/failed-files", token=user("clerk").token(ids.failed, "failed-files")
    )
    assert again.status_code == 403
    assert runs() == before + 1


def test_a_batch_is_cancelled_once_and_the_audit_log_says_by_whom(user, ids, world):
    clerk = user("clerk")
    answered = clerk.post(f"/batches/{ids.running}/cancel", token=clerk.token(ids.running, "cancel"))
    assert answered.status_code == 303, answered.text
    assert "asked to cancel" in clerk.http.get(answered.headers["location"]).text
    assert world.emulator.control.counters()["cancels_by_batch"] == {ids.running: 1}
    assert audit("llamabatch_cancel_batch", ids.running) == ["clerk"]
