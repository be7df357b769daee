"""What a person sees of a task in Airflow: its link, a warning before it defers for ever, a short failure."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import traceback

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_llamabatch import airflow_compat, defaults
from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.execution import deferring
from airflow_provider_llamabatch.llamacloud.errors import NoResponseError
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from tests.support.recorder import Recorder

NO_TRIGGERER = {"triggerer": {"status": "unhealthy", "latest_triggerer_heartbeat": "2026-01-01T00:00:00Z"}}


def create(directory_id, **arguments):
    return CreateBatchOperator(
        task_id="create",
        source_directory_id=directory_id,
        **{"configuration_id": "cfg-PARSE_AGENTIC", **arguments},
    )


class TestLinks:
    """XCom ``llamacloud_url``, which the link is made of."""

    @pytest.fixture(autouse=True)
    def user_interface(self, emulator, monkeypatch):
        monkeypatch.setenv("AIRFLOW__LLAMABATCH__UI_HOST", "https://ui.example.com")

    @pytest.fixture
    def batch(self, hook, make_directory):
        return hook.create_batch(source_directory_id=make_directory(1), configuration_id="cfg-PARSE_AGENTIC")

    @pytest.fixture
    def project(self, batch):
        return f"https://ui.example.com/project/{batch.project_id}"

    def test_after_a_submission_it_leads_to_the_project_that_the_batch_is_in(
        self, make_directory, context, project
    ):
        create(make_directory(1)).execute(context)

        assert context["ti"].xcoms["llamacloud_url"] == project

    def test_it_is_there_when_the_submission_fails(self, make_directory, context):
        with pytest.raises(RequestRefusedError):
            create(make_directory(1), configuration_id="cfg-NOPE", project_id="prj-1").execute(context)

        assert context["ti"].xcoms["llamacloud_url"] == "https://ui.example.com/project/prj-1"

    def test_a_sensor_has_it_before_it_defers(self, batch, context, project):
        with pytest.raises(TaskDeferred):
            BatchSensor(task_id="wait", batch_id=batch.id).execute(context)

        assert context["ti"].xcoms["llamacloud_url"] == project

    @pytest.mark.parametrize("kind", ["cancel", "upload", "save", "jobs"])
    def test_the_others_lead_to_the_connections_project(
        self, kind, batch, context, tmp_path, connect, emulator
    ):
        connect(password=emulator.api_key, host=emulator.url, extra={"project_id": batch.project_id})
        (tmp_path / "a.txt").write_text("hello")
        task = {
            "cancel": CancelBatchOperator(task_id="a", batch_id=batch.id),
            "upload": UploadDirectoryOperator(task_id="b", source=str(tmp_path)),
            "save": SaveBatchResultsOperator(task_id="c", job_references=[], target=str(tmp_path / "out")),
            "jobs": BatchJobsSensor(task_id="d", job_references=[]),
        }[kind]

        task.execute(context)

        assert context["ti"].xcoms["llamacloud_url"].endswith(f"/project/{batch.project_id}")

    def test_where_there_is_no_page_it_is_empty(self, make_directory, context, monkeypatch):
        monkeypatch.delenv("AIRFLOW__LLAMABATCH__UI_HOST")

        create(make_directory(1)).execute(context)

        assert context["ti"].xcoms["llamacloud_url"] == ""

    def test_nothing_is_pushed_where_no_links_are_wanted(self, make_directory, context, monkeypatch):
        monkeypatch.setenv("AIRFLOW__LLAMABATCH__UI_HOST", "none")

        create(make_directory(1)).execute(context)

        assert "llamacloud_url" not in context["ti"].xcoms


def test_a_task_that_defers_says_what_comes_next(hook, make_directory, context, monkeypatch, caplog, capfd):
    now = 1_800_000_000.0
    batch = hook.create_batch(source_directory_id=make_directory(1), configuration_id="cfg-PARSE_AGENTIC")
    monkeypatch.setattr(time, "time", lambda: now)
    caplog.set_level(logging.INFO)
    with pytest.raises(TaskDeferred) as deferred:
        BatchSensor(task_id="wait", batch_id=batch.id, timeout=3600, poll_interval=20).execute(context)

    first = deferred.value.trigger.first_look_at - now
    plan = f"first poll in {first:.0f} s, then at least every 20 s, until 2027-01-15 09:00:00+00:00"
    said = caplog.text + "".join(capfd.readouterr())
    assert f"Batch {batch.id} is left to a triggerer: {plan}" in said


@pytest.mark.skipif(not airflow_compat.AIRFLOW_3, reason="Airflow 2 is asked through its database")
class TestTriggerers:
    """The health page of Airflow's API server."""

    @pytest.fixture
    def api_server(self, monkeypatch):
        with Recorder(lambda asked: NO_TRIGGERER) as server:
            monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"{server.url}/execution/")
            yield server

    def test_a_task_that_defers_warns_when_no_triggerer_is_alive(
        self, make_directory, context, api_server, caplog
    ):
        with pytest.raises(TaskDeferred):
            create(make_directory(1), wait_for_completion=True, deferrable=True).execute(context)

        [asked] = api_server.asked
        assert (asked.method, asked.path, asked.authorization) == ("GET", "/api/v2/monitor/health", None)

    def test_the_warning_names_the_heartbeat_and_what_to_do(self, api_server, caplog):
        deferring.warn_without_triggerer(logging.getLogger("a.task"))  # type: ignore[arg-type]  # also has .warning

        assert "No triggerer is alive (last heartbeat: 2026-01-01T00:00:00Z)" in caplog.text
        assert "airflow triggerer" in caplog.text

    def test_a_page_that_drips_holds_no_task_up(self, monkeypatch):
        gone = threading.Event()

        def drip(server: socket.socket) -> None:
            with server.accept()[0] as asker, contextlib.suppress(OSError):
                asker.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not gone.wait(0.5):
                    asker.sendall(b" ")

        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/execution/"
            monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", url)
            threading.Thread(target=drip, args=(server,), daemon=True).start()
            threading.Timer(8.0, gone.set).start()
            began = time.monotonic()
            deferring.warn_without_triggerer(logging.getLogger("a.task"))  # type: ignore[arg-type]  # has .warning
            gone.set()
        assert time.monotonic() - began < 2 * defaults.HEALTH_TIMEOUT

    def test_a_test_with_the_pytest_plugin_asks_nobody(self, api_server, llamacloud, caplog):
        deferring.warn_without_triggerer(logging.getLogger("a.task"))  # type: ignore[arg-type]  # also has .warning

        assert (api_server.asked, caplog.text) == ([], "")

    def test_a_wait_on_the_worker_asks_nobody(
        self, make_directory, context, api_server, emulator, monkeypatch
    ):
        monkeypatch.setattr("time.sleep", emulator.control.advance)

        create(make_directory(1), wait_for_completion=True, deferrable=False).execute(context)

        assert api_server.asked == []


@pytest.mark.skipif(airflow_compat.AIRFLOW_3, reason="tasks of Airflow 3 cannot read the database")
def test_a_task_of_airflow_2_reads_in_the_database_that_no_triggerer_ever_ran(caplog):
    deferring.warn_without_triggerer(logging.getLogger("a.task"))  # type: ignore[arg-type]  # also has .warning

    assert "No triggerer is alive (last heartbeat: never)" in caplog.text


class TestFailures:
    """What the log shows of a failure: the sentence and few frames, not the way to the socket."""

    def frames(self, error):
        assert error.__cause__ is None
        assert error.__suppress_context__
        return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]

    def test_a_refusal_has_no_frames_of_the_client(self, connection, context):
        with pytest.raises(RequestRefusedError) as raised:
            create("dir-nope").execute(context)

        assert not any("llamacloud/" in file or "tenacity" in file for file in self.frames(raised.value))

    def test_neither_has_trouble_that_may_pass(self, connect, context, no_waiting):
        connect(password="llx-1", host="http://127.0.0.1:9", extra={"max_attempts": 1})

        with pytest.raises(NoResponseError) as raised:
            CancelBatchOperator(task_id="a", batch_id="bat-1").execute(context)

        assert "check the connection's host" in str(raised.value).lower()
        assert not any("llamacloud/" in file or "tenacity" in file for file in self.frames(raised.value))

    def test_the_whole_way_is_logged_for_whoever_wants_it(self, connection, context, caplog):
        with caplog.at_level(logging.DEBUG), pytest.raises(RequestRefusedError):
            create("dir-nope").execute(context)

        assert "llamacloud/transport.py" in caplog.text


@pytest.mark.parametrize("given", ["bat-1", [{"a": 1}], None])
@pytest.mark.parametrize("kind", [BatchJobsSensor, SaveBatchResultsOperator])
def test_what_are_no_job_references_fails_at_once_without_a_request(
    kind, given, emulator, connection, context, tmp_path
):
    more = {"target": str(tmp_path)} if kind is SaveBatchResultsOperator else {}
    task = kind(task_id="a", job_references=given, **more)
    with pytest.raises(
        RequestRefusedError, match=r"^job_references: must be the list that BatchSensor returned"
    ):
        task.execute(context)

    assert emulator.control.requests() == []
