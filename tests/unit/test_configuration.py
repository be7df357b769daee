"""Section ``[llamabatch]``: what a deployment sets, what wins over it, and what a wrong value says."""

from __future__ import annotations

import inspect
import json
import re
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from airflow_provider_llamabatch import configuration, defaults, get_provider_info
from airflow_provider_llamabatch.hooks.connections import settings_of
from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.operators.batch import CreateBatchOperator
from airflow_provider_llamabatch.operators.directory import UploadDirectoryOperator
from airflow_provider_llamabatch.operators.results import SaveBatchResultsOperator
from airflow_provider_llamabatch.sensors.batch import BatchSensor
from airflow_provider_llamabatch.sensors.jobs import BatchJobsSensor
from airflow_provider_llamabatch.ui import reading

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
GENERAL = "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"


@pytest.fixture
def configure(monkeypatch):
    """Return a function that sets options of the section, as a deployment does."""

    def set_options(**options: str) -> None:
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__LLAMABATCH__{name.upper()}", value)

    return set_options


def create(**arguments):
    return CreateBatchOperator(task_id="a", source_directory_id="d", configuration_id="c", **arguments)


def test_the_metadata_is_what_airflow_asks_for():
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())

    Draft7Validator(schema).validate(get_provider_info())


def test_every_option_is_described_with_a_default_that_can_be_read():
    section = get_provider_info()["config"]["llamabatch"]

    assert set(section["options"]) == set(configuration.OPTIONS)
    for option in section["options"].values():
        assert option["example"]
        assert option["description"].strip().endswith(".")
    configuration.check()


def test_every_option_is_on_its_page_with_its_default():
    page = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page, re.MULTILINE))

    assert set(rows) == set(configuration.OPTIONS)
    for name, option in configuration.OPTIONS.items():
        assert rows[name].strip() == (f"`{option.default}`" if option.default else "none")


@pytest.mark.parametrize(
    ("section", "general", "expected"),
    [
        (None, None, True),
        ("False", None, False),
        ("true", "false", True),
        ("", "false", False),
        (None, "true", True),
        (None, "no choice", True),
    ],
)
def test_waits_are_deferred_unless_somebody_chose_otherwise(
    configure, monkeypatch, section, general, expected
):
    if section is not None:
        configure(default_deferrable=section)
    if general is not None:
        monkeypatch.setenv(GENERAL, general)

    assert create().deferrable is expected
    assert BatchSensor(task_id="a", batch_id="b").deferrable is expected
    assert BatchJobsSensor(task_id="a", job_references=[]).deferrable is expected
    assert create(deferrable=not expected).deferrable is not expected


def test_what_is_configured_counts_where_an_argument_is_not_given(configure):
    configure(poll_interval="7", wait_timeout="60", max_concurrency="3")

    assert (create().poll_interval, create().timeout) == (7.0, 60.0)
    assert BatchSensor(task_id="a", batch_id="b").poke_interval == 7.0
    assert BatchJobsSensor(task_id="a", job_references=[]).seconds == 60.0
    assert UploadDirectoryOperator(task_id="a", source="s").max_concurrency == 3
    assert SaveBatchResultsOperator(task_id="a", job_references=[], target="t").max_concurrency == 3


def test_an_argument_wins_over_what_is_configured(configure):
    configure(poll_interval="7", wait_timeout="60", max_concurrency="3")

    assert create(poll_interval=timedelta(minutes=1)).poll_interval == timedelta(minutes=1)
    assert create(timeout=5).timeout == 5
    assert BatchSensor(task_id="a", batch_id="b", poke_interval=9).poll_interval == 9
    assert UploadDirectoryOperator(task_id="a", source="s", max_concurrency=1).max_concurrency == 1


class TestConnections:
    """What a deployment sets for connections, and that a connection's own fields win."""

    @pytest.fixture
    def settings(self, monkeypatch):
        def read(**parts):
            connection = {"conn_type": "llamabatch", "password": "llx-1", **parts}
            monkeypatch.setenv("AIRFLOW_CONN_LLAMABATCH_DEFAULT", json.dumps(connection))
            hook = LlamaBatchHook()
            read = settings_of(hook, hook.llamabatch_conn_id)
            assert reading.settings_of(hook.llamabatch_conn_id) == read, "the page asks where the tasks ask"
            return read

        return read

    def test_empty_fields_are_what_is_configured(self, settings, configure):
        configure(api_host="eu", request_timeout="7", max_attempts="2")

        read = settings(extra={"timeout_seconds": "", "max_attempts": None})

        assert read.base_url == "https://api.cloud.eu.llamaindex.ai"
        assert (read.timeout_seconds, read.max_attempts) == (7.0, 2)

    def test_its_own_fields_win(self, settings, configure):
        configure(api_host="eu", request_timeout="7", max_attempts="2")

        read = settings(host="na", extra={"timeout_seconds": 9, "max_attempts": 1})

        assert read.base_url == "https://api.cloud.llamaindex.ai"
        assert (read.timeout_seconds, read.max_attempts) == (9.0, 1)

    def test_whether_plain_http_is_allowed_is_the_connections_to_say(self, settings, configure):
        configure(api_host="http://llama.example.com")

        assert settings(extra={"allow_http": True}).base_url == "http://llama.example.com"
        with pytest.raises(InvalidInputError, match="connection 'llamabatch_default', host"):
            settings()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("default_deferrable", "perhaps", "True or False"),
        ("poll_interval", "soon", "a number of seconds above 0"),
        ("poll_interval", "0", "above 0"),
        ("poll_interval", "inf", "above 0"),
        ("poll_interval", "nan", "above 0"),
        ("poll_interval", "1e9", "a number of seconds above 0 and up to ten years"),
        ("wait_timeout", "-1", "above 0"),
        ("wait_timeout", "315360001", "and up to ten years"),
        ("request_timeout", "3601", "from 0.001 to 3600"),
        ("max_attempts", "1.5", "a whole number from 1 to 100"),
        ("max_concurrency", "0", f"a whole number from 1 to {defaults.MAX_CONNECTIONS}"),
        ("api_host", "not a host", "a host name or a base URL"),
        ("ui_host", "llama.example.com", "https:// or http://"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_to_do(configure, name, value, wanted):
    configure(**{name: value})

    with pytest.raises(InvalidInputError) as raised:
        configuration.check()

    message = str(raised.value)
    assert message.startswith(f"[llamabatch] {name} = '{value}': ")
    assert wanted in message
    assert f"AIRFLOW__LLAMABATCH__{name.upper()}" in message


def test_a_key_in_the_wrong_option_is_not_shown(configure):
    configure(api_host="llx-0123456789abcdef0123456789 x")

    with pytest.raises(InvalidInputError) as raised:
        configuration.api_host()

    assert "llx-0123456789" not in str(raised.value)


def test_nothing_else_reads_the_section():
    package = Path(inspect.getfile(configuration)).parent
    readers = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"conf\.get\w*\(\s*SECTION", path.read_text())
    ]

    assert readers == ["configuration.py"]
