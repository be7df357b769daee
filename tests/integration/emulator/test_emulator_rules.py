"""When faults fire, and what settings refuse."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_llamabatch.emulator import Fault, LlamaCloudEmulator, Settings
from airflow_provider_llamabatch.emulator.faults import FaultRules


def fired(book: FaultRules, count: int) -> list[bool]:
    return [book.pick("GET", "/api/v2/batches") is not None for _ in range(count)]


@pytest.mark.parametrize(
    ("scope", "shots"),
    [
        ({}, [True] * 6),
        ({"times": 2}, [True, True, False, False, False, False]),
        ({"every": 3}, [False, False, True, False, False, True]),
        ({"every": 2, "times": 1}, [False, True, False, False, False, False]),
        ({"probability": 0.0}, [False] * 6),
        ({"probability": 1.0}, [True] * 6),
        ({"method": "POST"}, [False] * 6),
        ({"path": "/parse"}, [False] * 6),
    ],
)
def test_a_fault_fires_when_it_is_due(scope: dict[str, Any], shots: list[bool]) -> None:
    book = FaultRules()
    book.add(Fault(kind="drop_before", **scope))
    assert fired(book, 6) == shots


def test_a_seed_makes_a_chance_fault_repeatable() -> None:
    books = [FaultRules(), FaultRules()]
    for book in books:
        book.add(Fault(kind="drop_before", probability=0.5, seed=7))
    first, second = (fired(book, 50) for book in books)
    assert first == second
    assert set(first) == {True, False}


def test_the_first_fault_that_is_due_fires_and_then_the_next() -> None:
    book = FaultRules()
    book.add(Fault(kind="status", status=503, times=1))
    book.add(Fault(kind="html"))
    picked = [book.pick("GET", "/x") for _ in range(3)]
    assert [rule.fault.kind if rule else None for rule in picked] == ["status", "html", "html"]


@pytest.mark.parametrize(
    "bad",
    [{"kind": "status"}, {"kind": "delay"}, {"kind": "nonsense"}, {"kind": "html", "path": "("}, {"oops": 1}],
)
def test_a_fault_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate({"kind": "html", **bad})


def test_settings_refuse_unknown_names_and_bad_values() -> None:
    for bad in ({"batch_speed": 1}, {"batch_pending_seconds": -1}, {"jobs_finish": "never"}):
        with pytest.raises(ValidationError):
            Settings().changed(**bad)


def test_faster_settings_shorten_everything_that_takes_time() -> None:
    faster = Settings(batch_running_seconds=4, job_lag_seconds=10).faster(2)
    assert (faster.batch_running_seconds, faster.job_lag_seconds, faster.default_page_size) == (2, 5, 10)


def test_several_emulators_can_be_started_at_once() -> None:
    with ThreadPoolExecutor(8) as threads, ExitStack() as running:
        emulators = [LlamaCloudEmulator() for _ in range(8)]
        for emulator in emulators:
            running.push(emulator)
        started = list(threads.map(LlamaCloudEmulator.__enter__, emulators))
        assert len({emulator.url for emulator in started}) == 8
