"""An emulator whose clock stands still, and the official client talking to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from llama_cloud import LlamaCloud

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llama_cloud.types import BatchCreateResponse

TEXTS = {"a.txt": b"Alpha", "b.md": b"# Beta\n\nSecond", "c.csv": b"name,value\nx,1"}


@pytest.fixture(scope="session")
def served() -> Iterator[LlamaCloudEmulator]:
    """One server for all tests."""
    with LlamaCloudEmulator() as running:
        yield running


@pytest.fixture
def emulator(served: LlamaCloudEmulator) -> LlamaCloudEmulator:
    """The emulator as it was started, at a standing clock."""
    served.control.reset()
    served.control.freeze()
    return served


@pytest.fixture
def client(emulator: LlamaCloudEmulator) -> Iterator[LlamaCloud]:
    with LlamaCloud(base_url=emulator.url, api_key=emulator.api_key, max_retries=0) as official:
        yield official


@pytest.fixture
def make_directory(client: LlamaCloud) -> Callable[..., str]:
    """Make an ephemeral directory with files (display name -> content) and return its id."""

    def make(files: dict[str, bytes] = TEXTS) -> str:
        directory = client.beta.directories.create(name="test", type="ephemeral")
        for name, content in files.items():
            client.beta.directories.files.upload(directory.id, upload_file=(name, content))
        return directory.id

    return make


@pytest.fixture
def make_batch(client: LlamaCloud, make_directory: Callable[..., str]) -> Callable[..., BatchCreateResponse]:
    """Make a batch over new files, or over those of ``directory_id``."""

    def make(
        files: dict[str, bytes] = TEXTS,
        *,
        directory_id: str | None = None,
        job_type: str = "parse_v2",
        configuration_id: str = "cfg-PARSE_AGENTIC",
    ) -> BatchCreateResponse:
        job: Any = {"type": job_type, "configuration_id": configuration_id}
        return client.batches.create(
            source_directory_id=directory_id or make_directory(files), config={"job": job}
        )

    return make
