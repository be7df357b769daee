"""CPU and memory of each of Airflow's processes, with everything that it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.processes import ManagedProcess

EVERY_SECONDS = 20.0  # looking at all processes of a machine costs CPU itself
MEGABYTE = 1e6


@dataclass
class Usage:
    """What a process has taken since the measuring began; memory is the largest proportional set size (PSS)."""

    cpu_seconds: float = 0.0
    memory_mb: float = 0.0


class Meter:
    """Reads what processes take; ``usages`` is by their names."""

    def __init__(self, processes: Mapping[str, ManagedProcess]) -> None:
        self._processes = processes
        self._at_start = {name: _cpu(process) for name, process in processes.items()}
        self._read_at = 0.0
        self.usages = {name: Usage() for name in processes}

    def read(self) -> None:
        """Read, unless that was done a moment ago."""
        if time.monotonic() < self._read_at + EVERY_SECONDS:
            return
        self._read_at = time.monotonic()
        for name, process in self._processes.items():
            usage = self.usages[name]
            usage.cpu_seconds = max(usage.cpu_seconds, _cpu(process) - self._at_start[name])
            usage.memory_mb = max(usage.memory_mb, _memory(process) / MEGABYTE)


def _cpu(process: ManagedProcess) -> float:
    total = 0.0
    for member in process.members():
        try:
            times = member.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _memory(process: ManagedProcess) -> float:
    total = 0.0
    for member in process.members():
        try:
            total += member.memory_full_info().pss
        except psutil.Error:
            continue
    return total
