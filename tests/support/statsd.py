"""Whatever a process sends as StatsD metrics, caught on the loopback interface."""

from __future__ import annotations

import re
import socket
import threading
from dataclasses import dataclass
from typing import Any

_LINE = re.compile(r"(?P<name>[^:,]+)(?P<tags>(?:,[^:,=]+=[^:,]*)*):(?P<value>[^|]+)\|(?P<kind>\w+)")


@dataclass(frozen=True)
class Metric:
    """One line: ``llamabatch.submissions,decision=submit:1|c``, with Airflow's default prefix left out."""

    name: str
    tags: dict[str, str]
    value: float
    kind: str


class StatsdLines:
    """Listens on a free UDP port while its context is open."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.lines: list[str] = []

    def __enter__(self) -> StatsdLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())  # an empty datagram ends the thread
        self._thread.join(timeout=5)
        self._socket.close()

    @property
    def options(self) -> dict[str, str]:
        """Return the environment that makes Airflow send its metrics here, with tags."""
        host, port = self._socket.getsockname()
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": host,
            "AIRFLOW__METRICS__STATSD_PORT": str(port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }

    def metrics(self, prefix: str = "llamabatch.") -> list[Metric]:
        """Return what has come so far, of the metrics whose name begins with a prefix."""
        return [
            metric
            for line in list(self.lines)
            if (metric := _parsed(line)) and metric.name.startswith(prefix)
        ]

    def total(self, name: str, **tags: str) -> float:
        """Return the sum of a counter's values, of those with these tags."""
        return sum(
            metric.value
            for metric in self.metrics(name)
            if metric.name == name and tags.items() <= metric.tags.items()
        )

    def _listen(self) -> None:
        while datagram := self._socket.recv(65536):
            self.lines += datagram.decode(errors="replace").splitlines()


def _parsed(line: str) -> Metric | None:
    found = _LINE.match(line)
    if found is None:
        return None
    pairs: Any = (pair.split("=", 1) for pair in found["tags"].split(",") if pair)
    return Metric(found["name"].removeprefix("airflow."), dict(pairs), float(found["value"]), found["kind"])
