from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_llamabatch.llamacloud import calls, models
from airflow_provider_llamabatch.llamacloud.call import page_after
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, InvalidResponseError


def test_a_batch_is_created_with_the_documented_body_and_never_repeated():
    call = calls.create_batch(source_directory_id="dir-1", configuration_id="cfg-PARSE_AGENTIC")

    assert (call.method, call.path, call.query) == ("POST", "/api/v2/batches", ())
    assert call.body == {
        "config": {"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        "source_directory_id": "dir-1",
    }
    assert call.repeatable is False


def test_webhooks_are_sent_only_when_given():
    call = calls.create_batch(
        source_directory_id="dir-1",
        configuration_id="cfg-1",
        job_type="extract_v2",
        webhook_configurations=[{"webhook_url": "https://example.com"}],
        webhook_configuration_ids=["whc-1"],
    )

    assert call.body is not None
    assert call.body["webhook_configurations"] == [{"webhook_url": "https://example.com"}]
    assert call.body["webhook_configuration_ids"] == ["whc-1"]


@pytest.mark.parametrize(
    ("argument", "changed"),
    [
        ("job_type", {"job_type": "classify_v2"}),
        ("source_directory_id", {"source_directory_id": ""}),
        ("source_directory_id", {"source_directory_id": "  "}),
        ("source_directory_id", {"source_directory_id": None}),
        ("source_directory_id", {"source_directory_id": "../dir-1"}),
        ("configuration_id", {"configuration_id": "cfg 1"}),
        ("webhook_configuration_ids", {"webhook_configuration_ids": ["a", "b", "c", "d", "e"]}),
        ("webhook_configurations", {"webhook_configurations": {"webhook_url": "https://example.com"}}),
        ("webhook_configurations", {"webhook_configurations": ["https://example.com"]}),
    ],
)
def test_bad_input_names_the_argument_before_anything_is_sent(argument, changed):
    good = {"source_directory_id": "dir-1", "configuration_id": "cfg-1"}

    with pytest.raises(InvalidInputError, match=rf"^{argument}: ") as raised:
        calls.create_batch(**{**good, **changed})
    assert raised.value.argument == argument


@pytest.mark.parametrize(
    "batch_id", ["a/b", "..", "bat.1", "bat-1?x=1", "bat-1#", "bat%2F1", "bat 1", "bat-1\n", ""]
)
def test_an_id_never_leaves_its_place_in_the_path(batch_id):
    for make in (calls.get_batch, calls.cancel_batch):
        with pytest.raises(InvalidInputError, match=r"^batch_id: "):
            make(batch_id)


def test_arrays_are_repeated_and_dates_are_iso_8601():
    jobs = calls.list_parse_jobs(
        job_ids=["pjb-1", "pjb-2"], created_at_on_or_after=datetime(2026, 11, 1, tzinfo=UTC), page_size=10
    )
    directories = calls.list_directories(types=("user", "index"), include_deleted=False)

    assert jobs.query == (
        ("created_at_on_or_after", "2026-11-01T00:00:00+00:00"),
        ("job_ids", "pjb-1"),
        ("job_ids", "pjb-2"),
        ("page_size", "10"),
    )
    assert directories.query == (("include_deleted", "false"), ("types", "user"), ("types", "index"))


def test_the_scope_of_the_connection_never_overrides_what_a_call_says():
    call = calls.get_batch("bat-1", expand_results=True).with_query(expand="other", project_id="prj-1")

    assert call.query == (("expand", "results"), ("project_id", "prj-1"))


def test_pages_are_followed_by_their_tokens_and_a_circle_is_an_error():
    first = calls.list_batches(page_size=2)
    seen: set[str] = set()

    second = page_after(first, "t1", seen)
    assert second is not None
    third = page_after(second, "t2", seen)
    assert third is not None
    assert third.query == (("page_size", "2"), ("page_token", "t2"))
    assert page_after(third, None, seen) is page_after(third, "", seen) is None
    with pytest.raises(InvalidResponseError, match="same page token twice"):
        page_after(third, "t1", seen)


def test_what_webhooks_hide_is_found_wherever_it_stands():
    webhooks = [
        {"webhook_signing_secret": "s1", "webhook_headers": {"X-Any": "s2"}},
        {"webhook_headers": None},
        {},
    ]

    assert calls.webhook_secrets(webhooks) == ("s1", "s2")
    assert calls.webhook_secrets(None) == ()


def test_secrets_do_not_show_in_the_repr_of_a_call():
    call = calls.create_batch(
        source_directory_id="d",
        configuration_id="c",
        webhook_configurations=[{"webhook_signing_secret": "hush"}],
    )

    assert "hush" not in repr(call)


def test_a_file_is_read_from_its_path_or_given_as_bytes(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("hello")

    assert calls.upload_directory_file("dir-1", path).upload == calls.Upload("a.txt", b"hello", {})
    named = calls.upload_directory_file("dir-1", b"hello", display_name="b.txt").upload
    assert named == calls.Upload("b.txt", b"hello", {"display_name": "b.txt"})
    with pytest.raises(InvalidInputError, match="display_name"):
        calls.upload_directory_file("dir-1", b"hello")


def test_unknown_fields_and_status_words_survive():
    batch = calls.get_batch("bat-1").parse(b'{"id": "bat-1", "status": "DREAMING", "mood": {"a": 1}}')

    assert (batch.status, batch.is_terminal) == ("DREAMING", False)
    assert batch.model_dump()["mood"] == {"a": 1}


@pytest.mark.parametrize(
    ("status", "ended"),
    [("COMPLETED", True), ("FAILED", True), ("CANCELLED", True)]
    + [(word, False) for word in ("PENDING", "THROTTLED", "RUNNING", "completed", "")],
)
def test_only_three_words_end_a_batch(status, ended):
    assert models.is_terminal(status) is ended
