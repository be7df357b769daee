"""What the doctor makes of what it found, as tables."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_llamabatch import airflow_compat
from airflow_provider_llamabatch.cli import checks
from airflow_provider_llamabatch.cli.batches import since
from airflow_provider_llamabatch.cli.checks import FAIL, OK, UNKNOWN, WARN
from airflow_provider_llamabatch.execution import deferring
from airflow_provider_llamabatch.llamacloud.models import Project

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("ahead", "result"),
    [(0, OK), (-29, OK), (31, WARN), (-31, WARN), (3599, WARN), (3601, FAIL), (-3700, FAIL)],
)
def test_the_clock_is_judged_by_what_a_lost_submission_tolerates(ahead, result):
    finding = checks.of_clock(formatdate(NOW, usegmt=True), NOW + ahead)

    assert finding.result == result
    assert bool(finding.advice) is (result != OK)


KNOWN = ("project_id", "timeout_seconds", "verify")


@pytest.mark.parametrize(
    ("extras", "result", "said"),
    [
        ({}, OK, "c leads to https://h"),
        ({"project_id": "", "verify": True}, OK, "c leads to https://h"),
        (
            {"timout_seconds": 5},
            WARN,
            "nothing reads its extra 'timout_seconds' (did you mean timeout_seconds?)",
        ),
        ({"Project-Id": 5}, WARN, "'Project-Id' (did you mean project_id?)"),
        ({"projectid": 5, "zzz": 1}, WARN, "extras 'projectid' (did you mean project_id?), 'zzz'"),
    ],
)
def test_an_extra_that_nothing_reads_is_named_with_what_was_meant(extras, result, said):
    finding = checks.of_connection("c", "https://h", extras, KNOWN)

    assert finding.result == result
    assert finding.found.endswith(said)
    assert bool(finding.advice) is (result == WARN)


@pytest.mark.parametrize(
    ("given", "is_deferred", "result", "said"),
    [
        ([], True, OK, "waits are deferred"),
        (["poll_interval"], False, WARN, "waits hold a worker"),
        (
            ["pol_interval"],
            False,
            WARN,
            "the option 'pol_interval' (did you mean poll_interval?) of [llamabatch]",
        ),
        (["zzz", "a_b", "poll_interval"], True, WARN, "the options 'zzz', 'a_b' of [llamabatch]"),
    ],
)
def test_an_option_that_nothing_reads_is_named_with_what_was_meant(given, is_deferred, result, said):
    finding = checks.of_configuration(given, ["poll_interval", "api_host"], is_deferred=is_deferred)

    assert finding.result == result
    assert said in finding.found
    assert bool(finding.advice) is (result == WARN)


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_response_without_a_date_says_nothing_of_the_clock(date):
    assert checks.of_clock(date, NOW).result == UNKNOWN


@pytest.mark.parametrize(
    ("projects", "configured", "result"),
    [
        (["a"], None, OK),
        ([], None, OK),
        (["a", "b"], None, WARN),
        (["a", "b"], "b", OK),
        (["a"], "b", FAIL),
        ([], "b", FAIL),
    ],
)
def test_the_project_is_one_of_the_keys(projects, configured, result):
    finding = checks.of_projects([Project(id=one) for one in projects], configured)

    assert finding.result == result
    assert bool(finding.advice) is (result in (WARN, FAIL))


@pytest.mark.parametrize(
    ("alive", "waiting", "needed", "result"),
    [
        ([], 0, True, FAIL),
        ([], 3, False, WARN),
        (["a"], 80, True, OK),
        (["a"], 81, True, WARN),
        (["a", "b"], 81, True, OK),
    ],
)
def test_triggerers_are_judged_by_their_number_and_their_places(alive, waiting, needed, result):
    finding = checks.of_triggerers(alive, waiting, capacity=100, needed=needed)

    assert finding.result == result
    assert bool(finding.advice) is (result != OK)


@pytest.mark.parametrize(("length", "result"), [(1024, OK), (1000, OK), (999, WARN)])
def test_a_task_per_file_of_a_full_batch_can_be_mapped(length, result):
    assert checks.of_max_map_length(length).result == result


@pytest.mark.parametrize(
    ("health", "heartbeat"),
    [
        ({"triggerer": {"status": "healthy", "latest_triggerer_heartbeat": "now"}}, None),
        ({"triggerer": {"status": "unhealthy", "latest_triggerer_heartbeat": "then"}}, "then"),
        ({"triggerer": {"status": None, "latest_triggerer_heartbeat": None}}, ""),
        ({"metadatabase": {"status": "unhealthy"}, "triggerer": {"status": "unhealthy"}}, None),
        ({"triggerer": {}}, None),
        ({"detail": "Not Found"}, None),
        ([], None),
        (None, None),
    ],
)
def test_only_a_health_page_that_says_so_makes_a_task_warn(health, heartbeat):
    assert deferring.triggerer_of(health) == heartbeat


class Log:
    """A log that keeps its lines."""

    def __init__(self):
        self.lines = []

    def debug(self, *line):
        self.lines.append(("debug", *line))

    def warning(self, *line):
        self.lines.append(("warning", *line))


@pytest.mark.skipif(not airflow_compat.AIRFLOW_3, reason="Airflow 2 is asked through its database")
def test_a_server_that_cannot_be_asked_never_fails_a_task(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:9/execution/")
    log: Any = Log()

    deferring.warn_without_triggerer(log)

    assert [level for level, *_ in log.lines if level == "warning"] == []


def test_how_long_ago_and_when_are_both_understood():
    from datetime import UTC, datetime

    now = datetime(2026, 1, 2, 12, tzinfo=UTC)

    assert since("90m", now) == datetime(2026, 1, 2, 10, 30, tzinfo=UTC)
    assert since("7d", now) == datetime(2025, 12, 26, 12, tzinfo=UTC)
    assert since("2026-01-01T06:00", now) == datetime(2026, 1, 1, 6, tzinfo=UTC)
    assert since("2026-01-01T06:00+02:00", now) == datetime(2026, 1, 1, 4, tzinfo=UTC)
