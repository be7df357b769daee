"""``python -m airflow_provider_llamabatch.emulator``: serve until a signal; stdout carries the URL alone."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_provider_llamabatch.emulator import DEMO_API_KEY, LlamaCloudEmulator, Settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal comes and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = Settings().changed(**dict(options.set)).faster(options.speed)
    except ValidationError as error:
        parser.error("; ".join(map(_said, error.errors())))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A shell lets what runs in its background ignore Ctrl-C, and nohup lets it go on without its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    emulator = LlamaCloudEmulator(
        api_key=options.api_key,
        host=options.host,
        port=options.port,
        settings=settings,
        seed=options.seed,
        state_file=options.state_file,
    )
    try:
        with emulator:
            print(emulator.url, flush=True)
            stop.wait()
    except (OSError, OverflowError, ValueError) as error:  # OverflowError: a port above 65535
        print(f"The emulator cannot serve on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_llamabatch.emulator", description="Serve a local LlamaCloud."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one (default)")
    parser.add_argument(
        "--api-key",
        type=_key,
        default=DEMO_API_KEY,
        help="key that clients must send (default: %(default)s)",
    )
    parser.add_argument(
        "--speed", type=_positive, default=1.0, help="run batches and jobs so many times faster"
    )
    parser.add_argument("--seed", type=int, help="make ids and everything left to chance repeatable")
    parser.add_argument("--state-file", help="go on from this file, and keep it up to date")
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting, its value as JSON or plain text; may be repeated",
    )
    return parser


def _said(problem: ErrorDetails) -> str:
    name, message = ".".join(map(str, problem["loc"])), problem["msg"]
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        message = f"there is no such setting; there are {', '.join(Settings.model_fields)}"
    return f"{name}: {message}"


def _key(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty; leave it out for the demo's key")
    return text


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return number


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    sys.exit(main())
