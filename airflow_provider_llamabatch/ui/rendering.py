"""Templates to pages: everything is escaped, and every address begins with the path that Airflow is mounted at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2
from fastapi.responses import HTMLResponse

from airflow_provider_llamabatch import __version__
from airflow_provider_llamabatch.ui import limits
from airflow_provider_llamabatch.ui.plugin import PREFIX
from airflow_provider_llamabatch.ui.views import words

if TYPE_CHECKING:
    from fastapi import Request

    from airflow_provider_llamabatch.ui.runs import Task

HERE = Path(__file__).parent

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def path_of(task: Task) -> str:
    """Return where Airflow's own UI shows a task instance, relative to its root."""
    mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
    return f"dags/{part(task.dag_id)}/runs/{part(task.run_id)}/tasks/{part(task.task_id)}{mapped}"


def run_path(dag_id: str, run_id: str) -> str:
    """Return where Airflow's own UI shows a DAG run, relative to its root."""
    return f"dags/{part(dag_id)}/runs/{part(run_id)}"


def moment(at: datetime | None) -> str:
    """Return a time in UTC to the second."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def base_of(request: Request) -> str:
    """Return the path that this application is mounted at, without a slash at the end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a template as a page."""
    base = base_of(request)
    html = _environment.get_template(template).render(
        base=base,
        airflow=base.removesuffix(PREFIX) + "/",
        version=__version__,
        refresh=int(limits.REFRESH * 1000),
        **values,
    )
    return HTMLResponse(html, status)


def part(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")


_environment.filters |= {
    "part": part,
    "moment": moment,
    "duration": words.duration,
    "kind": words.kind_of,
    "decision": words.decision_in_words,
    "task_path": path_of,
    "number": words.number,
}
_environment.globals["run_path"] = run_path
