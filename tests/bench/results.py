"""How long a finished batch of 1,000 files takes from the answer's bytes to the value of the XCom.

Run as ``python -m tests.bench.results`` in a process of its own; prints one line of JSON, times in ms.
"""

from __future__ import annotations

import json
import random
import sys
import time
from statistics import median

from airflow_provider_llamabatch.batches.outcome import Outcome, outcome_of
from airflow_provider_llamabatch.llamacloud import calls

FILES = 1000
UNREADABLE_EVERY = 50
REPEATS = 25


def expanded_batch() -> bytes:
    """Return the answer to a GET with ``expand=results``: entries in no order, some without a job."""
    entries = [
        {
            "source_directory_file_id": f"dfl-{number:032x}",
            "job_reference": {"type": "parse_v2", "id": f"pjb-{number:032x}"}
            if number % UNREADABLE_EVERY
            else None,
            "error_message": None if number % UNREADABLE_EVERY else "The file type is not supported",
        }
        for number in range(FILES)
    ]
    random.Random(1).shuffle(entries)
    batch = {
        "id": "bat-00000",
        "project_id": "prj-bench",
        "source_directory_id": "dir-00000",
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        "status": "COMPLETED",
        "created_at": "2026-11-01T00:00:00+00:00",
        "updated_at": "2026-11-01T00:10:00+00:00",
        "results": entries,
    }
    return json.dumps(batch).encode()


def to_xcom(body: bytes) -> Outcome:
    """Do what the sensor does with the answer."""
    batch = calls.get_batch("bat-00000", expand_results=True).parse(body)
    return outcome_of(batch.results or [])


def measure() -> dict[str, float]:
    """Return the first time in a process and the median of later ones."""
    body = expanded_batch()
    times = []
    for _ in range(1 + REPEATS):
        before = time.perf_counter()
        outcome = to_xcom(body)
        times.append(1e3 * (time.perf_counter() - before))
        if (len(outcome.job_references), len(outcome.file_errors)) != (980, 20):
            raise RuntimeError("the references are not those of the answer")
    return {
        "files": FILES,
        "kilobytes": len(body) / 1e3,
        "first_ms": times[0],
        "median_ms": median(times[1:]),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
