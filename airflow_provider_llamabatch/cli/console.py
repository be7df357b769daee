"""What the commands share: how they reach LlamaCloud, how they print, how they end."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from airflow_provider_llamabatch.defaults import MAX_RETRY_SECONDS
from airflow_provider_llamabatch.documents.manifest import ManifestUnreadableError
from airflow_provider_llamabatch.exceptions import StorageError
from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Sequence

    from airflow.cli.simple_table import AirflowConsole

    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook


_silent = threading.Event()  # set while a command runs that has not told of a retry yet


def command(function: Callable[[Namespace], int], *, failed: int = 1) -> Callable[[Namespace], None]:
    """
    Make a function into a command: it ends the process with the code that the function returns.

    What the function raises on purpose is said in one sentence, and ends with ``failed``. Logs and warnings are left
    out, unless ``--verbose`` is given: then they are on stderr. What is printed on stdout is nothing but the answer.
    """

    @functools.wraps(function)
    def run(options: Namespace) -> None:
        act_as_airflow()
        if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the output's encoding lacks ends nothing
            sys.stdout.reconfigure(errors="replace")
        try:
            with _logs_on_stderr() if options.verbose else _quiet(), _retries_told():
                code = function(options)
                sys.stdout.flush()
        except BrokenPipeError:  # who reads what is printed has enough of it, such as ``head``
            _print_no_more()
            code = 1
        except (LlamaCloudError, ManifestUnreadableError, StorageError, OSError) as error:
            if options.verbose:
                logging.getLogger(__name__).exception("The command failed")
            print(error, file=sys.stderr)
            code = failed
        sys.exit(code)

    return run


def _print_no_more() -> None:
    """Let what is still in the buffer go nowhere, as rich does it: Python would complain of it at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _retries_told() -> Iterator[None]:
    """Say on stderr, once, that a request is sent again: it may take minutes until the command ends."""
    from airflow_provider_llamabatch.llamacloud import retries

    retries.observe(_tell)
    _silent.set()
    try:
        yield
    finally:
        _silent.clear()


def _tell(error: BaseException | None) -> None:
    if _silent.is_set():
        _silent.clear()
        print(
            f"Trying again, the last time within {MAX_RETRY_SECONDS:.0f} s: {error}",
            file=sys.stderr,
            flush=True,
        )


def act_as_airflow() -> None:
    """
    Let connections come from the metadata database too, as for Airflow's own commands.

    The task SDK of Airflow 3 looks there only in processes that say that they are no task's.
    """
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")


@contextlib.contextmanager
def connected(options: Namespace) -> Iterator[tuple[LlamaBatchHook, dict[str, Any]]]:
    """Give the hook of ``--conn-id``, and the project and organization for its calls."""
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook

    with LlamaBatchHook(options.conn_id) as hook:
        yield hook, {"project_id": options.project_id, "organization_id": options.organization_id}


def show(rows: Sequence[dict[str, Any]], output: str) -> None:
    """Print rows of the same keys as ``--output`` asks for."""
    if output in ("json", "yaml"):
        show_document(list(rows), output)
        return
    _console().print_as(data=[_as_text(row, output) for row in rows], output=output)


def show_document(document: Any, output: str) -> None:
    """Print a JSON document as JSON or YAML."""
    console = _console()
    (console.print_as_json if output == "json" else console.print_as_yaml)(document)


def _console() -> AirflowConsole:
    """Return Airflow's console, without colours where no terminal is: FORCE_COLOR, as CI sets it, would spoil JSON."""
    from airflow.cli.simple_table import AirflowConsole

    return AirflowConsole(force_terminal=None if sys.stdout.isatty() else False)


def _as_text(row: dict[str, Any], output: str) -> dict[str, str]:
    """Return a row for a table: None is empty, and nothing in it is taken for markup."""
    from rich.markup import escape

    from airflow_provider_llamabatch.llamacloud.text import clean_text

    texts = {name: "" if value is None else clean_text(str(value)) for name, value in row.items()}
    return {name: escape(text) for name, text in texts.items()} if output == "table" else texts


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, _structlog_to(nowhere):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


@contextlib.contextmanager
def _logs_on_stderr() -> Iterator[None]:
    with contextlib.ExitStack() as moved, _structlog_to(sys.stderr):
        for logger in (logging.root, *logging.root.manager.loggerDict.values()):
            for handler in getattr(logger, "handlers", ()):
                if getattr(handler, "stream", None) is sys.stdout:
                    moved.enter_context(_replaced(cast("logging.Logger", logger), handler))
        yield


@contextlib.contextmanager
def _replaced(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    """Let a handler's logs be on stderr; it may be one of Airflow 2 that takes no other stream."""
    other = logging.StreamHandler(sys.stderr)
    other.setLevel(handler.level)
    other.setFormatter(handler.formatter)
    other.filters = list(handler.filters)
    logger.removeHandler(handler)
    logger.addHandler(other)
    try:
        yield
    finally:
        logger.removeHandler(other)
        logger.addHandler(handler)


@contextlib.contextmanager
def _structlog_to(stream: TextIO) -> Iterator[None]:
    """
    Let what Airflow 3 logs past ``logging``, such as a provider's hook, go to a stream.

    Its loggers take the ``sys.stdout`` of the moment in which they are made; those of this time are made for it alone.
    """
    try:
        import structlog
    except ImportError:  # Airflow 2
        yield
        return
    before = structlog.get_config()
    make = before["logger_factory"]

    def made(*arguments: Any) -> Any:
        with contextlib.redirect_stdout(stream):
            return make(*arguments)

    structlog.configure(logger_factory=made, cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
