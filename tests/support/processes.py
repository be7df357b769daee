"""Processes that are started, watched and surely ended, each in its own session, its output in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import uuid
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

MARK = "LLAMABATCH_PROCESS"  # in the environment of what is started here, and so of all that it starts


class ProcessFailedError(RuntimeError):
    """A process ended, or never did what it was started for; the message holds the end of its output."""


class ManagedProcess:
    """
    One process and everything it starts.

    It gets a session of its own, so that Ctrl-C in a terminal reaches only the one who started it and can end
    the processes in order. A mark in the environment finds its descendants, wherever they have moved to.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._mark = uuid.uuid4().hex
        self._env = {**env, MARK: self._mark, "SPT_NOENV": "1"}  # setproctitle would write over the mark
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the one started last."""
        if self._popen is None:
            raise ProcessFailedError(f"{self.name} was not started")
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._popen.poll() if self._popen else None

    def start(self) -> None:
        """Start it; output of an earlier life stays in the log."""
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(  # commands are made here, of no one's input
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise ``ProcessFailedError`` when it has ended."""
        if self.exit_code is not None:
            raise self.failure(f"ended with exit code {self.exit_code}")

    def failure(self, what: str) -> ProcessFailedError:
        """Return an error that says what happened and shows the end of the output."""
        return ProcessFailedError(f"{self.name} {what}; the end of {self.log}:\n{tail(self.log)}")

    def members(self) -> list[psutil.Process]:
        """Return this process's living members: itself and whatever carries its mark."""
        # Some, like Redis, write their title over their environment, and with it the mark.
        own = self._popen.pid if self._popen is not None and self._popen.poll() is None else None
        return [
            process
            for process in psutil.process_iter()
            if process.pid == own or _carries(process, self._mark)
        ]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every member, such as SIGSTOP and SIGCONT."""
        for process in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """End every member at once, as a lost machine would, and wait until they are gone."""
        while members := self.members():
            for process in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(0.05)
        if self._popen is not None:
            self._popen.wait()

    def ask_to_end(self) -> None:
        """Send SIGTERM to the process itself, which ends its own children."""
        if self._popen is not None and self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)


def end_all(processes: Iterable[ManagedProcess], grace_seconds: float) -> None:
    """Ask all to end, wait, and kill what is still there."""
    running = list(processes)
    for process in running:
        process.ask_to_end()
    give_up = time.monotonic() + grace_seconds
    while time.monotonic() < give_up and any(process.exit_code is None for process in running):
        time.sleep(0.1)
    for process in running:
        process.kill()


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a file, indented."""
    with contextlib.suppress(FileNotFoundError):
        text = path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(f"    {line[:300]}" for line in text.splitlines()[-lines:])
    return "    (no output)"


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Interrupted(BaseException):
    """Somebody asked this program to end (Ctrl-C, SIGTERM, a closed terminal)."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """
    Turns signals into an ``Interrupted`` that is raised only while sleeping.

    So no signal hits between the start of a process and the moment it is known, or breaks off the clean-up.
    """

    def __init__(self) -> None:
        self._received: int | None = None

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Catch SIGINT, SIGTERM and SIGHUP inside the block."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def sleep(self, seconds: float) -> None:
        """Sleep, or raise ``Interrupted`` as soon as a signal has come."""
        give_up = time.monotonic() + seconds
        while self._received is None and (left := give_up - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        if self._received is not None:
            raise Interrupted(self._received)

    def _note(self, number: int, _frame: object) -> None:
        self._received = number


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        is_ours = process.uids().real == os.getuid() and process.status() != psutil.STATUS_ZOMBIE
        return is_ours and bool(process.environ().get(MARK) == mark)
    except psutil.Error:
        return False
