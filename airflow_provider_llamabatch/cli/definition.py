"""The commands and their arguments. Airflow reads this at every ``airflow`` command: what they do is loaded later."""

from __future__ import annotations

import contextlib
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from airflow.cli.cli_config import (
    ARG_OUTPUT,
    ARG_VERBOSE,
    ARG_YES,
    ActionCommand,
    Arg,
    GroupCommand,
    lazy_load_command,
)

from airflow_provider_llamabatch.defaults import MAX_FILES_PER_DIRECTORY
from airflow_provider_llamabatch.llamacloud.statuses import BatchStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

_COMMANDS = "airflow_provider_llamabatch.cli"
_STATUSES = tuple(status.value for status in BatchStatus)


def _id_of(argument: str) -> Callable[[str], str]:
    """Return what reads an id; a wrong one ends the command with 2, as every wrong argument, before any request."""

    def read(text: str) -> str:
        from airflow_provider_llamabatch.llamacloud.call import checked_id

        with _as_argument_error():
            return checked_id(argument, text)

    return read


def _conn_id(text: str) -> str:
    from airflow_provider_llamabatch.llamacloud.call import check_conn_id

    with _as_argument_error():
        check_conn_id("--conn-id", text)
    if not text.strip():
        raise ArgumentTypeError("is empty")
    return text


def _since(text: str) -> datetime:
    from datetime import UTC, datetime

    from airflow_provider_llamabatch.cli.batches import since

    with _as_argument_error():
        return since(text, datetime.now(UTC))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number above 0, not {text!r:.100}")
    return int(text)


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"must be a whole number from 0, not {text!r:.100}")
    return int(text)


def _files_per_directory(text: str) -> int:
    count = _count(text)
    if count > MAX_FILES_PER_DIRECTORY:
        raise ArgumentTypeError(f"must be at most {MAX_FILES_PER_DIRECTORY}: a batch takes no more")
    return count


@contextlib.contextmanager
def _as_argument_error() -> Iterator[None]:
    from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

    try:
        yield
    except InvalidInputError as error:
        problem = str(error).removeprefix(f"{error.argument}: ")
    else:
        return
    raise ArgumentTypeError(problem)


_CONN_ID = Arg(
    ("--conn-id",),
    type=_conn_id,
    default="llamabatch_default",
    help="the Airflow connection (default: llamabatch_default)",
)
_PROJECT = Arg(
    ("--project-id",), type=_id_of("project_id"), help="the project, the connection's if not given"
)
_ORGANIZATION = Arg(
    ("--organization-id",),
    type=_id_of("organization_id"),
    help="the organization, the connection's if not given",
)
_ACCESS = (_CONN_ID, _PROJECT, _ORGANIZATION, ARG_VERBOSE)
_BATCH = Arg(("batch_id",), type=_id_of("batch_id"), help="the batch", metavar="BATCH")

_LIST = ActionCommand(
    name="list",
    help="List batches, newest first",
    func=lazy_load_command(f"{_COMMANDS}.batches.list_batches"),
    args=(
        Arg(("--status",), type=str.upper, choices=_STATUSES, help="only of this status"),
        Arg(("--directory",), type=_id_of("directory_id"), help="only over this directory"),
        Arg(
            ("--since",),
            type=_since,
            help="only created since then: an ISO 8601 time (UTC without a zone), or 90m, 24h, 7d",
        ),
        Arg(("--limit",), type=_count, default=100, help="at most so many (default: 100)"),
        ARG_OUTPUT,
        *_ACCESS,
    ),
)
_SHOW = ActionCommand(
    name="show",
    help="Show a batch: its files, their jobs, errors, pages and credits",
    description="Show a batch: its files, their jobs, errors, pages and credits. Pages and credits take a request per "
    "job. Ends with 1 where the batch or one of its files failed.",
    func=lazy_load_command(f"{_COMMANDS}.batches.show_batch"),
    args=(
        _BATCH,
        Arg(
            ("--without-usage",),
            action="store_true",
            help="ask for the jobs' statuses only, a hundred at once",
        ),
        ARG_OUTPUT,
        *_ACCESS,
    ),
)
_CANCEL = ActionCommand(
    name="cancel",
    help="Cancel a batch; files that had finished keep their jobs",
    func=lazy_load_command(f"{_COMMANDS}.batches.cancel_batch"),
    args=(_BATCH, ARG_YES, *_ACCESS),
)
_PLAN = ActionCommand(
    name="plan",
    help="Say what an upload would do; nothing is uploaded and nothing is paid for",
    description="Say which files of a source would be uploaded, which are left out and why, how many pages the PDFs "
    "have and how many directories it takes. Nothing is uploaded or paid for. Ends with 0 where every file can be "
    "processed, 1 where one cannot or a limit is passed, 2 where the plan could not be made.",
    func=lazy_load_command(f"{_COMMANDS}.plan.plan"),
    args=(
        Arg(("source",), help="folder, file or glob: a path or a URL", metavar="SOURCE"),
        Arg(("--pattern",), default="**/*", help="which files below the folder (default: **/*)"),
        Arg(("--source-conn-id",), help="the Airflow connection of the source's storage"),
        Arg(("--target",), help="where results are: leaves out what has one (needs --configuration-id)"),
        Arg(("--target-conn-id",), help="the Airflow connection of the target's storage"),
        Arg(
            ("--configuration-id",),
            type=_id_of("configuration_id"),
            help="the configuration of the results in --target",
        ),
        Arg(("--outputs",), default="markdown", help="what is saved of each document (default: markdown)"),
        Arg(
            ("--directory-id",),
            type=_id_of("directory_id"),
            help="an existing directory: leaves out what it holds unchanged",
        ),
        Arg(("--max-files",), type=_limit, help="more files to send than this are an error"),
        Arg(("--max-pages",), type=_limit, help="more pages of PDFs to send than this are an error"),
        Arg(
            ("--max-files-per-directory",),
            type=_files_per_directory,
            default=MAX_FILES_PER_DIRECTORY,
            help="as of UploadDirectoryOperator",
        ),
        Arg(("--without-pages",), action="store_true", help="do not read the PDFs to count their pages"),
        Arg(("--all",), action="store_true", help="list every file, not only those that are left out"),
        ARG_OUTPUT,
        *_ACCESS,
    ),
)
_EMULATOR = ActionCommand(
    name="emulator",
    help="Serve a local LlamaCloud until Ctrl-C; prints its URL",
    description="Serve a local LlamaCloud until Ctrl-C. It prints its URL. Needs the extra `emulator`.",
    func=lazy_load_command(f"{_COMMANDS}.emulator.emulator"),
    args=(
        Arg(("--host",), default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"),
        Arg(("--port",), default="0", help="port to listen on; 0, the default, takes a free one"),
        Arg(("--api-key",), help="key that clients must send"),
        Arg(("--speed",), default="1", help="run batches and jobs so many times faster"),
        Arg(("--seed",), help="make ids and everything left to chance repeatable"),
        Arg(("--state-file",), help="go on from this file, and keep it up to date"),
        Arg(
            ("--set",),
            action="append",
            metavar="NAME=VALUE",
            help="a setting of docs/emulator.md, its value as JSON or plain text; may be repeated",
        ),
    ),
)
_DOCTOR = ActionCommand(
    name="doctor",
    help="Check connection, key, project, clock, triggerers and configuration",
    description="Check what tasks need, each with a sentence of what to do. Ends with 1 where a check failed; "
    "warnings and checks that could not be made end with 0.",
    func=lazy_load_command(f"{_COMMANDS}.doctor.doctor"),
    args=(ARG_OUTPUT, *_ACCESS),
)


def get_cli_commands() -> list[GroupCommand]:
    """Return the commands, for Airflow and for ``python -m``."""
    return [
        GroupCommand(
            name="llamabatch",
            help="LlamaCloud batches",
            subcommands=(_LIST, _SHOW, _CANCEL, _PLAN, _EMULATOR, _DOCTOR),
        )
    ]
