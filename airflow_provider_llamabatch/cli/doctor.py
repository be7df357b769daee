"""``airflow llamabatch doctor``: what tasks need of this deployment, checked one by one."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.cli.checks import (
    FAIL,
    OK,
    UNKNOWN,
    Finding,
    of_clock,
    of_configuration,
    of_connection,
    of_max_map_length,
    of_projects,
    of_triggerers,
)
from airflow_provider_llamabatch.cli.console import command, connected, show
from airflow_provider_llamabatch.hooks.connections import NOT_THERE
from airflow_provider_llamabatch.llamacloud.errors import (
    InvalidInputError,
    LlamaCloudError,
    NoResponseError,
    StatusError,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator


@command
def doctor(options: Namespace) -> int:
    """Print what each check found, and what to do."""
    findings = [
        _versions(),
        _attempt("configuration", _configuration),
        *_service(options),
        _attempt("triggerers", _triggerers),
        _attempt("max_map_length", _max_map_length),
    ]
    show([finding.row() for finding in findings], options.output)
    return int(any(finding.result == FAIL for finding in findings))


def _versions() -> Finding:
    import airflow

    from airflow_provider_llamabatch import __version__
    from airflow_provider_llamabatch.airflow_compat import keeps_state

    python = ".".join(map(str, sys.version_info[:3]))
    found = f"provider {__version__}, Airflow {airflow.__version__}, Python {python}"
    if keeps_state():
        return Finding("versions", OK, found)
    return Finding(
        "versions",
        OK,
        f"{found}; below Airflow 3.3 a submission is not recorded, a retry looks for it in LlamaCloud",
    )


def _configuration() -> Finding:
    from airflow_provider_llamabatch import configuration

    configuration.check()
    return of_configuration(
        configuration.given(), list(configuration.OPTIONS), is_deferred=configuration.deferrable()
    )


def _service(options: Namespace) -> Iterator[Finding]:
    """Check what can be asked of LlamaCloud: connection, key and plan, project, clock; each needs the one before."""
    from airflow_provider_llamabatch.llamacloud import calls
    from airflow_provider_llamabatch.llamacloud.retries import ONCE
    from airflow_provider_llamabatch.llamacloud.settings import EXTRA_FIELDS

    left: tuple[str, ...] = ("connection", "key", "project", "clock")
    try:
        with connected(options) as (hook, scope):
            client = hook.get_conn()
            extras = hook.get_connection(options.conn_id).extra_dejson
            yield of_connection(options.conn_id, client.settings.base_url, extras, EXTRA_FIELDS)
            left = left[1:]
            project = None
            try:
                hook.send(calls.list_batches(page_size=1, **scope), ONCE)
                found = "accepted, and batches can be listed; what the plan allows shows at a submission"
            except StatusError as error:
                project = _project(hook, scope, client.settings.project_id) if error.from_api else None
                if project is None or project.result != FAIL:
                    raise
                found = "accepted"  # it is the project that is wrong
            now = time.time()
            client = hook.get_conn()
            yield Finding(left[0], OK, found)
            left = left[1:]
            yield project or _project(hook, scope, client.settings.project_id)
            left = left[1:]
            yield of_clock(client.last_date, now)
            return
    except LlamaCloudError as error:
        yield (_unread_database(error) if left[0] == "connection" else None) or Finding(
            left[0], FAIL, str(error), _advice(error)
        )
    for name in left[1:]:
        yield Finding(name, UNKNOWN, "not asked, since the check before failed")


def _unread_database(error: LlamaCloudError) -> Finding | None:
    """Return that the metadata database cannot be read, where Airflow therefore says that there is no connection."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    if not isinstance(error, InvalidInputError) or not error.problem.startswith(NOT_THERE):
        return None
    try:
        with create_session() as session:
            session.scalar(select(Connection.conn_id).limit(1))
    except Exception as problem:  # whatever the driver raises
        return Finding(
            "connection",
            FAIL,
            f"the metadata database cannot be read: {_in_short(problem)}; elsewhere {error.problem.partition(';')[0]}",
            "correct [database] sql_alchemy_conn, or run `airflow db migrate` where the database was never migrated",
        )
    return None


def _in_short(error: Exception) -> str:
    reason = str(error).strip().splitlines()
    return type(error).__name__ + (f": {reason[0]}" if reason else "")


def _advice(error: LlamaCloudError) -> str:
    if isinstance(error, NoResponseError):
        return (
            "the service does not answer: check the connection's host, the network and proxies, or try later"
        )
    if isinstance(error, StatusError) and not error.from_api:
        return "check the connection's host, and what lies between here and there"
    if isinstance(error, InvalidInputError) and error.argument.startswith("["):
        return "correct the option, as docs/configuration.md says"
    return "correct the connection, as docs/connection.md says"


def _project(hook: Any, scope: dict[str, Any], configured: str | None) -> Finding:
    from airflow_provider_llamabatch.llamacloud import calls

    try:
        projects = hook.send(calls.list_projects(organization_id=scope["organization_id"]))
    except StatusError as error:
        return Finding("project", UNKNOWN, f"the key's projects could not be listed: {error}")
    return of_projects(projects, scope["project_id"] or configured)


def _triggerers() -> Finding:
    from airflow.jobs.job import Job
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    from airflow_provider_llamabatch import configuration
    from airflow_provider_llamabatch.airflow_compat import triggerer_capacity

    with create_session() as session:
        jobs = session.scalars(
            select(Job).where(Job.job_type == "TriggererJob", Job.state == "running")
        ).all()
        waiting = session.scalar(select(func.count()).select_from(Trigger)) or 0
        alive = sorted(str(job.hostname) for job in jobs if job.is_alive())
    return of_triggerers(alive, waiting, capacity=triggerer_capacity(), needed=configuration.deferrable())


def _max_map_length() -> Finding:
    from airflow.providers.common.compat.sdk import conf

    return of_max_map_length(conf.getint("core", "max_map_length"))


def _attempt(name: str, check: Callable[[], Finding]) -> Finding:
    """Make a check; one that cannot be made here says why."""
    try:
        return check()
    except LlamaCloudError as error:
        return Finding(name, FAIL, str(error), "correct the configuration, as docs/configuration.md says")
    except Exception as error:  # such as a metadata database that is not there: whatever the driver raises
        return Finding(
            name,
            UNKNOWN,
            f"could not be checked here: {_in_short(error)}",
            "run this where the scheduler runs, with its configuration",
        )
