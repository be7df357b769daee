"""The documentation keeps up with the code: its snippets run, its links lead somewhere, it leaves nothing out."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_llamabatch import exceptions
from airflow_provider_llamabatch.batches.polling import Reason
from airflow_provider_llamabatch.connection_form import conn_fields
from airflow_provider_llamabatch.llamacloud.errors import NoResponseError, RateLimitedError, UnavailableError
from airflow_provider_llamabatch.operators.batch import CancelBatchOperator, CreateBatchOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_BACKTICKED = re.compile(r"`([^`\n]+)`")

SNIPPETS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(_PYTHON.findall(page.read_text(encoding="utf-8")))
]
AIRFLOW_3 = importlib.util.find_spec("airflow.sdk") is not None
DAG_SNIPPETS = [
    snippet
    for snippet in SNIPPETS
    if "@dag" in (code := str(snippet.values[0])) and (AIRFLOW_3 or "airflow.sdk" not in code)
]
LINKS = [
    pytest.param(page, target, id=f"{page.name}-{target}")
    for page in PAGES
    for target in sorted(set(_LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8")))))
    if "://" not in target
]


def named_in(*pages: Path) -> set[str]:
    """Return the words in backticks, ``name=value`` counting as ``name`` too."""
    texts = [_CODE.sub("", page.read_text(encoding="utf-8")) for page in pages]
    return {word for text in texts for code in _BACKTICKED.findall(text) for word in re.findall(r"\w+", code)}


@pytest.mark.parametrize("code", SNIPPETS)
def test_every_python_block_compiles(code):
    compile(code, "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("code", DAG_SNIPPETS)
def test_every_dag_in_the_pages_can_be_imported(code, tmp_path):
    path = tmp_path / "snippet.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("snippet", path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_the_retry_policy_in_the_pages_knows_what_tasks_raise():
    pytest.importorskip("airflow.sdk.definitions.retry_policy")
    [code] = [str(snippet.values[0]) for snippet in SNIPPETS if "RetryRule(" in str(snippet.values[0])]
    names: dict[str, Any] = {}
    exec(code, names)

    def decided(error: Exception) -> tuple[str, float | None]:
        with pytest.raises(type(error)) as raised, exceptions.fail_fast_on_permanent_errors():
            raise error
        decision = names["patient"].evaluate(raised.value, try_number=1, max_tries=5)
        return decision.action.value, decision.retry_delay and decision.retry_delay.total_seconds()

    assert decided(RateLimitedError("429", status_code=429)) == ("retry", 900)
    assert decided(UnavailableError("502", status_code=502)) == ("retry", 300)
    assert decided(NoResponseError("nothing", reached_server=False)) == ("default", None)
    assert decided(exceptions.BatchTimeoutError("late")) == ("fail", None)


def test_there_are_snippets_and_links_to_check():
    assert DAG_SNIPPETS
    assert LINKS


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_every_relative_link_leads_to_a_file_or_a_heading(page, target):
    path, _, heading = target.partition("#")
    linked = (page.parent / path).resolve() if path else page
    assert linked.exists()
    assert linked.is_relative_to(ROOT)
    if heading:
        assert heading in headings_of(linked)


def headings_of(page: Path) -> set[str]:
    """Return the headings as they are addressed: in lower case, with dashes, without punctuation."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("operator", [CreateBatchOperator, BatchSensor, CancelBatchOperator])
def test_every_argument_is_named_in_the_pages(operator):
    parameters = inspect.signature(inspect.unwrap(operator.__init__)).parameters.values()
    arguments = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}

    assert "llamabatch_conn_id" in arguments
    assert arguments - named_in(*PAGES) == set()


def test_every_extra_of_the_connection_is_explained():
    assert set(conn_fields()) - named_in(ROOT / "docs" / "connection.md") == set()


def test_every_exception_is_explained():
    raised = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    }

    assert raised - named_in(ROOT / "docs" / "errors.md") == set()


def test_every_reason_for_the_end_of_a_wait_is_explained():
    assert {reason.value for reason in Reason} - named_in(ROOT / "docs" / "waiting.md") == set()
