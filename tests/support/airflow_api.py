"""The REST API of Airflow 3, as far as the demo and the tests need it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE = 100
LOCKED_TRIES = 5


class AirflowApiError(RuntimeError):
    """Airflow answered a request with an error; the message holds its words."""


class AirflowApi:
    """Talks to one API server as one user. Answers are the JSON values Airflow sends."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._login = {"username": user, "password": password}
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> dict[str, str | None]:
        """Return each component's status: ``healthy``, ``unhealthy``, or None when it was never seen."""
        # The API that tasks talk to is built at its first request, for seconds: better now than in the first task.
        self._http.get("/execution/health").raise_for_status()
        answer = self._http.get("/api/v2/monitor/health")
        return {name: component["status"] for name, component in answer.raise_for_status().json().items()}

    def dag_exists(self, dag_id: str) -> bool:
        """Return whether the DAG processor has read the DAG."""
        return self._answer("GET", f"/dags/{dag_id}").status_code != httpx.codes.NOT_FOUND

    def import_errors(self) -> list[str]:
        """Return what went wrong with DAG files, one text per file."""
        errors = self._get("/importErrors")["import_errors"]
        return [f"{error['filename']}:\n{error['stack_trace']}" for error in errors]

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Unpause the DAG, start a run and return the run's id."""
        self.unpause(dag_id)
        body = {"logical_date": None, "conf": dict(conf or {}), "dag_run_id": run_id or f"manual__{uuid4()}"}
        for _ in range(LOCKED_TRIES):
            answer = self._answer("POST", f"/dags/{dag_id}/dagRuns", json=body)
            if answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR:
                break
            time.sleep(1)  # SQLite was locked by another of Airflow's processes, and nothing was written
        run: str = _checked(answer)["dag_run_id"]
        return run

    def unpause(self, dag_id: str) -> None:
        """Let the DAG run as scheduled."""
        self._send("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def run_ids(self, dag_id: str) -> list[str]:
        """Return the ids of the DAG's runs."""
        return [run["dag_run_id"] for run in self._get(f"/dags/{dag_id}/dagRuns")["dag_runs"]]

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return ``queued``, ``running``, ``success`` or ``failed``."""
        state: str = self._get(_run(dag_id, run_id))["state"]
        return state

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run (``task_id``, ``map_index``, ``state``, ``try_number``, ...)."""
        found: list[dict[str, Any]] = []
        while True:
            query = {"limit": PAGE, "offset": len(found), "order_by": "id"}
            page = self._get(f"{_run(dag_id, run_id)}/taskInstances", **query)
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return one task instance, a waiting one with its ``trigger``."""
        instance: dict[str, Any] = self._get(_task(dag_id, run_id, task_id, map_index))
        return instance

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Return the value of one XCom."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{quote(key, safe='')}"
        return self._get(path, map_index=map_index, deserialize=True)["value"]

    def log_lines(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> list[str]:
        """Return the messages that one try logged, exceptions included."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        content = self._get(path, map_index=map_index, full_content=True)["content"]
        lines: list[str] = []
        for entry in content:
            if isinstance(entry, str):
                lines.append(entry)
                continue
            lines.append(str(entry.get("event", "")))
            for error in entry.get("error_detail") or ():
                lines.append(f"{error.get('exc_type')}: {error.get('exc_value')}")
        return lines

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """Return the URLs of a task instance's links by their names."""
        links: dict[str, str | None] = self._get(f"{_run(dag_id, run_id)}/taskInstances/{task_id}/links")[
            "extra_links"
        ]
        return links

    def create_connection(self, connection: Mapping[str, Any]) -> None:
        """Store a connection in the metadata database, as the form does."""
        self._send("POST", "/connections", connection)

    def test_connection(self, connection: Mapping[str, Any]) -> dict[str, Any]:
        """Press the Test button of a stored connection: ``status`` and ``message``."""
        result: dict[str, Any] = self._send("POST", "/connections/test", {**connection, "password": "***"})
        return result

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str], *, downstream: bool = False) -> None:
        """Clear tasks of a run, as the button does, so that they run again."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "only_failed": False,
            "reset_dag_runs": True,
            "include_downstream": downstream,
        }
        self._send("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def set_task_state(
        self, dag_id: str, run_id: str, task_id: str, state: str, *, map_index: int = -1
    ) -> None:
        """Mark a task instance as ``failed``, ``success`` or ``skipped``, as the button does."""
        self._send("PATCH", _task(dag_id, run_id, task_id, map_index), {"new_state": state})

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a run as ``failed``, ``success`` or ``queued``, as the button does."""
        self._send("PATCH", _run(dag_id, run_id), {"state": state})

    def backfill(self, dag_id: str, from_date: str, to_date: str) -> None:
        """Have the runs of these days made up for, one at a time."""
        body = {"dag_id": dag_id, "from_date": from_date, "to_date": to_date, "max_active_runs": 1}
        self._send("POST", "/backfills", body)

    def variables(self) -> list[str]:
        """Return the keys of the Variables."""
        return [variable["key"] for variable in self._get("/variables")["variables"]]

    def delete_variable(self, key: str) -> None:
        """Delete a Variable."""
        self._answer("DELETE", f"/variables/{key}").raise_for_status()

    def create_pool(self, name: str, slots: int) -> None:
        """Create a pool in which deferred tasks count."""
        self._send("POST", "/pools", {"name": name, "slots": slots, "include_deferred": True})

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answer what a task asks a person."""
        self._send(
            "PATCH", f"{_task(dag_id, run_id, task_id, -1)}/-1/hitlDetails", {"chosen_options": [option]}
        )

    def question(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return what a task asks a person."""
        details = self._get(f"{_task(dag_id, run_id, task_id, -1)}/-1/hitlDetails")
        body: str = details["body"]
        return body

    def set_pool(self, name: str, slots: int, *, include_deferred: bool = False) -> None:
        """Make a pool."""
        body = {"name": name, "slots": slots, "description": "", "include_deferred": include_deferred}
        self._send("POST", "/pools", body)

    def _get(self, path: str, **query: Any) -> Any:
        return _checked(self._answer("GET", path, params=query))

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        return _checked(self._answer(method, path, json=body))

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if "Authorization" not in self._http.headers:
            token = _checked(self._http.post("/auth/token", json=self._login))["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        return self._http.request(method, f"/api/v2{path}", **arguments)


def _checked(response: httpx.Response) -> Any:
    if response.is_error:
        request = response.request
        raise AirflowApiError(
            f"Airflow answered {request.method} {request.url.path} with {response.status_code}: "
            f"{response.text[:500]}"
        )
    return response.json()


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def _task(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    mapped = f"/{map_index}" if map_index >= 0 else ""
    return f"{_run(dag_id, run_id)}/taskInstances/{task_id}{mapped}"
