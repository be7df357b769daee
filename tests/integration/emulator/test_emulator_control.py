"""The control over HTTP, the journal, and the program."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import httpx
import pytest
from fastapi.routing import APIRoute

from airflow_provider_llamabatch.emulator import Control, Fault, LlamaCloudEmulator, Settings
from airflow_provider_llamabatch.emulator.routes import control as control_routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llama_cloud import LlamaCloud


@pytest.fixture
def control(emulator: LlamaCloudEmulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{emulator.url}/_emulator") as client:
        yield client


def test_settings_are_shown_and_changed(emulator: LlamaCloudEmulator, control: httpx.Client) -> None:
    assert control.get("/settings").json() == Settings().model_dump(mode="json")
    changed = control.patch("/settings", json={"batch_running_seconds": 9, "failed_pages": [1]}).json()
    assert (changed["batch_running_seconds"], changed["failed_pages"]) == (9, [1])
    assert emulator.control.settings.batch_running_seconds == 9


@pytest.mark.parametrize("bad", [{"no_such_setting": 1}, {"default_page_size": 0}])
def test_a_bad_setting_changes_nothing(control: httpx.Client, bad: dict[str, Any]) -> None:
    before = control.get("/settings").json()
    answer = control.patch("/settings", json={"batch_running_seconds": 9, **bad})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", next(iter(bad))])
    assert control.get("/settings").json() == before


def test_the_clock_is_moved_and_stopped(control: httpx.Client) -> None:
    start = control.get("/clock").json()
    assert start["frozen"] is True
    moved = control.post("/clock", json={"advance": 60}).json()
    assert moved["now"] == pytest.approx(start["now"] + 60)
    assert control.post("/clock", json={"freeze": False}).json()["frozen"] is False
    assert control.post("/clock", json={"advance": -1}).status_code == 422


def test_faults_are_added_shown_and_removed(emulator: LlamaCloudEmulator, control: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    added = control.post("/faults", json={"kind": "status", "status": 503, "path": "/batches"})
    assert added.status_code == 201
    assert httpx.get(f"{emulator.url}/api/v2/batches", headers=headers).status_code == 503
    (shown,) = control.get("/faults").json()
    assert (shown["id"], shown["fired"]) == (added.json()["id"], 1)
    assert control.post("/faults", json={"kind": "dance"}).status_code == 422
    assert control.delete(f"/faults/{shown['id']}").status_code == 204
    assert control.delete(f"/faults/{shown['id']}").status_code == 404
    control.post("/faults", json={"kind": "html"})
    assert control.delete("/faults").status_code == 204
    assert control.get("/faults").json() == []


def test_the_control_is_out_of_reach_of_the_faults(
    emulator: LlamaCloudEmulator, control: httpx.Client
) -> None:
    emulator.control.add_fault(kind="drop_before")
    assert control.get("/settings").status_code == 200
    assert emulator.control.requests() == []


def test_requests_and_counters_tell_what_happened(
    emulator: LlamaCloudEmulator, client: LlamaCloud, control: httpx.Client, make_batch: Callable[..., Any]
) -> None:
    batch = make_batch({"a.txt": b"Alpha"})
    client.batches.cancel(batch.id)
    client.batches.cancel(batch.id)
    emulator.control.add_fault(kind="drop_before", times=1)
    with pytest.raises(Exception, match="Connection error"):
        client.batches.list(page_size=5)
    seen = control.get("/requests").json()
    last = {name: seen[-1][name] for name in ("method", "path", "query", "status", "fault")}
    assert last == {
        "method": "GET",
        "path": "/api/v2/batches",
        "query": "page_size=5",
        "status": None,
        "fault": "drop_before",
    }
    assert seen[-2]["status"] == 200
    counters = control.get("/counters").json()
    assert counters["requests"] == len(seen) == 6
    assert counters["requests_by_route"]["POST /api/v2/batches/{batch_id}/cancel"] == 2
    assert counters["batches_by_directory"] == {batch.source_directory_id: 1}
    assert counters["cancels_by_batch"] == {batch.id: 2}
    state = control.get("/state").json()
    assert [(one["id"], one["status"], one["files"]) for one in state["batches"]] == [
        (batch.id, "PENDING", 1)
    ]
    assert state["directories"][0]["files"] == 1
    assert state["jobs"] == {}
    emulator.control.advance(60)
    assert control.get("/state").json()["batches"][0]["status"] == "CANCELLED"


def test_reset_forgets_everything(
    emulator: LlamaCloudEmulator, client: LlamaCloud, control: httpx.Client, make_batch: Callable[..., Any]
) -> None:
    make_batch()
    emulator.control.change(batch_running_seconds=9)
    emulator.control.add_fault(kind="html")
    emulator.control.set_api_key("llx-other")
    assert control.post("/reset").status_code == 204
    assert list(client.batches.list()) == []
    assert emulator.control.settings == Settings()
    assert emulator.control.clock()["frozen"] is False
    assert [seen.path for seen in emulator.control.requests()] == ["/api/v2/batches"]


def test_a_key_is_rotated_and_never_shown(emulator: LlamaCloudEmulator, control: httpx.Client) -> None:
    answer = control.put("/api-key", json={"api_key": "llx-rotated-secret"})
    assert (answer.status_code, answer.text) == (204, "")
    assert emulator.api_key == "llx-rotated-secret"
    for path in ("/settings", "/clock", "/faults", "/requests", "/counters", "/state"):
        assert "llx-rotated-secret" not in control.get(path).text


def test_the_key_of_another_project_is_no_new_key(
    emulator: LlamaCloudEmulator, control: httpx.Client
) -> None:
    other = control.post("/projects", json={"name": "other"}).json()
    answer = control.put("/api-key", json={"api_key": other["api_key"]})
    assert (answer.status_code, other["api_key"] in answer.text) == (422, False)
    with pytest.raises(ValueError, match="the key of another project"):
        emulator.control.set_api_key(other["api_key"])
    emulator.control.set_api_key(emulator.api_key)
    for key, is_others in ((emulator.api_key, False), (other["api_key"], True)):
        headers = {"Authorization": f"Bearer {key}"}
        projects = httpx.get(f"{emulator.url}/api/v1/projects", headers=headers).json()
        assert [one["id"] == other["project_id"] for one in projects] == [is_others]


def test_the_key_is_in_no_log_and_in_no_journal(
    emulator: LlamaCloudEmulator, client: LlamaCloud, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.control.set_api_key("llx-very-secret")
    with caplog.at_level(logging.DEBUG), httpx.Client(base_url=emulator.url) as http:
        for key in ("llx-very-secret", "llx-very-secret-but-wrong"):
            http.get("/api/v2/batches", headers={"Authorization": f"Bearer {key}"})
    mine = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert "very-secret" not in "".join(record.getMessage() for record in mine)
    assert "very-secret" not in repr(emulator.control.requests())


def test_two_emulators_do_not_know_each_other(emulator: LlamaCloudEmulator, client: LlamaCloud) -> None:
    client.beta.directories.create(name="x")
    with LlamaCloudEmulator(api_key="llx-two") as second:
        assert second.url != emulator.url
        assert second.control.state()["directories"] == []
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        assert httpx.get(f"{second.url}/api/v2/batches", headers=headers).status_code == 401


def test_a_taken_port_is_an_error_at_once(emulator: LlamaCloudEmulator) -> None:
    port = httpx.URL(emulator.url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"):
        LlamaCloudEmulator(port=port).__enter__()


def test_many_threads_may_ask_and_control_at_once(emulator: LlamaCloudEmulator, client: LlamaCloud) -> None:
    def act(number: int) -> int:
        emulator.control.advance(1)
        client.beta.directories.create(name=str(number))
        emulator.control.state()
        return len(client.beta.directories.list().items)

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(act, range(40))) == 10
    assert len(emulator.control.state()["directories"]) == 40


def test_unknown_paths_and_methods_are_refused_as_the_api_does(emulator: LlamaCloudEmulator) -> None:
    assert httpx.get(f"{emulator.url}/api/v9/nothing").json() == {"detail": "Not Found"}
    answer = httpx.delete(f"{emulator.url}/api/v2/batches")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


def start_program(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "airflow_provider_llamabatch.emulator", *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_prints_its_url_serves_quietly_and_ends_on_a_signal(number: signal.Signals) -> None:
    program = start_program(
        "--api-key", "llx-program-secret", "--speed", "10", "--set", "default_page_size=3"
    )
    assert program.stdout is not None
    try:
        url = program.stdout.readline().strip()
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer llx-program-secret"}) as http:
            settings = http.get("/_emulator/settings").json()
            assert (settings["batch_running_seconds"], settings["default_page_size"]) == (0.4, 3)
            http.post("/_emulator/faults", json={"kind": "drop_after", "times": 1})
            with pytest.raises(httpx.RemoteProtocolError):
                http.get("/api/v2/batches")
            assert http.get("/api/v2/batches", headers={"Authorization": "Bearer x"}).status_code == 401
            assert http.post("/api/v2/batches", content=b"{").status_code == 422
            broken = {"file": ("x.pdf", b"%PDF-1.4 broken")}
            assert http.post("/api/v1/beta/files", files=broken, data={"purpose": "parse"}).status_code == 201
        program.send_signal(number)
        out, err = program.communicate(timeout=20)
    finally:
        program.kill()
    assert (program.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    "options",
    [
        ("--api-key", ""),
        ("--speed", "0"),
        ("--speed", "inf"),
        ("--speed", "nan"),
        ("--set", "oops=1"),
        ("--set", "batch_running_seconds=-1"),
        ("--set", 'parse_credits={"agentic":Infinity}'),
        ("--set", "credits_available=NaN"),
        ("--set", 'file_results={"*":{"extract_result":{"total":Infinity}}}'),
    ],
)
def test_the_program_refuses_options_that_make_no_sense(options: tuple[str, ...]) -> None:
    program = start_program(*options)
    out, err = program.communicate(timeout=20)
    assert (program.returncode, out) == (2, "")
    assert "error:" in err.splitlines()[-1]  # below the usage


def test_a_setting_that_there_is_not_is_answered_with_those_there_are() -> None:
    _, err = start_program("--set", "batch_runing_seconds=1").communicate(timeout=20)
    assert "batch_runing_seconds: there is no such setting; there are " in err
    assert all(name in err for name in Settings.model_fields)


def test_a_port_that_is_none_is_said_in_one_line() -> None:
    program = start_program("--port", "99999")
    out, err = program.communicate(timeout=20)
    assert (program.returncode, out) == (1, "")
    assert err.startswith("The emulator cannot serve on 127.0.0.1:99999: ")
    assert err.count("\n") == 1


def test_importing_the_package_does_not_load_the_server() -> None:
    code = "import json, sys, airflow_provider_llamabatch; print(json.dumps([*sys.modules]))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert not {"fastapi", "starlette", "uvicorn", "pypdf", "markitdown"} & set(loaded)


def test_the_page_about_the_emulator_names_every_setting_fault_and_control() -> None:
    page = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text()
    kinds = get_args(Fault.model_fields["kind"].annotation)
    controls = [
        f"{name}(" for name, part in vars(Control).items() if callable(part) and not name.startswith("_")
    ]
    paths = {route.path for route in control_routes.api.router.routes if isinstance(route, APIRoute)}
    assert [name for name in (*Settings.model_fields, *kinds, *controls, *paths) if name not in page] == []


def test_without_the_extra_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; import airflow_provider_llamabatch.emulator"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "pip install 'airflow-provider-llamabatch[emulator]'" in run.stderr.splitlines()[-1]
