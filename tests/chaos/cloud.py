"""An emulated LlamaCloud, and what the harness does to it: make directories and batches, count batches."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
from airflow_provider_llamabatch.emulator.settings import Settings
from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import Client

if TYPE_CHECKING:
    from airflow_provider_llamabatch.llamacloud.models import Batch

CONFIGURATION_ID = "cfg-PARSE_AGENTIC"

# The emulator says so when a client dies in the middle of a request, which here is the point.
logging.getLogger("airflow_provider_llamabatch.emulator.app").setLevel(logging.CRITICAL)


class Cloud:
    """A context manager; ``settings`` are the emulator's first ones."""

    def __init__(self, **settings: Any) -> None:
        self.emulator = LlamaCloudEmulator(api_key="llx-chaos-0b1f6d2a", settings=Settings(**settings))
        self.control = self.emulator.control
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._opened.enter_context(self.emulator)
        settings = settings_from_connection("chaos", password=self.emulator.api_key, host=self.emulator.url)
        self._client = self._opened.enter_context(Client(settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def connection(self, **extra: Any) -> str:
        """Return an Airflow connection to it, as JSON."""
        parts = {"conn_type": "llamabatch", "password": self.emulator.api_key, "host": self.emulator.url}
        return json.dumps({**parts, "extra": extra})

    def make_directories(self, count: int) -> list[str]:
        """Make directories of one file each and return their ids."""
        ids = [
            self._client.send(calls.create_directory(name="chaos", type="ephemeral")).id for _ in range(count)
        ]
        for id_ in ids:
            self._client.send(calls.upload_directory_file(id_, b"hello", display_name="hello.txt"))
        return ids

    def make_batch(self, directory_id: str) -> Batch:
        """Make a batch over a directory."""
        call = calls.create_batch(source_directory_id=directory_id, configuration_id=CONFIGURATION_ID)
        return self._client.send(call)

    def batches(self) -> dict[str, list[str]]:
        """Return the ids of all batches by directory."""
        made: dict[str, list[str]] = defaultdict(list)
        for batch in self.control.state()["batches"]:
            made[batch["source_directory_id"]].append(batch["id"])
        return made
