"""What a webhook's configuration hides: it is known for redaction, and in no frame of what refuses a batch."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest

from airflow_provider_llamabatch.llamacloud import calls
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError
from airflow_provider_llamabatch.llamacloud.redaction import Redactor

SECRET = "whsec-never-shown-Bn3"
HOOK: dict[str, Any] = {"webhook_url": "https://example.com/a", "webhook_signing_secret": SECRET}
GOOD: dict[str, Any] = {"source_directory_id": "dir-1", "configuration_id": "cfg-1"}


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://example.com/hook", ()),
        ("https://example.com", ()),
        ("https://me:p%40ss@example.com/hook", ("p%40ss", "p@ss")),
        ("https://longusername@example.com", ("longusername",)),
        ("https://hooks.example.com/T0/B0/SECRETPATH", ("/T0/B0/SECRETPATH", "SECRETPATH")),
        ("https://example.com/h?token=abcdef123456", ("/h?token=abcdef123456", "abcdef123456")),
        ("https://example.com/h?abcdef%20123456", ("/h?abcdef%20123456", "abcdef%20123456", "abcdef 123456")),
        ("https://example.com/h#fragment-1", ("/h#fragment-1", "fragment-1")),
        ("https://[broken/secret", ("https://[broken/secret",)),
        (None, ()),
        (5, ()),
    ],
)
def test_all_of_a_webhooks_url_but_its_host_and_short_words_is_hidden(url, secrets):
    found = calls.webhook_secrets([{"webhook_url": url}])

    assert set(secrets) <= set(found)
    assert bool(secrets) is bool(found)
    if isinstance(url, str):
        shown = Redactor(found).redact(f"{url} is not reachable")
        assert not any(secret in shown for secret in secrets)


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"job_type": "parse_v9"}, "job_type"),
        ({"source_directory_id": None}, "source_directory_id"),
        ({"configuration_id": "a/b"}, "configuration_id"),
        ({"project_id": "a/b"}, "project_id"),
        ({"webhook_configuration_ids": ["a/b"]}, "webhook_configuration_ids"),
        ({"webhook_configurations": [{**HOOK, "x": float("nan")}]}, "webhook_configurations"),
        ({"webhook_configurations": HOOK}, "webhook_configurations"),
    ],
)
def test_what_refuses_a_batch_holds_no_secret_of_its_webhooks(wrong, argument):
    with pytest.raises(InvalidInputError, match=argument) as raised:
        calls.create_batch(**{"webhook_configurations": [HOOK], **GOOD, **wrong})

    told = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert told.__context__ is None
    frames = [frame for frame in told.stack if "airflow_provider_llamabatch" in frame.filename]
    assert [frame.name for frame in frames] == ["create_batch"]
    assert SECRET not in str(frames[0].locals)
    assert SECRET not in str(raised.value)


def test_headers_that_are_numbers_are_hidden_as_they_are_written():
    headers = {"X-A": 987654321987, "X-B": 1.5e300, "X-C": True, "X-D": None}
    found = calls.webhook_secrets([{"webhook_headers": headers, "webhook_signing_secret": 4711}])

    assert found == ("4711", "987654321987", "1.5e+300")
    assert Redactor(found).redact(json.dumps(headers)) == (
        '{"X-A": ***, "X-B": ***, "X-C": true, "X-D": null}'
    )


@pytest.mark.parametrize("wrong", [5, "https://example.com", HOOK, {1}, [5]])
def test_webhooks_that_are_no_list_of_dicts_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=r"^webhook_configurations: must be a list of dicts"):
        calls.create_batch(**GOOD, webhook_configurations=wrong)
    assert (SECRET in calls.webhook_secrets(wrong)) is (wrong is HOOK)
