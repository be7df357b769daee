"""
A PostgreSQL of one's own: a throw-away cluster on the loopback interface, gone with its context.

Its programs come with the machine (Debian's package ``postgresql``); they refuse to run as root, so root starts them
as the user ``postgres`` that the package made.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.processes import ProcessFailedError, free_port, tail

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "airflow"
SYSTEM_USER = "postgres"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
# Nothing in it outlives the test, so nothing has to reach a disk; a real Airflow opens some forty connections.
OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """
    Run a new PostgreSQL server, and yield the URL of an empty database in it (as SQLAlchemy writes it).

    As ``AIRFLOW__DATABASE__SQL_ALCHEMY_CONN`` it makes Airflow use it. Raises ``ProcessFailedError`` where the machine
    has no PostgreSQL, or where it does not come up.
    """
    with PostgresServer() as server:
        yield server.url


class PostgresServer:
    """A new server, as a context manager; it can be stopped and started again with what it holds."""

    def __init__(self) -> None:
        self._port, self._password = free_port(), secrets.token_urlsafe(12)

    def __enter__(self) -> Self:
        self._folder = Path(
            tempfile.mkdtemp(prefix="llamabatch-postgres-")
        )  # pytest's own are closed to others
        try:
            _make_cluster(self._folder, self._password)
            self.start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """The URL of its database, as SQLAlchemy writes it."""
        return f"postgresql+psycopg2://{USER}:{self._password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start the server, and return when it answers."""
        options = [part for option in (*OPTIONS, f"port={self._port}") for part in ("-c", option)]
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [
                    _program("postgres"),
                    "-D",
                    str(self._folder / "data"),
                    "-k",
                    "",
                    "-h",
                    "127.0.0.1",
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=_user(),
            )
        try:
            _wait_until_ready(self._server, self._port, log)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server at once but in order: SIGINT breaks off what its clients still do."""
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()


def _make_cluster(folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="utf-8")
    if (user := _user()) is not None:
        for path in (folder, secret):
            shutil.chown(path, user)
    arguments = ["-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret)]
    made = subprocess.run(
        [_program("initdb"), *arguments, "-E", "UTF8", "--locale", "C", "--no-sync"],
        capture_output=True,
        text=True,
        check=False,
        user=user,
        cwd=folder,
    )
    if made.returncode:
        raise ProcessFailedError(
            f"initdb ended with exit code {made.returncode}:\n{made.stdout}{made.stderr}"
        )


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while subprocess.run(
        [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
    ).returncode:
        if server.poll() is not None or time.monotonic() > give_up:
            raise ProcessFailedError(f"PostgreSQL does not come up; the end of {log}:\n{tail(log)}")
        time.sleep(0.1)


def _user() -> str | None:
    """Return who runs the server: whoever runs the test, or root's stand-in."""
    return None if os.getuid() else pwd.getpwnam(SYSTEM_USER).pw_name


def _program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; Debian keeps them off the path, by version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    program = str(found[-1]) if found else shutil.which(name)
    if program is None:
        raise ProcessFailedError(f"There is no {name} on this machine: apt-get install postgresql")
    return program
