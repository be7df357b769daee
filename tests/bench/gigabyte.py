"""What a gigabyte from S3 and a gigabyte to S3 add to the memory of a worker, through moto's server and the emulator.

Called by the benchmark as ``python -m tests.bench.gigabyte``; prints one line of JSON. Uploading and saving happen in a
process of its own that has done both with one small file before, so that what is measured is the files and not the
libraries.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from tests.bench.metrics import forget_peak, peak_mb, resident_mb
from tests.support.llamacloud import Emulator
from tests.support.processes import ManagedProcess, free_port

if TYPE_CHECKING:
    from tests.support.llamacloud import LlamaCloud

FILES, FILE_MB = 20, 50  # the emulator reads no larger texts
LINE = b"A line of text that is as good as any other for filling a file.\n"
BUCKET = "gigabyte"
CONNECTION = "storage"


def work(url: str) -> dict[str, float]:
    """Upload from S3, have it parsed, save to S3; return what each added to this process's memory, in MB."""
    with httpx.Client(base_url=url) as http:
        _carry(http, "small")  # loads what there is to load
        before = resident_mb()
        forget_peak()
        references = _uploaded(http, "large")
        upload = peak_mb() - before
        before = resident_mb()
        forget_peak()
        _saved(references, "large")
        return {"upload_mb": upload, "save_mb": peak_mb() - before}


def _carry(http: httpx.Client, name: str) -> None:
    _saved(_uploaded(http, name), name)


def _context(name: str) -> Any:
    ti = SimpleNamespace(dag_id="bench", task_id=name, run_id="run", map_index=-1, xcom_push=lambda **_: None)
    return {"ti": ti}


def _uploaded(http: httpx.Client, name: str) -> list[dict[str, Any]]:
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

    source = f"s3://{BUCKET}/in/{name}"
    operator = UploadDirectoryOperator(task_id="upload", source=source, source_conn_id=CONNECTION)
    [directory_id] = operator.execute(_context(f"upload-{name}"))
    with LlamaBatchHook() as hook:
        batch = hook.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
        http.post("/_emulator/clock", json={"advance": 3600}).raise_for_status()
        results = hook.send(calls.get_batch(batch.id, expand_results=True)).results or ()
        return [result.model_dump(mode="json") for result in results]


def _saved(references: list[dict[str, Any]], name: str) -> None:
    operator = SaveBatchResultsOperator(
        task_id="save",
        job_references=references,
        target=f"s3://{BUCKET}/out/{name}",
        target_conn_id=CONNECTION,
    )
    summary = operator.execute(_context(f"save-{name}"))
    assert summary["saved"] == len(references), summary


def measure() -> dict[str, float]:
    """Fill S3, let a process carry everything, and return what it says and how long it took."""
    with tempfile.TemporaryDirectory() as home:
        emulator = Emulator(Path(home, "emulator.log"))
        port = free_port()
        command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
        storage = ManagedProcess("moto", command, os.environ, Path(home, "moto.log"))
        try:
            storage.start()
            cloud = emulator.start()
            _fill(f"http://127.0.0.1:{port}")
            return _in_a_process(cloud, f"http://127.0.0.1:{port}")
        finally:
            storage.kill()
            emulator.process.kill()


def _fill(endpoint: str) -> None:
    import boto3  # type: ignore[import-untyped]

    give_up = time.monotonic() + 60
    while True:
        try:
            httpx.get(endpoint)
            break
        except httpx.TransportError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="moto-key",
        aws_secret_access_key="moto-secret",
    )
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="in/small/a.txt", Body=LINE)
    content = LINE * (FILE_MB * 1_000_000 // len(LINE))
    for number in range(FILES):
        client.put_object(Bucket=BUCKET, Key=f"in/large/{number}.txt", Body=b"%d\n" % number + content)


def _in_a_process(cloud: LlamaCloud, endpoint: str) -> dict[str, float]:
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "moto-key", "password": "moto-secret", "extra": extra}
    environment = {
        **os.environ,
        "AIRFLOW_CONN_LLAMABATCH_DEFAULT": cloud.connection_json,
        f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(connection),
    }
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.bench.gigabyte", json.loads(cloud.connection_json)["host"]]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {"gigabytes": FILES * FILE_MB / 1000, "seconds": time.monotonic() - began, **figures}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(work(sys.argv[1]) if len(sys.argv) > 1 else measure()) + "\n")
