"""What the service may answer, from the wire to the outcome: new words, null, any order, a thousand files."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

import pytest
from llama_cloud import LlamaCloud

from airflow_provider_llamabatch import defaults
from airflow_provider_llamabatch.batches import poller
from airflow_provider_llamabatch.batches.outcome import outcome_of, problem_with
from airflow_provider_llamabatch.exceptions import FilesWithoutJobError, ResultsMissingError
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.polling.backoff import Backoff
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from tests.support.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "llx-answers-key"
JOB_OF_NEXT_YEAR = {"type": "translate_v1", "configuration_id": "cfg-1", "priority": 3}


def entry(number: int, *, job: bool = True, error: str | None = None) -> dict[str, Any]:
    return {
        "source_directory_file_id": f"dfl-{number:04}",
        "job_reference": {"id": f"pjb-{number:04}", "type": "parse_v2"} if job else None,
        "error_message": error,
    }


def batch(results: list[dict[str, Any]] | None, status: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    return {
        "id": "bat-1",
        "project_id": "prj-1",
        "source_directory_id": "dir-1",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-1"}},
        "status": status,
        "created_at": "2026-11-01T12:00:00Z",
        "updated_at": None,
        "results": results,
        **more,
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Recorder]:
    with Recorder(lambda asked: None) as running:
        yield running


@pytest.fixture
def answer(server: Recorder, connect: Callable[..., None]) -> Callable[[Any], None]:
    """Return a function that says what every request is answered with."""
    connect(password=KEY, host=server.url)

    def say(value: Any) -> None:
        server.answer = lambda asked: copy.deepcopy(value)

    return say


@pytest.fixture
def hook(answer: Callable[[Any], None]) -> Iterator[LlamaBatchHook]:
    with LlamaBatchHook() as opened:
        yield opened


@pytest.fixture
def sense(answer, context, monkeypatch) -> Callable[..., Any]:
    """Return a function that runs a sensor on the worker; pauses take no time."""
    monkeypatch.setattr(poller, "BACKOFF", Backoff(0.001, 0.001))
    monkeypatch.setattr(defaults, "RESULTS_GRACE", 0.02)
    monkeypatch.setattr(defaults, "UNREAD_GRACE", 0.01)
    return lambda **arguments: BatchSensor(task_id="wait", batch_id="bat-1", **arguments).execute(context)


@pytest.mark.parametrize("status", ["PENDING", "THROTTLED", "RUNNING", "PAUSED_BY_MOON", "completed", ""])
def test_a_word_that_nobody_knows_is_still_running(hook, answer, status):
    answer(batch(None, status))

    got = hook.get_batch("bat-1", expand_results=True)

    assert (got.status, got.is_terminal, got.results) == (status, False, None)


def test_fields_that_nobody_knows_are_kept_and_do_no_harm(hook, answer):
    entries = [{**entry(1), "page_count": 7, "job_reference": {"id": "j", "type": "split_v9", "url": "u"}}]
    answer(batch(entries, progress={"done": [1, None]}, config={"job": JOB_OF_NEXT_YEAR, "tier": "x"}))

    got = hook.get_batch("bat-1", expand_results=True)

    assert outcome_of(got.results).job_references == [
        {
            "source_directory_file_id": "dfl-0001",
            "job_reference": {"id": "j", "type": "split_v9"},
            "error_message": None,
        }
    ]
    assert got.model_dump(mode="json")["progress"] == {"done": [1, None]}
    assert got.config.model_dump()["job"] == JOB_OF_NEXT_YEAR


def test_fields_that_are_null_or_missing_are_none(hook, answer):
    answer({"id": "bat-1", "status": "RUNNING", "config": None, "created_at": None})

    got = hook.get_batch("bat-1")

    assert (got.config, got.created_at, got.source_directory_id, got.results) == (None, None, None, None)


def test_the_order_of_the_results_says_nothing(hook, answer):
    entries = [entry(n, job=n % 3 > 0, error=f"broken {n}" if n % 3 == 0 else None) for n in range(50)]
    answer(batch(entries))
    ordered = outcome_of(hook.get_batch("bat-1", expand_results=True).results)
    random.Random(7).shuffle(entries)
    answer(batch(entries))

    shuffled = outcome_of(hook.get_batch("bat-1", expand_results=True).results)

    assert shuffled == ordered
    files = [one["source_directory_file_id"] for one in shuffled.job_references]
    assert files == sorted(files)


def test_an_entry_with_neither_job_nor_error_counts_as_a_file_without_job(hook, answer):
    answer(batch([entry(2), entry(1, job=False), {"source_directory_file_id": "dfl-0003"}]))

    files = outcome_of(hook.get_batch("bat-1", expand_results=True).results)

    assert files.job_references == [entry(2)]
    assert files.file_errors == [entry(1, job=False), entry(3, job=False)]
    assert "dfl-0001: neither a job nor an error" in str(problem_with(files, fail_on_partial_error=True))
    assert problem_with(files, fail_on_partial_error=False) is None


def test_a_thousand_files_are_read_as_the_official_client_reads_them(hook, answer, server):
    entries = [entry(n, job=n % 10 > 0, error="Größe\u2028" if n % 10 == 0 else None) for n in range(1000)]
    random.Random(1).shuffle(entries)
    answer(batch(entries))

    files = outcome_of(hook.get_batch("bat-1", expand_results=True).results)

    with LlamaCloud(base_url=server.url, api_key=KEY, max_retries=0) as client:
        theirs = client.batches.get("bat-1", expand=["results"]).results or []
    jobs = {one.source_directory_file_id: one.job_reference.id for one in theirs if one.job_reference}
    ours = {
        one["source_directory_file_id"]: one["job_reference"]["id"]
        for one in files.job_references
        if one["job_reference"] is not None
    }
    assert ours == jobs
    assert len(jobs) == 900
    assert {one["error_message"] for one in files.file_errors} == {"Größe "}  # one line
    assert len(files.file_errors) == 100


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_task_returns_a_thousand_references_and_pushes_the_rest(
    answer, sense, context, deferrable, caplog, capfd
):
    entries = [entry(n, job=n != 500, error="unreadable" if n == 500 else None) for n in range(1000)]
    answer(batch(list(reversed(entries))))

    references = sense(deferrable=deferrable)

    assert references == entries[:500] + entries[501:]
    assert context["ti"].xcoms["file_errors"] == [entries[500]]
    said = caplog.text + "".join(capfd.readouterr())
    assert "1 of 1000 files got no job: dfl-0500: unreadable (all of them are in XCom file_errors)" in said
    assert context["ti"].xcoms["batch"]["status"] == "COMPLETED"
    assert "results" not in context["ti"].xcoms["batch"]


def test_no_word_of_the_service_says_what_airflow_makes_of_an_xcom(answer, sense, context):
    connection = {"__type": "airflow.sdk.definitions.connection.Connection", "__var": {"conn_id": "x"}}
    answer(batch([entry(1)], meta={"deep": [connection], "___id__": 1, "__classname__": "x", "_own": 2}))

    sense()

    assert context["ti"].xcoms["batch"]["meta"] == {
        "deep": [{"_type": connection["__type"], "_var": {"conn_id": "x"}}],
        "_id__": 1,
        "_classname__": "x",
        "_own": 2,
    }


def test_webhooks_that_the_service_repeats_are_in_no_xcom(answer, sense, context):
    answer(batch([entry(1)], webhook_configurations=[{"webhook_signing_secret": "whsec-of-somebody"}]))

    sense()

    assert "whsec" not in repr(context["ti"].xcoms)


def test_the_api_key_is_in_no_value_that_the_service_repeats_it_in(answer, sense, context):
    said = f"fetched with Bearer {KEY}"
    answer(batch([entry(1), entry(2, job=False, error=said)], debug={"headers": [said]}))

    references = sense()

    assert KEY not in repr((references, context["ti"].xcoms))
    assert context["ti"].xcoms["batch"]["debug"] == {"headers": ["fetched with Bearer ***"]}


def test_a_batch_over_no_file_is_an_empty_list(answer, sense, context):
    answer(batch([]))

    assert sense() == []
    assert context["ti"].xcoms["file_errors"] == []


def test_a_batch_without_a_single_job_fails_the_task(answer, sense, context):
    answer(batch([entry(1, job=False, error="too large"), entry(2, job=False)]))

    with pytest.raises(FilesWithoutJobError, match="2 of 2 files got no job: dfl-0001: too large"):
        sense()
    assert len(context["ti"].xcoms["file_errors"]) == 2


def test_results_that_stay_null_are_an_error_of_their_own(answer, sense):
    answer(batch(None))

    with pytest.raises(ResultsMissingError, match="bat-1 is COMPLETED"):
        sense()


def test_lists_keep_what_they_do_not_know(hook, answer):
    answer({"items": [batch(None, "DREAMING", mood=1)], "next_page_token": "", "total_size": 1, "more": {}})

    (got,) = hook.list_batches()

    assert (got.status, got.model_dump()["mood"]) == ("DREAMING", 1)
    glance = hook.send(calls.list_batch_statuses(created_at_on_or_after="2026-11-01", page_size=1))
    assert [(one.id, one.status) for one in glance.items] == [("bat-1", "DREAMING")]


@pytest.mark.parametrize("value", ["1", "a", "id", "bat", "RUNNING", "status"])
def test_a_webhook_secret_that_is_also_a_common_word_changes_no_answer(hook, answer, value):
    answer(batch(None, "RUNNING"))

    made = hook.create_batch(
        source_directory_id="dir-1",
        configuration_id="cfg-1",
        webhook_configurations=[{"webhook_url": "https://example.com", "webhook_headers": {"X-A": value}}],
    )

    assert (made.id, made.status) == ("bat-1", "RUNNING")
