"""The LlamaCloud side of the demo: the service when a key is given, else the emulator; and the upload."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.settings import settings_from_connection
from airflow_provider_llamabatch.llamacloud.transport import Client
from tests.support.processes import ManagedProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

EMULATOR_SECONDS = 60.0
# Slow enough for the sensor to hand its wait to the triggerer, as it would with the service.
EMULATOR_OPTIONS = ("--host", "127.0.0.1", "--port", "0", "--set", "batch_running_seconds=15")


class LlamaCloud:
    """
    One LlamaCloud to work with: the fields of an Airflow connection, and a ``client`` made of them.

    ``name`` says in words which one it is.
    """

    def __init__(self, name: str, connection: Mapping[str, Any]) -> None:
        self.name = name
        self.connection_json = json.dumps({"conn_type": "llamabatch", **connection})
        self.client = Client(settings_from_connection("llamabatch_default", **connection))

    def upload(self, name: str, documents: Iterable[Path]) -> str:
        """Upload files into a new ephemeral directory and return its id."""
        directory = self.client.send(calls.create_directory(name=name, type="ephemeral"))
        for document in documents:
            self.client.send(calls.upload_directory_file(directory.id, document))
        return directory.id

    def forget(self, directory_id: str) -> None:
        """Delete the directory."""
        self.client.send(calls.delete_directory(directory_id))

    def close(self) -> None:
        """Close the connections."""
        self.client.close()


def the_service(environment: Mapping[str, str]) -> LlamaCloud:
    """Return the service that the environment names: LLAMA_CLOUD_API_KEY, _BASE_URL, _PROJECT_ID."""
    host = environment.get("LLAMA_CLOUD_BASE_URL") or None
    project = environment.get("LLAMA_CLOUD_PROJECT_ID") or None
    connection = {
        "password": environment["LLAMA_CLOUD_API_KEY"],
        "host": host,
        "extra": {"project_id": project} if project else {},
    }
    return LlamaCloud(f"the service at {host or 'its default address'}, with LLAMA_CLOUD_API_KEY", connection)


class Emulator:
    """The emulator as a process of its own, on a free port of the loopback interface."""

    def __init__(self, log: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        self._key = f"llx-emulated-{secrets.token_hex(12)}"
        self._sleep = sleep
        self._log = log
        program = [sys.executable, "-m", "airflow_provider_llamabatch.emulator"]
        command = [*program, *EMULATOR_OPTIONS, "--api-key", self._key]
        self.process = ManagedProcess("emulator", command, os.environ, log)

    def start(self) -> LlamaCloud:
        """Start it and return it as a LlamaCloud once it listens."""
        self.process.start()
        give_up = time.monotonic() + EMULATOR_SECONDS
        while not (url := self._printed_url()):
            self.process.check()
            if time.monotonic() > give_up:
                raise self.process.failure(f"printed no URL within {EMULATOR_SECONDS:.0f} s")
            self._sleep(0.1)
        name = f"the emulator at {url} (LLAMA_CLOUD_API_KEY is not set)"
        return LlamaCloud(name, {"password": self._key, "host": url})

    def _printed_url(self) -> str | None:
        found = re.search(r"https?://[\w.:]+(?=\s)", self._log.read_text(encoding="utf-8"))
        return found.group() if found else None
