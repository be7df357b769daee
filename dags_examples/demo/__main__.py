"""
``python -m dags_examples.demo``: a folder of documents, LlamaCloud, a real Airflow, a folder of Markdown.

Uses the service when LLAMA_CLOUD_API_KEY is set and the emulator otherwise. KEEP=1 leaves Airflow up until
Ctrl-C. Exits with 0 when the run succeeded. Everything it writes is in ``.demo`` of the checkout, which the
next demo clears.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
from dags_examples.demo.progress import RunDidNotEndError, follow, reasons_of_failure, say, table
from tests.support.airflow_api import AirflowApiError
from tests.support.airflow_processes import USER, RealAirflow
from tests.support.llamacloud import Emulator, LlamaCloud, the_service
from tests.support.processes import Interrupted, Interrupts, ProcessFailedError, end_all

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).resolve().parent.parent
HOME = EXAMPLES.parent / ".demo"
MARKDOWN = HOME / "markdown"
DAG_ID = "folder_to_markdown"
EMULATED_RUN_SECONDS = 300.0
SERVICE_RUN_SECONDS = 3600.0


def main() -> int:
    """Run the demo and return its exit code."""
    interrupts = Interrupts()
    with interrupts.caught(), contextlib.ExitStack() as cleanup:
        try:
            cleanup.enter_context(_only_one())
            return _demo(interrupts, cleanup)
        except Interrupted as interrupted:
            say("\nEnding every process ...")
            return interrupted.exit_code
        except (ProcessFailedError, AirflowApiError, LlamaCloudError, RunDidNotEndError) as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            return 1


def _demo(interrupts: Interrupts, cleanup: contextlib.ExitStack) -> int:
    llamacloud = _llamacloud(interrupts, cleanup)
    documents = EXAMPLES / "documents"
    _say("Documents", f"{len(list(documents.iterdir()))} in {_short(documents)}")

    began = time.monotonic()
    _say("Airflow", f"starting API server, scheduler, DAG processor and triggerer in {_short(HOME)} ...")
    environment = {
        "AIRFLOW_CONN_LLAMABATCH_DEFAULT": llamacloud.connection_json,
        "AIRFLOW_VAR_DOCUMENTS_FOLDER": str(documents),
        "AIRFLOW_VAR_MARKDOWN_FOLDER": str(MARKDOWN),
    }
    if "LLAMA_CLOUD_API_KEY" not in os.environ:
        environment["AIRFLOW__LLAMABATCH__UI_HOST"] = "none"  # the emulator has no pages to link to
    airflow = RealAirflow(HOME / "airflow", EXAMPLES, env=environment, sleep=interrupts.sleep)
    cleanup.enter_context(airflow)
    airflow.wait_for_dag(DAG_ID)
    _say("", f"healthy after {time.monotonic() - began:.0f} s: {_how_to_log_in(airflow)}")
    run_id = airflow.wait_for_scheduled_run(DAG_ID)
    _say("Run", f"{airflow.url}/dags/{DAG_ID}/runs/{run_id}\n")
    patience = SERVICE_RUN_SECONDS if "LLAMA_CLOUD_API_KEY" in os.environ else EMULATED_RUN_SECONDS
    state = follow(airflow, DAG_ID, run_id, interrupts.sleep, seconds=patience)
    succeeded = state == "success"
    if succeeded:
        _show_report()
    else:
        print(f"\nThe run failed.\n{reasons_of_failure(airflow, DAG_ID, run_id)}", file=sys.stderr)
    _show_how_to_go_on(airflow, interrupts)
    return 0 if succeeded else 1


def _llamacloud(interrupts: Interrupts, cleanup: contextlib.ExitStack) -> LlamaCloud:
    if os.environ.get("LLAMA_CLOUD_API_KEY"):
        llamacloud = the_service(os.environ)
    else:
        emulator = Emulator(HOME / "emulator.log", interrupts.sleep)
        cleanup.callback(end_all, [emulator.process], 5.0)
        llamacloud = emulator.start()
    cleanup.callback(llamacloud.close)
    return llamacloud


def _show_report() -> None:
    manifest = MARKDOWN / "manifest.jsonl"
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        text = Path(row["path"]).read_text(encoding="utf-8") if row["path"] else ""
        row["first_line"] = next((line.strip() for line in text.splitlines() if line.strip()), "")
    say(f"\n{table(rows)}\n")
    _say("Markdown", f"{_short(MARKDOWN)}, with {manifest.name}: a row per document")


def _show_how_to_go_on(airflow: RealAirflow, interrupts: Interrupts) -> None:
    _say("Logs", _short(airflow.home / "logs"))
    if not os.environ.get("KEEP"):
        _say("Web UI", "ended with this demo; 'make demo KEEP=1' leaves it up")
        return
    _say("Web UI", _how_to_log_in(airflow))
    say("\nCtrl-C ends everything.")
    with contextlib.suppress(Interrupted):
        while True:
            airflow.check()
            interrupts.sleep(1.0)
    say("\nEnding every process ...")


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Hold the lock of the demo's home and clear what an earlier demo left."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProcessFailedError(f"another demo is running in {HOME}; end it first") from None
        for entry in HOME.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
        yield


def _how_to_log_in(airflow: RealAirflow) -> str:
    return f"{airflow.url}  (user {USER}, password {airflow.password})"


def _say(topic: str, text: str) -> None:
    say(f"{topic:<12}{text}")


def _short(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    sys.exit(main())
