from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from airflow_provider_llamabatch.llamacloud import call as call_module
from airflow_provider_llamabatch.llamacloud import calls, models
from airflow_provider_llamabatch.llamacloud.call import Call, Upload, Walk, page_after
from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError, InvalidResponseError
from airflow_provider_llamabatch.llamacloud.statuses import is_terminal


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


def test_webhook_ids_are_a_list_and_not_counted_in_letters():
    with pytest.raises(
        InvalidInputError, match="webhook_configuration_ids: must be a list of ids, not 'whc-1'"
    ):
        calls.create_batch(
            source_directory_id="dir-1", configuration_id="cfg-1", webhook_configuration_ids="whc-1"
        )


LETTERS = "a/" + "b" * 300


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "must be an id as a string, not 7"),
        (None, "must be an id as a string, not None (nothing: what the task before returned is not there)"),
        ({"x": 300}, "must be an id as a string, not {'x': 300}"),
        (["x"], "must be an id as a string, not ['x']; for a task per id, map it: .partial(...).expand(...)"),
        (b"x" * 300, "must be an id as a string, not b'" + "x" * 167),  # cut after 200 characters
        ("  ", "is empty; if it is templated, look at the task's rendered template"),
        (
            "llx-abcdefgh",
            "holds an API key (llx-...), not an id; the key belongs into the connection's password",
        ),
        ("None", "is the text 'None', not an id; if it is templated, look at the task's rendered template"),
        ("dir-1", "must be the id of a batch, not of a directory ('dir-1')"),
        ("a/b", "'a/b' is not an id: only letters, digits, '-' and '_' may be in it"),
        (LETTERS, f"{LETTERS[:100]!r} is not an id: only letters, digits, '-' and '_' may be in it"),
    ],
)
def test_what_is_wrong_with_an_id_is_said_in_a_line(value, text):
    with pytest.raises(InvalidInputError) as raised:
        calls.get_batch(value)
    assert str(raised.value) == f"batch_id: {text}"
    assert raised.value.argument == "batch_id"


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (
            lambda: calls.create_batch(source_directory_id="cfg-1", configuration_id="cfg-1"),
            "source_directory_id",
        ),
        (
            lambda: calls.create_batch(source_directory_id="dir-1", configuration_id="dir-1"),
            "configuration_id",
        ),
        (lambda: calls.delete_directory("bat-1"), "directory_id"),
        (lambda: calls.get_parse_job("dfl-1"), "job_id"),
    ],
)
def test_the_id_of_something_else_is_not_sent(make, argument):
    with pytest.raises(InvalidInputError, match=f"^{argument}: must be the id of a "):
        make()


@pytest.mark.parametrize(
    "batch_id", ["bat-1", "1234", "batch", "b-1", "xyz-1", "3f0c7a52-1111-4222-8333-444455556666"]
)
def test_ids_of_unknown_shapes_go_on_working(batch_id):
    assert calls.get_batch(batch_id).expected_id == batch_id


def test_a_call_is_made_in_the_project_it_names():
    assert calls.get_batch("bat-1", project_id="prj-1", organization_id="org-1").query == (
        ("project_id", "prj-1"),
        ("organization_id", "org-1"),
    )
    for name in ("project_id", "organization_id"):
        with pytest.raises(InvalidInputError, match=rf"^{name}: "):
            calls.get_batch("bat-1", **cast("Any", {name: "a/b"}))


def test_arrays_are_repeated_and_dates_are_iso_8601():
    jobs = calls.list_parse_jobs(
        job_ids=["pjb-1", "pjb-2"], created_at_on_or_after=datetime(2026, 11, 1, tzinfo=UTC), page_size=10
    )
    directories = calls.list_directories(types=("user", "index"), include_deleted=False)
    deleted = calls.list_directories(include_deleted=True)

    assert jobs.query == (
        ("created_at_on_or_after", "2026-11-01T00:00:00+00:00"),
        ("job_ids", "pjb-1"),
        ("job_ids", "pjb-2"),
        ("page_size", "10"),
    )
    assert directories.query == (("include_deleted", "false"), ("types", "user"), ("types", "index"))
    assert deleted.query == (("include_deleted", "true"),)


def test_the_scope_of_the_connection_never_overrides_what_a_call_says():
    call = calls.get_batch("bat-1", expand_results=True).with_query(expand="other", project_id="prj-1")

    assert call.query == (("expand", "results"), ("project_id", "prj-1"))
    assert call.with_query(project_id="prj-2", organization_id=None) is call


def test_an_answer_without_an_id_is_about_another_id():
    call: Call[Any] = Call("GET", "/x", dict[str, Any], expected_id="bat-1")

    with pytest.raises(ValueError, match=r"^it is about another id than bat-1$"):
        call.parse(b"{}")


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
    webhooks: list[Any] = [
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

    of_path = calls.upload_directory_file("dir-1", path).upload
    assert of_path is not None
    assert (of_path.filename, of_path.size, of_path.content_type) == ("a.txt", 5, None)
    assert callable(of_path.content)
    with of_path.content() as opened:
        assert opened.read() == b"hello"
    named = calls.upload_directory_file("dir-1", b"hello", display_name="b.txt").upload
    assert named == Upload("b.txt", b"hello", 5, {"display_name": "b.txt"})
    with pytest.raises(InvalidInputError, match="size"):
        calls.upload_directory_file("dir-1", path.open, display_name="a.txt")
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
    assert is_terminal(status) is ended


def page(items, token):
    return models.Page[int](items=items, next_page_token=token)


def test_a_walk_goes_on_page_by_page_until_there_is_no_further_one():
    first = calls.list_batches(page_size=2)
    walk: Walk[Any] = Walk(first)

    assert walk.call is first
    assert walk.items(page([1, 2], "t1")) == [1, 2]
    assert walk.call is not None
    assert walk.call.query == (("page_size", "2"), ("page_token", "t1"))
    assert walk.items(page([3], None)) == [3]
    assert walk.call is None


def test_a_list_of_too_many_pages_is_given_up():
    walk = Walk(calls.list_batches())
    for number in range(999):
        walk.items(page([], f"t{number}"))

    with pytest.raises(InvalidResponseError, match="more than 1000 pages; the rest was not read"):
        walk.items(page([], "t999"))


@pytest.mark.parametrize(
    ("last", "token", "given_up"), [(3600.0, "t2", False), (3600.1, "t2", True), (9999.0, None, False)]
)
def test_a_list_that_takes_too_long_is_given_up_unless_it_has_ended(last, token, given_up):
    now = iter([0.0, 1.0, last])
    walk = Walk(calls.list_batches(), clock=lambda: next(now))
    walk.items(page([], "t1"))

    if given_up:
        with pytest.raises(InvalidResponseError, match="more than 3600 s; the rest was not read"):
            walk.items(page([], token))
    else:
        assert walk.items(page([], token)) == []


@pytest.mark.parametrize(("count", "given_up"), [(1, False), (2, True)])
def test_a_list_of_too_many_items_is_given_up(monkeypatch, count, given_up):
    monkeypatch.setattr(call_module, "MAX_LIST_ITEMS", 3)
    walk: Walk[Any] = Walk(calls.list_batches())
    walk.items(page([1, 2], "t1"))

    if given_up:
        with pytest.raises(InvalidResponseError, match="more than 3 items; the rest was not read"):
            walk.items(page([1] * count, "t2"))
    else:
        assert walk.items(page([1] * count, "t2")) == [1] * count


def test_a_page_with_too_many_items_is_refused():
    many = '{"id": "bat-1", "status": "RUNNING"},' * 10_000 + '{"id": "bat-1", "status": "RUNNING"}'
    for call in (calls.list_batches(), calls.list_batch_statuses()):
        with pytest.raises(ValueError, match="at most 10000 items"):
            call.parse(f'{{"items": [{many}]}}'.encode())


def test_a_malformed_row_does_not_spoil_its_page():
    rows = [
        {"id": "bat-1", "status": "RUNNING", "created_at": "0001-01-01T00:00:00+14:00"},
        {"id": "bat/2", "status": "RUNNING"},
        {"id": "bat-3"},
        None,
        {"id": "bat-4", "status": "COMPLETED", "created_at": "2026-11-01T12:00:00"},
    ]
    found = calls.list_batch_statuses().parse(json.dumps({"items": rows}).encode()).items

    assert [(row.id, row.status) for row in found] == [("bat-1", "RUNNING"), ("bat-4", "COMPLETED")]
    assert found[0].created_at is None
    assert found[1].created_at == datetime(2026, 11, 1, 12, tzinfo=UTC)
    jobs = calls.list_parse_job_statuses(job_ids=["pjb-1"]).parse(
        b'{"items": [{"id": "pjb-1", "status": "FAILED", "error_message": "a\\u0000b"}, {"id": 1}]}'
    )
    assert [(job.id, job.error_message) for job in jobs.items] == [("pjb-1", "a b")]


@pytest.mark.parametrize(
    "date", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon", "", 1e300, [], {}, True]
)
def test_a_date_that_makes_no_sense_is_none(date):
    body = json.dumps({"id": "bat-1", "status": "RUNNING", "created_at": date, "updated_at": date})

    got = calls.get_batch("bat-1").parse(body.encode())
    assert got.created_at is None or 1970 <= got.created_at.year < 9999


@pytest.mark.parametrize("batch_id", ["", "a/b", "bat 1", "bat-1\n", "bät", "b" * 201, "\x00", None, 7])
def test_a_response_without_a_usable_id_or_with_another_is_no_response(batch_id):
    body = json.dumps({"id": batch_id, "status": "RUNNING"}).encode()
    for call in (
        calls.create_batch(source_directory_id="dir-1", configuration_id="cfg-1"),
        calls.get_batch("bat-1"),
    ):
        with pytest.raises(ValueError, match="id"):
            call.parse(body)
    with pytest.raises(ValueError, match="another id than bat-1"):
        calls.get_batch("bat-1").parse(b'{"id": "bat-2", "status": "RUNNING"}')


def test_an_api_key_is_refused_as_an_id_and_not_shown():
    with pytest.raises(InvalidInputError, match="API key") as raised:
        calls.get_batch("llx-abcdefgh")
    assert "abcdefgh" not in str(raised.value)


@pytest.mark.parametrize("value", [float("nan"), object(), {1: object()}, "\ud800"])
def test_webhooks_that_are_not_json_are_named(value):
    with pytest.raises(InvalidInputError, match=r"^webhook_configurations: must be plain JSON"):
        calls.create_batch(
            source_directory_id="d", configuration_id="c", webhook_configurations=[{"webhook_url": value}]
        )


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("bat-1", "batch"),
        ("dir-1-bat", "directory"),
        ("cfg-PARSE-AGENTIC", "configuration"),
        ("bat", None),
        ("", None),
        ("new-1", None),
        ("1-bat", None),
        (None, None),
        (7, None),
    ],
)
def test_an_id_tells_by_its_prefix_what_it_is_one_of(value, kind):
    assert call_module.kind_of(value) == kind


def test_an_id_of_another_kind_is_shown_cut_to_a_hundred_characters():
    wrong = "dir-" + "x" * 200
    with pytest.raises(InvalidInputError) as raised:
        call_module.check_kind("batch_id", wrong)

    assert str(raised.value) == f"batch_id: must be the id of a batch, not of a directory ({wrong[:100]!r})"


def test_a_key_in_the_place_of_a_connection_is_not_shown():
    call_module.check_conn_id("llamabatch_conn_id", "llamabatch_default")
    with pytest.raises(InvalidInputError) as raised:
        call_module.check_conn_id("llamabatch_conn_id", "llx-0123456789abcdef0123")

    assert str(raised.value) == (
        "llamabatch_conn_id: holds an API key (llx-...), not the name of an Airflow connection; the key belongs into a "
        "connection's password, and should be replaced where others may have seen it"
    )
