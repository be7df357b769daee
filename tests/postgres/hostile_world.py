"""Batches that run, some of them behind a gateway that answers for them whatever a server can say."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.llamacloud import calls
from tests.support.hostile import Answer, answer, bomb
from tests.support.llamacloud import LlamaCloud

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from tests.support.hostile import HostileGateway

API_KEY = "llx-system-tests-7d15b0c2e94f8a36"
HEALTHY = 8  # half of them behind the gateway

RUNNING = {"id": "{id}", "status": "RUNNING"}

# The API's own verdicts end a wait, in one error that can be stored and read.
VERDICTS: dict[str, Answer] = {
    "a refusal with NUL": answer(400, '{"detail": "no\\u0000pe"}'),
    "a refusal with half a character": answer(400, '{"detail": "no\\ud800pe"}'),
    "a refusal in colour": answer(422, {"detail": f"\x1b[31mred\x07\n{API_KEY}" + "y" * 100_000}),
}


@cache  # not at import: the bomb takes a second and the memory it threatens with
def trouble() -> dict[str, Answer]:
    """Return answers to a poll that leave a wait as it is: trouble that may pass. It ends well once they stop."""
    return {
        "status of a megabyte": answer(200, {**RUNNING, "status": "RUN\x00NING\n\x1b[31m" + "x" * 1_000_000}),
        "another batch": answer(200, {"id": "bat-somebody-elses", "status": "COMPLETED"}),
        "sixty megabytes": answer(500, b'{"detail": "' + b"x" * (60 << 20) + b'"}'),
        "nested": answer(200, b"[" * 200_000),
        "a bomb": bomb(300),
        "no numbers": answer(200, '{"id": NaN, "status": 1e999, "created_at": -Infinity}'),
        "many digits": answer(200, '{"id": ' + "9" * 10_000 + "}"),
        "the year one": answer(200, {**RUNNING, "created_at": "0001-01-01T00:00:00+14:00"}),
        "endless headers": Answer(b"HTTP/1.1 200 OK\r\n", drip=b"X-More: 1\r\n"),
        "endless hints": Answer(b"", drip=b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        "a dripping body": Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", drip=b" "),
        "a key in the status line": Answer(f"HTTP/1.1 2xx Bearer {API_KEY}\x00\r\n\r\n".encode()),
        "a redirect with the key": answer(302, "", f"Location: http://127.0.0.1:9/{API_KEY}\r\n"),
        "a gateway's not found": answer(404, "<html>\x00not here</html>"),
        "a gateway's refusal": answer(403, "<html>no</html>"),
        "a pause that is no number": answer(429, {"detail": "\x00"}, "Retry-After: soon\r\n"),
        "a hang-up": Answer(b""),
        "bytes": Answer(bytes(range(256)) * 40),
    }


class HostileWorld:
    """An emulator, the gateway before it, and batches: ``hostile`` by what is answered for them, and ``healthy``."""

    def __init__(self, emulator: LlamaCloudEmulator, gateway: HostileGateway) -> None:
        self.control, self.gateway = emulator.control, gateway
        self._cloud = LlamaCloud("the emulator", {"password": API_KEY, "host": emulator.url})
        emulator.control.freeze()
        emulator.control.change(batch_running_seconds=3600)
        directory = self._cloud.client.send(calls.create_directory(name="d", type="user")).id
        self._cloud.client.send(calls.upload_directory_file(directory, b"text", display_name="a.txt"))
        create = calls.create_batch(source_directory_id=directory, configuration_id="cfg-PARSE_AGENTIC")
        self.hostile: dict[str, str] = {}
        for name, written in (trouble() | VERDICTS).items():
            batch_id = self._cloud.client.send(create).id
            self.hostile[name] = batch_id
            gateway.answers[batch_id] = written
        self.healthy = [self._cloud.client.send(create).id for _ in range(HEALTHY)]
        hosts = {"hostile": gateway.url, "healthy": gateway.service}
        self.airflow_environment = {
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(
                {"conn_type": "llamabatch", "password": API_KEY, "host": host}
            )
            for name, host in hosts.items()
        }

    def waits(self) -> list[dict[str, str]]:
        return [
            *({"batch_id": batch_id, "llamabatch_conn_id": "hostile"} for batch_id in self.hostile.values()),
            *({"batch_id": batch_id, "llamabatch_conn_id": "hostile"} for batch_id in self.healthy[::2]),
            *({"batch_id": batch_id, "llamabatch_conn_id": "healthy"} for batch_id in self.healthy[1::2]),
        ]

    def close(self) -> None:
        self._cloud.close()
