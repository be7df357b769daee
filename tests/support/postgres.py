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
from typing import TYPE_CHECKING

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
    folder = Path(tempfile.mkdtemp(prefix="llamabatch-postgres-"))  # pytest's own are closed to other users
    port, password = free_port(), secrets.token_urlsafe(12)
    try:
        _make_cluster(folder, password)
        options = [part for option in (*OPTIONS, f"port={port}") for part in ("-c", option)]
        log = folder / "server.log"
        with log.open("ab") as output:
            server = subprocess.Popen(
                [_program("postgres"), "-D", str(folder / "data"), "-k", "", "-h", "127.0.0.1", *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=_user(),
            )
        try:
            _wait_until_ready(server, port, log)
            yield f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{port}/postgres"
        finally:
            _stop(server)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server at once but in order: SIGINT breaks off what its clients still do."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


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
