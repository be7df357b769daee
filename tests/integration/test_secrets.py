"""The API key and webhook secrets show nowhere: not in logs, exceptions, XComs, triggers, reprs or the emulator."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import traceback
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from airflow.providers.common.compat.sdk import DAG, TaskDeferred, redact

from airflow_provider_llamabatch.batches.submission import Request
from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.execution.submitting import Submitter
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from airflow_provider_llamabatch.llamacloud.retries import ONCE
from airflow_provider_llamabatch.llamacloud.transport import AsyncClient, Client
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import DeleteDirectoryOperator, UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from airflow_provider_llamabatch.triggers.assets import DirectoryBatchesTrigger
from airflow_provider_llamabatch.triggers.batch import BatchTrigger
from airflow_provider_llamabatch.triggers.jobs import JobsTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "llx-never-shown-Zq8Rt5"
SIGNING_SECRET = 'whsec-never-shown-"ö"-Bn3'
HEADER_VALUE = "Bearer never-shown-Hx7"
SECRETS = (KEY, SIGNING_SECRET, HEADER_VALUE)
WEBHOOKS = [
    {
        "webhook_url": "https://example.com/hook",
        "webhook_signing_secret": SIGNING_SECRET,
        "webhook_headers": {"Authorization": HEADER_VALUE},
    }
]
ECHO = " / ".join(SECRETS)
FAULTS: dict[str, dict[str, Any]] = {
    "401": {"kind": "status", "status": 401, "detail": f"not a key: {ECHO}"},
    "422": {
        "kind": "status",
        "status": 422,
        "detail": [
            {"loc": ["body", "webhook_configurations", 0], "msg": f"refused: {ECHO}", "input": WEBHOOKS[0]},
            {"loc": [ECHO], "msg": "unknown"},
        ],
    },
    "500": {"kind": "status", "status": 500, "detail": {"request": {"headers": [KEY], "body": WEBHOOKS}}},
    "html": {"kind": "html", "body": f"<html><p title='{ECHO}'>{ECHO}</p></html>"},
    "malformed": {"kind": "malformed"},
    "missing fields": {"kind": "missing_fields"},
    "dropped": {"kind": "drop_after"},
}
ECHOING_HEADERS: dict[str, dict[str, Any]] = {
    "correlation id": {"kind": "status", "status": 503, "headers": {"x-correlation-id": KEY}},
    "redirect": {"kind": "status", "status": 302, "headers": {"location": f"https://{KEY}.example/{KEY}"}},
}


def forms(secret: str) -> set[str]:
    """A secret as it is, as JSON writes it, and as Python does."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    }


def assert_hidden(shown: Any) -> None:
    text = shown if isinstance(shown, str) else f"{shown!r}\n{json.dumps(shown, default=repr)}"
    for secret in SECRETS:
        for form in forms(secret):
            assert form not in text


def everything_about(error: BaseException | None) -> str:
    """An exception, and whatever hangs on it, shown or not."""
    if error is None:
        return ""
    lines = traceback.format_exception(error, chain=False)
    own = f"{error}\n{error!r}\n{error.args}\n{vars(error)}\n{''.join(lines)}"
    return own + everything_about(error.__cause__) + everything_about(error.__context__)


@pytest.fixture
def hook(emulator, connect) -> Iterator[LlamaBatchHook]:
    emulator.control.set_api_key(KEY)
    connect(password=KEY, host=emulator.url)
    with LlamaBatchHook() as opened:
        yield opened


@pytest.fixture
def logged(monkeypatch) -> Callable[[], str]:
    """Return a function for what every logger of the process has said since, however quiet it was set."""
    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(f"{record.name} {self.format(record)} {record.args!r}")

    keep, root = Keep(), logging.getLogger()
    named = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    for logger in (root, *named):
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "_cache", {})
        if logger is root or not logger.propagate:
            monkeypatch.setattr(logger, "handlers", [keep])
    monkeypatch.setattr(root.manager, "disable", 0)
    return lambda: "\n".join(records)


def creating(directory_id: str) -> Any:
    return calls.create_batch(
        source_directory_id=directory_id,
        configuration_id="cfg-PARSE_AGENTIC",
        webhook_configurations=WEBHOOKS,
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: CreateBatchOperator(
            task_id="a", source_directory_id="d", configuration_id="c", llamabatch_conn_id=KEY
        ),
        lambda: CancelBatchOperator(task_id="a", batch_id="b", llamabatch_conn_id=KEY),
        lambda: UploadDirectoryOperator(task_id="a", source="s", llamabatch_conn_id=KEY),
        lambda: DeleteDirectoryOperator(task_id="a", directory_id="d", llamabatch_conn_id=KEY),
        lambda: SaveBatchResultsOperator(task_id="a", job_references=[], target="t", llamabatch_conn_id=KEY),
        lambda: BatchSensor(task_id="a", batch_id="b", llamabatch_conn_id=KEY),
        lambda: BatchJobsSensor(task_id="a", job_references=[], llamabatch_conn_id=KEY),
        lambda: BatchTrigger("b", llamabatch_conn_id=KEY),
        lambda: JobsTrigger({}, llamabatch_conn_id=KEY),
        lambda: DirectoryBatchesTrigger("d", llamabatch_conn_id=KEY),
        lambda: LlamaBatchHook(KEY).get_conn(),
        lambda: asyncio.run(LlamaBatchHook(KEY).aget_batch("bat-1")),
    ],
)
def test_a_key_in_place_of_the_connections_name_is_refused_unseen(make, logged):
    with pytest.raises(LlamaCloudError) as raised:
        make()

    assert str(raised.value).startswith(
        "llamabatch_conn_id: holds an API key (llx-...), not the name of an Airflow"
    )
    assert KEY not in str(raised.value) + logged()


def test_the_log_shows_every_loggers_lines(logged, hook):
    list(hook.list_batches())

    assert "httpcore.http11 send_request_headers" in logged()
    assert_hidden(logged())


async def test_a_task_from_submission_to_references_shows_no_secret(
    logged, hook, emulator, make_directory, context, capfd
):
    operator = CreateBatchOperator(
        task_id="create",
        source_directory_id=make_directory(),
        configuration_id="cfg-PARSE_AGENTIC",
        webhook_configurations=WEBHOOKS,
        wait_for_completion=True,
        deferrable=True,
    )
    operator.render_template_fields(context)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    trigger = deferred.value.trigger
    emulator.control.advance(60)
    trigger.first_look_at = None
    (event,) = [fired async for fired in trigger.run()]
    operator.execute_complete(context, event.payload)

    assert len(context["ti"].xcoms["job_references"]) == 3
    assert "Decided to submit" in logged() + "".join(capfd.readouterr())
    for shown in (
        context["ti"].xcoms,
        context["task_state_store"].values,
        trigger.serialize(),
        repr(trigger),
        repr(operator),
        event.payload,
        deferred.value.kwargs,
        [repr(seen) for seen in emulator.control.requests()],
        emulator.control.state(),
        logged(),
    ):
        assert_hidden(shown)


@pytest.mark.parametrize("fault", FAULTS)
async def test_trouble_shows_no_secret_even_if_the_service_repeats_it(
    fault, logged, hook, emulator, make_directory, capfd
):
    call = creating(make_directory())
    emulator.control.add_fault(method="POST", path="/batches$", **FAULTS[fault])

    with pytest.raises(LlamaCloudError) as raised:
        hook.send(call, ONCE)
    async with LlamaBatchHook() as twin:
        with pytest.raises(LlamaCloudError) as raised_there:
            await twin.asend(call, ONCE)

    assert str(call) in str(raised.value)
    assert_hidden(everything_about(raised.value))
    assert_hidden(everything_about(raised_there.value))
    assert_hidden(logged())
    assert_hidden("".join(capfd.readouterr()))


@pytest.mark.parametrize("fault", ECHOING_HEADERS)
def test_an_echo_in_a_header_stays_out_of_the_exception(fault, hook, emulator, make_directory):
    call = creating(make_directory())
    emulator.control.add_fault(method="POST", path="/batches$", **ECHOING_HEADERS[fault])

    with pytest.raises(LlamaCloudError) as raised:
        hook.send(call, ONCE)

    assert_hidden(everything_about(raised.value))


@pytest.mark.parametrize("fault", ["401", "422", "500", "html", *ECHOING_HEADERS])
def test_a_failed_task_says_why_without_a_secret(
    fault, hook, emulator, make_directory, context, no_waiting, monkeypatch
):
    monkeypatch.setattr("airflow_provider_llamabatch.batches.submission.ADOPTION_PAUSES", (0.0,))
    monkeypatch.setattr("airflow_provider_llamabatch.execution.submitting.sleep", lambda seconds: None)
    operator = CreateBatchOperator(
        task_id="create",
        source_directory_id=make_directory(),
        configuration_id="cfg-PARSE_AGENTIC",
        webhook_configurations=WEBHOOKS,
    )
    emulator.control.add_fault(method="POST", path="/batches$", **{**FAULTS, **ECHOING_HEADERS}[fault])

    with pytest.raises((LlamaCloudError, RequestRefusedError)) as raised:
        operator.execute(context)

    assert_hidden(everything_about(raised.value))
    assert_hidden(context["task_state_store"].values)


def test_a_connection_test_that_fails_shows_no_secret(hook, emulator):
    emulator.control.add_fault(kind="status", status=401, detail=f"not a key: {KEY}")

    ok, message = hook.test_connection()

    assert not ok
    assert "401" in message
    assert_hidden(message)


async def test_no_object_shows_a_secret_in_its_repr(hook, context):
    settings = hook.get_conn().settings
    call = creating("dir-1")
    request = Request("dir-1", "cfg-1", "parse_v2", "c")
    operator = CreateBatchOperator(
        task_id="create", source_directory_id="d", configuration_id="c", webhook_configurations=WEBHOOKS
    )
    with Client(settings) as client:
        async with AsyncClient(settings) as twin:
            for shown in (
                hook,
                client,
                twin,
                twin._redactor,
                twin._http,
                settings,
                call,
                str(call),
                request,
                operator,
                Submitter(hook, request, call, context, operator.log),
                operator.begin_poll(hook, "bat-1", deadline=0.0),
            ):
                assert_hidden(repr(shown))
    assert settings.api_key.get_secret_value() == KEY


def test_rendered_webhook_secrets_are_masked_from_then_on():
    templated = "whsec-rendered-Kp6"
    operator = CreateBatchOperator(
        task_id="create",
        source_directory_id="d",
        configuration_id="c",
        webhook_configurations=[
            {
                "webhook_url": "https://example.com",
                "webhook_signing_secret": "{{ secret }}",
                "webhook_headers": {"X-Any": "prefix-{{ secret }}"},
            }
        ],
    )
    assert templated in str(redact({"url": f"https://example.com/{templated}"}))

    operator.render_template_fields({"secret": templated})  # type: ignore[typeddict-unknown-key]

    assert operator.webhook_configurations is not None
    assert operator.webhook_configurations[0]["webhook_signing_secret"] == templated
    assert operator.webhook_configurations[0]["webhook_headers"] == {"X-Any": f"prefix-{templated}"}
    assert templated not in str(redact(list(operator.webhook_configurations)))
    assert templated not in str(redact(f"could not reach https://example.com/{templated}"))


def test_webhook_secrets_of_a_mapped_task_are_masked_before_its_fields_are_shown():
    templated = "rendered-in-a-mapped-task-Wd3"
    with DAG("mapped", schedule=None) as dag:
        mapped = CreateBatchOperator.partial(
            task_id="create",
            configuration_id="c",
            webhook_configurations=[
                {"webhook_url": "https://example.com", "webhook_headers": {"X-Any": "{{ secret }}"}}
            ],
        ).expand(source_directory_id=["dir-1", "dir-2"])
    run, ti = SimpleNamespace(conf={}), SimpleNamespace(map_index=0)
    context: Any = {"secret": templated, "ti": ti, "dag": dag, "dag_run": run, "run_id": "r"}
    context["expanded_ti_count"] = 2

    mapped.render_template_fields(context)

    [webhook] = context["task"].webhook_configurations
    assert webhook["webhook_headers"] == {"X-Any": templated}
    assert templated not in str(redact(webhook))


@pytest.fixture
def emulator_process(tmp_path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "airflow_provider_llamabatch.emulator", "--api-key", KEY]
    with (
        (tmp_path / "stderr").open("w") as stderr,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_the_emulator_says_nothing_but_its_url(emulator_process, tmp_path, connect):
    assert emulator_process.stdout is not None
    url = emulator_process.stdout.readline().strip()
    connect(password=KEY, host=url)
    faults = [*FAULTS.values(), *ECHOING_HEADERS.values(), {"kind": "status", "status": 599, "detail": ECHO}]
    with (
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as raw,
        LlamaBatchHook() as hook,
    ):
        call = creating(hook.send(calls.create_directory(name=ECHO)).id)
        for fault in faults:
            added = raw.post("/_emulator/faults", json={**fault, "method": "POST", "times": 1})
            assert added.status_code == 201
            with pytest.raises(LlamaCloudError):
                hook.send(call, ONCE)
        for body in (b"", b"{", b"[]", json.dumps({"config": ECHO}).encode(), b"\xff" * 1000):
            assert raw.post("/api/v2/batches", content=body).status_code == 422
        for odd in (raw.get("/nowhere"), raw.put("/api/v2/batches"), raw.get("/api/v2/batches?page_size=x")):
            assert odd.status_code >= 400
        wrong = raw.get("/api/v2/batches", headers={"Authorization": f"Bearer {KEY}x"})
        assert wrong.status_code == 401
        for told in ("requests", "counters", "settings", "clock"):
            assert_hidden(raw.get(f"/_emulator/{told}").json())
    emulator_process.terminate()

    assert emulator_process.wait(20) == 0
    assert emulator_process.stdout.read() == ""
    assert (tmp_path / "stderr").read_text() == ""
