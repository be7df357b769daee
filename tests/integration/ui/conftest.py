"""Airflow's API server in this process, with the page, an emulator and users of different rights."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_llamabatch.airflow_compat import has_views
from tests.support import page_world

if not has_views():
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="module")
def world():
    with page_world.page_world() as world:
        yield world


@pytest.fixture(scope="session")
def application():
    page_world.users_and_rights()
    page_world.prepare_airflow([page_world.ROOT / "dags_examples" / "process_failed_files.py"])
    return page_world.airflow_application()


class User:
    """A user's browser as far as a test needs one."""

    def __init__(self, application: Any, name: str) -> None:
        from fastapi.testclient import TestClient

        self.http = TestClient(application, base_url="http://airflow.test", follow_redirects=False)
        role = "admin" if name == "admin" else "viewer"
        self.http.headers["Authorization"] = f"Bearer {page_world.token_of(name, role)}"

    def get(self, path: str) -> Any:
        """Ask for a path below the connection's pages."""
        return self.http.get(page_world.PREFIX + path)

    def read(self, path: str) -> str:
        """Return a page once what it shows was read."""
        for _ in range(100):
            answered = self.get(path)
            assert answered.status_code == 200, answered.text
            if "data-soon" not in answered.text:
                return str(answered.text)
        raise AssertionError("it was never read")

    def post(self, path: str, *, token: str | None = None, headers: dict[str, str] | None = None) -> Any:
        """Send a form of the page, with the headers of a browser."""
        sent = {"Origin": "http://airflow.test", "Sec-Fetch-Site": "same-origin"} | (headers or {})
        return self.http.post(
            page_world.PREFIX + path,
            data={"token": token or ""},
            headers={k: v for k, v in sent.items() if v},
        )

    def token(self, batch_id: str, action: str) -> str:
        """Return the token in the form of an action."""
        text = self.read(f"/batches/{batch_id}")
        found = re.search(rf'/{action}"><input type="hidden" name="token" value="([^"]+)"', text)
        assert found, text
        return found.group(1)


@pytest.fixture
def user(application):
    return lambda name: User(application, name)


@pytest.fixture
def new_process(application):
    """Forget what the page has read, as a new process would."""
    from airflow_provider_llamabatch.ui.plugin import LlamaBatchPlugin

    page = LlamaBatchPlugin.fastapi_apps[0]["app"]
    if page._application is not None:
        from airflow_provider_llamabatch.ui.reading import Readers
        from airflow_provider_llamabatch.ui.runs import RunsReader

        page._application.state.readers = Readers()
        page._application.state.runs = RunsReader()
