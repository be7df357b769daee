from __future__ import annotations

import logging
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_llamabatch import metrics, tracing
from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.batches.submission import Action, Decision, Submission
from airflow_provider_llamabatch.documents.manifest import Row
from airflow_provider_llamabatch.execution.uploading import Uploaded
from airflow_provider_llamabatch.llamacloud.errors import RateLimitedError
from tests.support.dashboard import asked_for, in_prometheus, queries

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(llamabatch\.[\w.]+)` \| (counter|timer) \| (?:(.*?) )?\| .+ \|$", re.MULTILINE)
TAG = re.compile(r"`(\w+)`: ((?:`\w+`(?:, )?)+)")


class Sent:
    """What would be sent, in order."""

    def __init__(self):
        self.lines = []

    def incr(self, name, value=1, tags=None):
        self.lines.append((name, value, tags or {}))

    def timing(self, name, value, tags=None):
        self.lines.append((name, value, tags or {}))


@pytest.fixture
def sent(monkeypatch):
    sent = Sent()
    monkeypatch.setattr(metrics, "stats", lambda: sent)
    return sent


def test_the_page_lists_every_metric_with_its_kind_its_tags_and_their_values():
    rows = {name: (kind, tags_in(tags)) for name, kind, tags in ROW.findall(PAGE.read_text())}
    assert rows == {
        metric.name: (metric.kind, {tag: tuple(map(str, values)) for tag, values in metric.tags.items()})
        for metric in metrics.METRICS
    }


def tags_in(cell):
    return {tag: tuple(re.findall(r"`(\w+)`", values)) for tag, values in TAG.findall(cell)}


def test_every_metric_that_is_defined_is_in_the_list():
    defined = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]
    assert list(metrics.METRICS) == defined


def test_the_page_lists_every_span():
    for span in tracing.SPANS:
        assert f"| `{span}` |" in PAGE.read_text()


def test_every_decision_and_every_reason_has_its_value():
    assert set(metrics.SUBMISSIONS.tags["decision"]) == set(Action) - {Action.LOOK_UP}
    assert set(metrics.WAITS_ENDED.tags["reason"]) == set(Reason)


def test_a_word_of_the_service_that_nobody_knows_makes_no_series_of_its_own(sent):
    metrics.jobs_ended({"COMPLETED": 2, "BRAND_NEW": 1})
    assert sent.lines == [
        ("llamabatch.jobs", 2, {"status": "COMPLETED"}),
        ("llamabatch.jobs", 1, {"status": "other"}),
    ]


@pytest.mark.parametrize(
    ("recorded", "resumed"),
    [
        (None, ["fresh_submit"]),
        (Action.REJOIN, ["reconnect_attempt", "reconnect_success"]),
        (Action.RETURN, ["reconnect_attempt", "already_succeeded"]),
        (Action.SUBMIT, ["reconnect_attempt", "terminal_resubmit"]),
    ],
)
def test_submissions_are_counted_by_decision_and_under_airflows_names_where_there_is_a_record(
    sent, recorded, resumed
):
    submission = Submission("bat-1", None, Decision(Action.SUBMIT, reason="nothing was recorded"), recorded)
    metrics.submitted(submission, keeps_record=False)
    assert [line[0] for line in sent.lines] == ["llamabatch.submissions"]
    metrics.submitted(submission, keeps_record=True)
    assert [line[0] for line in sent.lines[2:]] == [f"resumable_job.{name}" for name in resumed]


def test_a_wait_is_counted_and_timed(sent):
    metrics.wait_ended("batch", Reason.TIMED_OUT, 90.5)
    tags = {"kind": "batch", "reason": "timed_out"}
    assert sent.lines == [
        ("llamabatch.waits.ended", 1, tags),
        ("llamabatch.waits.duration", timedelta(seconds=90.5), tags),
    ]


def test_a_poll_that_fails_is_counted_as_such_and_still_fails(sent):
    with pytest.raises(KeyError), metrics.polling("get"):
        raise KeyError
    with metrics.polling("list_page"):
        pass
    assert [tags for _, _, tags in sent.lines] == [
        {"request": "get", "result": "error"},
        {"request": "list_page", "result": "ok"},
    ]


def test_retries_are_counted_by_the_kind_of_error(sent):
    class SpecialError(RateLimitedError):
        """An error that is a little more special."""

    metrics.retried(SpecialError.__new__(SpecialError))
    metrics.retried(ValueError())
    assert [tags["error"] for _, _, tags in sent.lines] == ["RateLimitedError", "other"]


DONE = Row("a.pdf", "COMPLETED", path="/out/a.pdf.md", reused=True)
FAILED = Row("b.pdf", "FAILED", error="PDF_IS_BROKEN", reused=True)


def test_an_upload_counts_its_files_and_leaves_out_what_is_nothing(sent):
    metrics.files_uploaded(Uploaded(uploaded=3, kept=0, bytes=70), reused=[DONE, FAILED], skipped=0)
    assert sent.lines == [
        ("llamabatch.files", 3, {"result": "uploaded"}),
        ("llamabatch.files", 1, {"result": "reused"}),
        ("llamabatch.files", 1, {"result": "failed_before"}),
        ("llamabatch.uploaded_bytes", 70, {}),
    ]


def test_a_save_counts_documents_pages_and_credits_once(sent):
    metrics.documents_saved(
        [
            Row("a.pdf", "COMPLETED", pages=5, pages_failed=2, credits=1.5),
            Row("b.pdf", "FAILED", credits=0.25),
            Row("c.pdf", "COMPLETED", pages=9, credits=9, reused=True),
        ]
    )
    assert sent.lines == [
        ("llamabatch.documents", 1, {"status": "COMPLETED"}),
        ("llamabatch.documents", 1, {"status": "FAILED"}),
        ("llamabatch.pages", 3, {"result": "ok"}),
        ("llamabatch.pages", 2, {"result": "failed"}),
        ("llamabatch.credits", 1.75, {}),
    ]


def test_a_metric_that_cannot_be_sent_is_no_reason_to_fail(monkeypatch, caplog):
    def broken():
        raise OSError("no network")

    monkeypatch.setattr(metrics, "stats", broken)
    with caplog.at_level(logging.DEBUG):
        metrics.wait_ended("batch", Reason.COMPLETED, 1)
    assert "llamabatch.waits.duration was not sent" in caplog.text


def test_a_process_that_runs_triggers_sends_what_it_counts():
    """Airflow 3.2 and 3.3 have two ``Stats``, and a triggerer itself sets up only the one of the core."""
    code = """
import os, socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
receiver.settimeout(20)
os.environ["AIRFLOW__METRICS__STATSD_ON"] = "True"
os.environ["AIRFLOW__METRICS__STATSD_PORT"] = str(receiver.getsockname()[1])
import airflow.triggers.base
from airflow_provider_llamabatch import metrics
metrics.wait_started("batch", "triggerer")
line = ""
while "llamabatch" not in line:
    line = receiver.recv(1000).decode()
print(line)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert "airflow.llamabatch.waits.started" in done.stdout, done.stderr


@pytest.mark.parametrize("query", queries())
def test_the_dashboard_asks_only_for_what_there_is(query):
    labels = {in_prometheus(metric.name): set(metric.tags) for metric in metrics.METRICS}
    names, asked = asked_for(query)
    assert names
    assert names <= labels.keys()
    assert all(asked <= labels[name] for name in names)


def test_the_dashboard_shows_every_metric():
    shown = {name for query in queries() for name in asked_for(query)[0]}
    assert shown == {in_prometheus(metric.name) for metric in metrics.METRICS}


def test_a_span_has_its_attributes_and_ends_with_the_block(monkeypatch):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    with tracing.span("llamabatch.submit", batch_id="bat-1", directory_id=None) as current:
        current.set_attribute("llamabatch.decision", "submit")
    [span] = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {"llamabatch.batch_id": "bat-1", "llamabatch.decision": "submit"}


def test_a_span_where_nobody_traces_is_nothing():
    with tracing.span("llamabatch.save", documents=3) as current:
        current.set_attribute("llamabatch.anything", 1)
