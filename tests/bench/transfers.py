"""Uploads, looks at jobs and saves beside the official client and an ideal httpx loop, against the emulator.

Called by the benchmark as ``python -m tests.bench.transfers``; prints one line of JSON. The emulator is a process of
its own that answers after 50 ms; all subjects take turns, so that each meets the same machine.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
from llama_cloud import AsyncLlamaCloud
from llama_cloud import LlamaCloud as OfficialClient

from airflow_provider_llamabatch.batches.jobs import Jobs
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from tests.support.llamacloud import Emulator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tests.support.llamacloud import LlamaCloud

LATENCY = 0.05  # seconds that the emulator holds each answer back
FILES = 200
FILE_BYTES = 4000
AT_ONCE = 8  # of everybody but the plain loop
ROUNDS = 3
IDS_PER_REQUEST = 100  # what the ideal loop and ours ask for at once

SUBJECTS = {
    "ours": "airflow-provider-llamabatch",
    "loop": "the official client, one after another",
    "async": f"the official asynchronous client, {AT_ONCE} at once",
    "ideal": f"httpx alone, {AT_ONCE} at once, nothing checked or kept",
}
KINDS = {"upload": "upload", "look": "look at every job once", "save": "save every result"}


@dataclass(frozen=True)
class Took:
    """Medians of one subject doing one thing to all files: seconds on the clock and of the processor."""

    kind: str
    subject: str
    seconds: float
    cpu: float


class Stage:
    """The emulator with a batch over all files, and the folders of one run."""

    def __init__(self, cloud: LlamaCloud, folder: Path) -> None:
        connection = json.loads(cloud.connection_json)
        self.key, self.url = connection["password"], connection["host"]
        self.official = OfficialClient(api_key=self.key, base_url=self.url)
        self.source = folder / "in"
        self.source.mkdir()
        for number in range(FILES):
            (self.source / f"{number:04}.txt").write_bytes(
                f"document {number}\n".encode().ljust(FILE_BYTES, b".")
            )
        self._folders = (folder / f"out-{number}" for number in itertools.count())
        self._runs = itertools.count()
        self._http = httpx.Client(base_url=self.url)
        self.control(
            "PATCH", "settings", batch_pending_seconds=0, batch_running_seconds=0, job_running_seconds=0
        )
        [directory_id] = self.upload_with_ours()
        batch = self.official.batches.create(
            source_directory_id=directory_id,
            config={"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        )
        self.control("POST", "clock", advance=3600)
        results = self.official.batches.get(batch.id, expand=["results"]).results or ()
        self.references = [json.loads(result.model_dump_json()) for result in results]
        self.job_ids = [reference["job_reference"]["id"] for reference in self.references]
        self.control("POST", "faults", kind="delay", path="/api/", seconds=LATENCY)

    def control(self, method: str, what: str, /, **body: Any) -> None:
        """Tell the emulator something that is not measured."""
        self._http.request(method, f"/_emulator/{what}", json=body).raise_for_status()

    def context(self) -> Any:
        """Return the context of a task of its own."""
        run_id = f"run-{next(self._runs)}"
        ti = SimpleNamespace(
            dag_id="bench", task_id="a_task", run_id=run_id, map_index=-1, xcom_push=lambda **_: None
        )
        return {"ti": ti}

    def upload_with_ours(self) -> list[str]:
        """Upload all files with the operator, into a directory that it makes."""
        operator = UploadDirectoryOperator(task_id="a_task", source=str(self.source), max_concurrency=AT_ONCE)
        return operator.execute(self.context())

    def new_directory(self) -> str:
        """Make a directory, as every subject has to."""
        return self.official.beta.directories.create(name=f"bench {next(self._runs)}", type="ephemeral").id

    def new_folder(self) -> Path:
        """Make a folder for results."""
        folder = next(self._folders)
        folder.mkdir()
        return folder


def ours(stage: Stage, kind: str) -> None:
    """Do it with the operators, as a worker runs them."""
    if kind == "upload":
        stage.upload_with_ours()
    elif kind == "look":
        jobs = Jobs(stage.references)
        with LlamaBatchHook() as hook:
            BatchJobsSensor(task_id="look", job_references=stage.references).read_jobs(hook, jobs)
        assert jobs.have_ended
    else:
        target = str(stage.new_folder())
        save = SaveBatchResultsOperator(
            task_id="a_task", job_references=stage.references, target=target, max_concurrency=AT_ONCE
        )
        assert save.execute(stage.context())["saved"] == FILES


def loop(stage: Stage, kind: str) -> None:
    """Do it as the official client's own examples do: one call after another."""
    client = stage.official
    if kind == "upload":
        directory_id = stage.new_directory()
        for path in sorted(stage.source.iterdir()):
            client.beta.directories.files.upload(directory_id, upload_file=path)
    elif kind == "look":
        for job_id in stage.job_ids:
            client.parsing.get(job_id)
    else:
        folder = stage.new_folder()
        for job_id in stage.job_ids:
            result = client.parsing.get(job_id, expand=["markdown"])
            (folder / f"{job_id}.md").write_text(markdown_in(result.to_dict()))


def official_async(stage: Stage, kind: str) -> None:
    """Do it with the official asynchronous client and as many calls at once as ours."""

    async def run() -> None:
        async with AsyncLlamaCloud(api_key=stage.key, base_url=stage.url) as client:
            if kind == "upload":
                directory_id = stage.new_directory()

                async def upload(path: Path) -> None:
                    await client.beta.directories.files.upload(directory_id, upload_file=path)

                await all_of(sorted(stage.source.iterdir()), upload)
            elif kind == "look":

                async def look(job_id: str) -> None:
                    await client.parsing.get(job_id)

                await all_of(stage.job_ids, look)
            else:
                folder = stage.new_folder()

                async def save(job_id: str) -> None:
                    result = await client.parsing.get(job_id, expand=["markdown"])
                    (folder / f"{job_id}.md").write_text(markdown_in(result.to_dict()))

                await all_of(stage.job_ids, save)

    asyncio.run(run())


def ideal(stage: Stage, kind: str) -> None:
    """Do it with the fewest requests there can be, and nothing besides."""

    async def run() -> None:
        headers = {"Authorization": f"Bearer {stage.key}"}
        async with httpx.AsyncClient(base_url=stage.url, headers=headers, timeout=60) as client:
            if kind == "upload":
                path = f"/api/v1/beta/directories/{stage.new_directory()}/files/upload"

                async def upload(file: Path) -> None:
                    content = {"upload_file": (file.name, file.read_bytes())}
                    (await client.post(path, files=content)).raise_for_status()

                await all_of(sorted(stage.source.iterdir()), upload)
            elif kind == "look":

                async def look(ids: list[str]) -> None:
                    query: dict[str, Any] = {"job_ids": ids, "page_size": len(ids)}
                    items = (
                        (await client.get("/api/v2/parse", params=query)).raise_for_status().json()["items"]
                    )
                    assert len(items) == len(ids)

                starts = range(0, len(stage.job_ids), IDS_PER_REQUEST)
                await all_of([stage.job_ids[start : start + IDS_PER_REQUEST] for start in starts], look)
            else:
                folder = stage.new_folder()

                async def save(job_id: str) -> None:
                    response = await client.get(f"/api/v2/parse/{job_id}", params={"expand": "markdown"})
                    (folder / f"{job_id}.md").write_text(markdown_in(response.raise_for_status().json()))

                await all_of(stage.job_ids, save)

    asyncio.run(run())


async def all_of(items: Iterable[Any], work: Callable[[Any], Awaitable[None]]) -> None:
    """Do work on all items, a few at once."""
    remaining = iter(items)

    async def worker() -> None:
        for item in remaining:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


def markdown_in(result: dict[str, Any]) -> str:
    """Return the text of a parse result."""
    return "\n\n".join(page["markdown"] for page in result["markdown"]["pages"])


def measure() -> dict[str, Any]:
    """Let all subjects do all things in turns; return the medians."""
    runs: dict[str, Callable[[Stage, str], None]] = {
        "ours": ours,
        "loop": loop,
        "async": official_async,
        "ideal": ideal,
    }
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        emulator = Emulator(Path(folder, "emulator.log"))
        try:
            cloud = emulator.start()
            os.environ["AIRFLOW_CONN_LLAMABATCH_DEFAULT"] = cloud.connection_json
            stage = Stage(cloud, Path(folder))
            for _, kind, subject in itertools.product(range(ROUNDS), KINDS, runs):
                began, cpu = time.perf_counter(), time.process_time()
                runs[subject](stage, kind)
                took = time.perf_counter() - began, time.process_time() - cpu
                taken.setdefault((kind, subject), []).append(took)
        finally:
            emulator.process.kill()
    figures = [
        Took(kind, subject, median(one[0] for one in each), median(one[1] for one in each))
        for (kind, subject), each in taken.items()
    ]
    return {"files": FILES, "rounds": ROUNDS, "took": [asdict(one) for one in figures]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
