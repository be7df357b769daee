from __future__ import annotations

import pickle
import traceback

import pytest

from airflow_provider_llamabatch.connection_form import conn_fields
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.settings import (
    DEFAULT_BASE_URL,
    EXTRA_FIELDS,
    REGIONS,
    settings_from_connection,
)


def settings(**parts):
    return settings_from_connection("my_conn", **{"password": "llx-key", **parts})


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        ({}, DEFAULT_BASE_URL),
        ({"host": ""}, DEFAULT_BASE_URL),
        ({"host": "na"}, REGIONS["na"]),
        ({"host": "EU"}, REGIONS["eu"]),
        ({"host": "api.cloud.eu.llamaindex.ai"}, REGIONS["eu"]),
        ({"host": "https://api.example.com/"}, "https://api.example.com"),
        ({"host": "api.example.com", "port": 8443}, "https://api.example.com:8443"),
        ({"host": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000"),
        ({"host": "http://localhost", "port": 8000}, "http://localhost:8000"),
        ({"host": "http://[::1]:8000"}, "http://[::1]:8000"),
        ({"host": "127.0.0.1", "schema": "http", "port": 1}, "http://127.0.0.1:1"),
        ({"host": "http://inside", "extra": {"allow_http": True}}, "http://inside"),
        ({"host": "https://inside"}, "https://inside"),
        ({"host": "https://gateway.example.com/llama/api/"}, "https://gateway.example.com/llama/api"),
        ({"host": "inside", "schema": "https"}, "https://inside"),
        ({"host": "inside", "port": 8443}, "https://inside:8443"),
        ({"host": "inside:8443"}, "https://inside:8443"),
        ({"host": "localhost", "port": 443}, "https://localhost"),
        ({"host": "http://inside", "extra": '{"allow_http": "true"}'}, "http://inside"),
    ],
)
def test_the_host_becomes_a_base_url(parts, url):
    assert settings(**parts).base_url == url


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"password": None}, "password"),
        ({"password": ""}, "password"),
        ({"password": "  "}, "password"),
        ({"password": "llx- key"}, "password"),
        ({"password": "llx-key\n"}, "password"),
        ({"password": "llx-ké"}, "password"),
        ({"host": "http://api.example.com"}, "host"),
        ({"host": "http://127.0.0.1.example.com"}, "host"),
        ({"host": "us"}, "host"),
        ({"host": "eu-central-1", "port": 443}, "host"),
        ({"host": "ftp://api.example.com"}, "host"),
        ({"host": "https://"}, "host"),
        ({"host": "https://user:pw@example.com"}, "host"),
        ({"host": "https://a b"}, "host"),
        ({"host": "https://api.cloud.llamaindex.ai/api/v2"}, "host"),
        ({"host": "gateway.example.com/llama/api/v1/"}, "host"),
        ({"host": "https://example.com:99999"}, "host"),
        ({"host": "https://example.com?x=1"}, "host"),
        ({"host": "https:/example.com"}, "host"),
        ({"host": "ftp:/example.com"}, "host"),
        ({"host": "https:/user:llx@example.com"}, "host"),
        ({"host": "https://https://example.com"}, "host"),
        ({"host": "api.example.com", "port": True}, "port"),
        ({"extra": "{"}, "extra"),
        ({"extra": "[]"}, "extra"),
        ({"extra": {"project_id": "a/b"}}, "extra project_id"),
        ({"extra": {"timeout_seconds": 0}}, "extra timeout_seconds"),
        ({"extra": {"timeout_seconds": "fast"}}, "extra timeout_seconds"),
        ({"extra": {"max_attempts": 0}}, "extra max_attempts"),
        ({"extra": {"allow_http": "perhaps"}}, "extra allow_http"),
        ({"extra": {"allow_http": []}}, "extra allow_http"),
        ({"extra": {"allow_http": {}}}, "extra allow_http"),
        ({"extra": {"verify": 7}}, "extra verify"),
        ({"extra": {"verify": []}}, "extra verify"),
        ({"extra": {"verify": {}}}, "extra verify"),
        ({"extra": {"proxy": 3128}}, "extra proxy"),
        ({"extra": {"proxy": "proxy.example.com:3128"}}, "extra proxy"),
        ({"extra": {"proxy": "socks5://proxy.example.com"}}, "extra proxy"),
        ({"extra": {"proxy": "http://llx:llx@proxy.example.com:port"}}, "extra proxy"),
        ({"extra": {"proxy": "http://proxy.example.com/path"}}, "extra proxy"),
        ({"extra": {"proxy": "http://proxy.example.com\n"}}, "extra proxy"),
    ],
)
def test_a_bad_connection_names_itself_and_the_field_but_never_the_key(parts, field):
    with pytest.raises(InvalidInputError) as raised:
        settings(**parts)

    assert str(raised.value).startswith(f"connection 'my_conn', {field}: ")
    assert "llx" not in str(raised.value).replace("llx-...", "")


def test_extras_are_read_in_every_spelling_a_form_produces():
    read = settings(
        extra={
            "project_id": "prj-1",
            "organization_id": "",
            "timeout_seconds": "5",
            "max_attempts": 2,
            "verify": "no",
        }
    )

    assert (read.project_id, read.organization_id) == ("prj-1", None)
    assert (read.timeout_seconds, read.max_attempts, read.verify) == (5.0, 2, False)
    assert settings(extra={"verify": "/etc/ca.pem"}).verify == "/etc/ca.pem"
    assert settings(extra={"verify": None}).verify is True


def test_the_key_does_not_show_in_the_repr():
    assert "llx-key" not in repr(settings())


def test_a_proxys_password_is_a_secret_as_it_is_written_and_as_it_is_meant():
    read = settings(extra={"proxy": "http://team:p%40ss@proxy.example.com:3128"})

    assert [secret.get_secret_value() for secret in read.secrets] == ["llx-key", "p%40ss", "p@ss"]
    assert "p%40ss" not in repr(read)
    assert [len(settings(extra={"proxy": url}).secrets) for url in ("", "http://10.0.0.1:80")] == [1, 1]


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"host": "llx-key-of-mine"}, "host"),
        ({"schema": "llx-key-of-mine"}, "schema"),
        ({"extra": {"project_id": "llx-key-of-mine"}}, "extra project_id"),
        ({"extra": {"organization_id": " LLX-key-of-mine"}}, "extra organization_id"),
        ({"extra": {"api_key": "llx-key-of-mine"}}, "extra"),
        ({"extra": {"verify": "own-key-of-mine"}, "password": "own-key-of-mine"}, "extra verify"),
    ],
)
def test_a_key_in_the_wrong_field_is_refused_and_not_shown(parts, field):
    with pytest.raises(InvalidInputError, match=f"connection 'my_conn', {field}: holds an API key") as raised:
        settings(**parts)
    told = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    own = [frame for frame in told.stack if "airflow_provider_llamabatch" in frame.filename]
    assert "key-of-mine" not in str(raised.value) + str([frame.locals for frame in own])


@pytest.mark.parametrize("attempts", [2.5, 0, 101, True, "x", 10**400])
def test_attempts_are_a_whole_number(attempts):
    with pytest.raises(InvalidInputError, match="extra max_attempts: must be a whole number from 1 to 100"):
        settings(extra={"max_attempts": attempts})


def test_port_0_is_no_port():
    assert settings(port=0).base_url == DEFAULT_BASE_URL
    assert settings(port=443).base_url == DEFAULT_BASE_URL


def test_the_form_follows_the_settings():
    fields = conn_fields()

    assert set(fields) == set(EXTRA_FIELDS)
    assert fields["allow_http"]["schema"] == {"type": ["boolean", "null"], "default": False}
    assert fields["proxy"]["schema"] == {"type": ["string", "null"], "format": "password"}


def test_the_form_fills_in_no_number_since_it_would_win_over_what_the_deployment_configures():
    fields = conn_fields()

    assert fields["max_attempts"]["schema"] == {"type": ["integer", "null"]}
    assert fields["timeout_seconds"]["schema"] == {"type": ["number", "null"]}


def test_the_key_cannot_be_pickled():
    with pytest.raises(TypeError):
        pickle.dumps(settings())


def test_an_extra_that_is_nested_too_deeply_is_refused_without_showing_the_key():
    nested: dict = {}
    for _ in range(5000):
        nested = {"a": nested}

    with pytest.raises(InvalidInputError, match="'my_conn', extra: is nested too deeply") as raised:
        settings(password="llx-not-to-be-seen", extra=nested)
    frames = [frame for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
    ours = [frame.f_locals for frame in frames if "airflow_provider_llamabatch" in frame.f_code.co_filename]
    assert ours
    assert "not-to-be-seen" not in str(ours)
    assert raised.value.__context__ is None
