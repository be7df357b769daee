from __future__ import annotations

from airflow_provider_llamabatch.documents.progress import Progress


def lines(total: int, times: list[float], failed: frozenset[int] = frozenset()) -> list[str]:
    clock = iter([0.0, *(time for time in times for _ in range(2))])
    now = [next(clock)]
    progress = Progress(total, lambda: now[0])
    said = []
    for number, time in enumerate(times):
        now[0] = time
        said.append(progress.add(failed=number in failed))
    return [line for line in said if line]


def test_a_line_every_twentieth_of_the_files_and_at_the_end():
    said = lines(1000, [0.0] * 1000, failed=frozenset({3, 999}))
    assert len(said) == 20
    assert said[0] == "50 of 1,000 done, 1 failed"
    assert said[-1] == "1,000 of 1,000 done, 2 failed"


def test_a_slow_task_speaks_every_half_minute():
    assert len(lines(1000, [float(second) for second in range(40)])) == 1
    assert lines(1000, [1.0, 31.0, 32.0]) == ["2 of 1,000 done, 0 failed"]


def test_the_last_file_is_told_of_also_between_two_steps():
    said = lines(41, [0.0] * 41)

    assert said[-2:] == ["39 of 41 done, 0 failed", "41 of 41 done, 0 failed"]


def test_half_a_minute_is_silence_enough():
    assert lines(1000, [29.9]) == []
    assert lines(1000, [30.0]) == ["1 of 1,000 done, 0 failed"]


def test_a_file_has_not_failed_unless_that_is_said():
    assert Progress(1, lambda: 0.0).add() == "1 of 1 done, 0 failed"


def test_a_few_files_are_named_one_by_one():
    assert lines(2, [0.0, 0.0]) == ["1 of 2 done, 0 failed", "2 of 2 done, 0 failed"]
