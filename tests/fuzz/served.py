"""An emulator in a process of its own, and what is put into it so that requests can name what exists."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx

from tests.support.processes import ManagedProcess

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

KEY = "llx-fuzzed"
START_SECONDS = 60.0
LIMIT_SECONDS = 10.0
"""An answer that takes longer hangs."""
SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "number"}, "names": {"type": "array", "items": {"type": "string"}}},
}
DOCUMENTS = {
    "a.txt": b"Total: 12.50\n\nNames: Ada, Grace",
    "b.md": b"# Names\n\n- Ada\n- Grace\n\n| name | total |\n| --- | --- |\n| x | 1 |\n| y | 2 |\n\fPage two",
    "c.csv": b"name,total\nx,1\ny,2",
}
TROUBLE = re.compile(r"Traceback|\bERROR\b|Exception|failed on|never retrieved|Warning:")


class Served:
    """
    The emulator, its clock standing still.

    A context manager. ``api`` sends with the key. ``black_hole`` is an address that accepts connections and says
    nothing: whoever follows it hangs, and ``followed`` tells that somebody did.
    """

    def __init__(self, name: str, log: Path, seed: int) -> None:
        program = [sys.executable, "-m", "airflow_provider_llamabatch.emulator"]
        options = ["--api-key", KEY, "--seed", str(seed), "--set", "webhook_retry_seconds=0"]
        self._process = ManagedProcess(name, [*program, *options], os.environ, log)
        self._log = log
        self._hole = socket.create_server(("127.0.0.1", 0))
        self._hole.setblocking(False)
        self.black_hole = f"http://127.0.0.1:{self._hole.getsockname()[1]}/schema.json"
        self.url = ""

    def __enter__(self) -> Self:
        """Start it and wait until it serves."""
        self._process.start()
        give_up = time.monotonic() + START_SECONDS
        while not (found := re.search(r"http://[\w.:]+(?=\s)", self.log())):
            self._process.check()
            if time.monotonic() > give_up:
                raise self._process.failure(f"printed no URL within {START_SECONDS:.0f} s")
            time.sleep(0.1)
        self.url = found.group()
        headers = {"Authorization": f"Bearer {KEY}"}
        # Nothing that is sent here is judged; the first table to be read waits for a reader to start.
        self.api = httpx.Client(base_url=self.url, headers=headers, timeout=START_SECONDS, trust_env=False)
        self.freeze()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it, also one that hangs."""
        self.api.close()
        self._hole.close()
        self._process.kill()

    def log(self) -> str:
        """Return all that it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def troubles(self) -> list[str]:
        """Return what it printed that no request may make it print, each with what follows it."""
        lines = self.log().splitlines()
        return ["\n    ".join(lines[at : at + 25]) for at, line in enumerate(lines) if TROUBLE.search(line)]

    def followed(self) -> bool:
        """Tell whether somebody connected to the black hole."""
        try:
            self._hole.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def freeze(self) -> None:
        """Stop the clock."""
        self.api.post("/_emulator/clock", json={"freeze": True}).raise_for_status()

    def advance(self, seconds: float) -> None:
        """Turn the clock."""
        self.api.post("/_emulator/clock", json={"advance": seconds}).raise_for_status()

    def post(self, path: str, **arguments: Any) -> Any:
        """Make something that has to be made."""
        return self.api.post(path, **arguments).raise_for_status().json()

    def get(self, path: str, **query: Any) -> Any:
        """Read something that has to be there."""
        return self.api.get(path, params=query).raise_for_status().json()


@dataclass(eq=False)
class Pool:
    """Values that exist, by the name of the parameter or field that takes them."""

    named: dict[str, list[Any]] = field(default_factory=dict)
    files: list[tuple[str, str]] = field(default_factory=list)
    """A directory and a file in it."""
    downloads: list[httpx.URL] = field(default_factory=list)
    black_hole: str = ""

    def add(self, value: Any, *names: str) -> None:
        """Add a value under names."""
        for name in names:
            self.named.setdefault(name, []).append(value)


def populated(served: Served) -> Pool:
    """Put something of every kind into the emulator, at all stages of their lives, and return their ids."""
    pool = Pool(black_hole=served.black_hole)
    project = served.get("/api/v1/projects")[0]
    pool.add(project["id"], "project_id")
    pool.add(project["organization_id"], "organization_id")
    configurations = [_configuration(served, pool, *one) for one in _CONFIGURATIONS]
    webhook = served.post("/api/v1/beta/webhook-configs", json={"webhook_url": "http://127.0.0.1:9/"})
    pool.add(webhook["id"], "webhook_config_id", "webhook_configuration_ids")
    directories = [_directory(served, pool, kind) for kind in ("user", "ephemeral")]
    for _ in range(2):  # the first have ended when the requests come, the second have not
        served.advance(30)
        for directory in directories:
            for configuration, type_ in zip(configurations, ("parse_v2", "extract_v2"), strict=True):
                job = {"type": type_, "configuration_id": configuration}
                body = {"source_directory_id": directory, "config": {"job": job}}
                pool.add(served.post("/api/v2/batches", json=body)["id"], "batch_id")
        _jobs(served, pool)
    _listed(served, pool)
    return pool


def sparsely_populated(served: Served) -> Pool:
    """Put a directory and a batch into the emulator: quick enough to be done after every change."""
    pool = Pool(black_hole=served.black_hole)
    directory = _directory(served, pool, "user")
    job = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
    body = {"source_directory_id": directory, "config": {"job": job}}
    pool.add(served.post("/api/v2/batches", json=body)["id"], "batch_id")
    return pool


_CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    ("parse", {"product_type": "parse_v2", "tier": "agentic", "version": "latest"}),
    ("extract", {"product_type": "extract_v2", "data_schema": SCHEMA, "cite_sources": True}),
]


def _configuration(served: Served, pool: Pool, name: str, parameters: dict[str, Any]) -> str:
    body = {"name": name, "parameters": parameters}
    id_: str = served.post("/api/v1/beta/configurations", json=body)["id"]
    pool.add(id_, "config_id", "configuration_id", "parse_config_id")
    pool.add(name, "name")
    return id_


def _directory(served: Served, pool: Pool, kind: str) -> str:
    made: str = served.post("/api/v1/beta/directories", json={"name": kind, "type": kind})["id"]
    pool.add(made, "directory_id", "source_directory_id", "target_directory_id")
    for name, content in DOCUMENTS.items():
        path = f"/api/v1/beta/directories/{made}/files/upload"
        file = served.post(path, files={"upload_file": (name, content)})
        pool.files.append((made, file["id"]))
        pool.add(file["id"], "directory_file_id", "directory_file_ids", "file_input")
        pool.add(file["unique_id"], "unique_id", "display_name", "display_name_contains", "file_name")
    return made


def _jobs(served: Served, pool: Pool) -> None:
    for name, content in DOCUMENTS.items():
        form = {"purpose": "user_data", "external_file_id": name}
        file = served.post("/api/v1/beta/files", files={"file": (name, content)}, data=form)["id"]
        pool.add(file, "file_id", "file_ids", "file_input")
        pool.downloads.append(httpx.URL(served.get(f"/api/v1/beta/files/{file}/content")["url"]))
        asked = {"file_id": file, "tier": "agentic", "version": "latest"}
        pool.add(served.post("/api/v2/parse", json=asked)["id"], "parse_job_id", "file_input", "job_ids")
        more = {"file_input": file, "configuration": {"data_schema": SCHEMA}}
        pool.add(served.post("/api/v2/extract", json=more)["id"], "extract_job_id", "job_ids")


def _listed(served: Served, pool: Pool) -> None:
    job, words = pool.named["parse_job_id"][0], "text_content_metadata,items_content_metadata"
    found = served.get(f"/api/v2/parse/{job}", expand=words)["result_content_metadata"]
    pool.downloads += [httpx.URL(one["presigned_url"]) for one in found.values()]
    for path in ("/api/v2/batches", "/api/v2/parse", "/api/v2/extract", "/api/v1/beta/files"):
        pool.add(served.get(path, page_size=1)["next_page_token"], "page_token")
    for order in ("name", "id"):
        found = served.get("/api/v1/beta/files", page_size=1, order_by=order)
        pool.add(found["next_page_token"], "page_token")
