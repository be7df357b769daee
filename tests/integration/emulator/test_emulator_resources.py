"""All but batches: the official client, unchanged, against the emulator; how it refuses."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import llama_cloud
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

SCHEMA = {"type": "object", "properties": {"vendor": {"type": "string"}, "total": {"type": "number"}}}


def detail(caught: pytest.ExceptionInfo[llama_cloud.APIStatusError]) -> Any:
    body: Any = caught.value.body
    return body["detail"]


def test_what_is_wrong_is_refused_in_the_forms_of_the_api(emulator: LlamaCloudEmulator, client: Any) -> None:
    with pytest.raises(llama_cloud.AuthenticationError) as unknown:
        client.with_options(api_key="llx-wrong").batches.list()
    assert isinstance(detail(unknown), str)
    with pytest.raises(llama_cloud.PermissionDeniedError, match="prj-foreign"):
        client.batches.list(project_id="prj-foreign")
    with pytest.raises(llama_cloud.NotFoundError, match="bat-none not found"):
        client.batches.get("bat-none")
    with pytest.raises(llama_cloud.UnprocessableEntityError) as invalid:
        client.batches.list(status="DONE")
    (problem,) = detail(invalid)
    assert problem["loc"] == ["query", "status"]
    assert problem["input"] == "DONE"
    assert {"msg", "type"} <= set(problem)
    with pytest.raises(llama_cloud.UnprocessableEntityError) as invalid:
        client.post("/api/v2/batches", cast_to=object, body={"config": {}})
    assert [one["loc"] for one in detail(invalid)] == [
        ["body", "source_directory_id"],
        ["body", "config", "job"],
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[1]", b"null", b'{"config": NaN}'])
def test_a_body_that_is_no_json_object_is_a_422(emulator: LlamaCloudEmulator, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {emulator.api_key}", "Content-Type": "application/json"}
    answer = httpx.post(f"{emulator.url}/api/v2/batches", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


def test_a_rotated_key_takes_the_place_of_the_old_one(emulator: LlamaCloudEmulator, client: Any) -> None:
    emulator.control.set_api_key("llx-second")
    with pytest.raises(llama_cloud.AuthenticationError):
        client.batches.list()
    assert list(client.with_options(api_key="llx-second").batches.list()) == []
    assert emulator.api_key == "llx-second"


def test_versions_are_open_and_everything_else_wants_the_key(emulator: LlamaCloudEmulator) -> None:
    assert httpx.get(f"{emulator.url}/api/v2/parse/versions").status_code == 200
    for path in ("/api/v2/batches", "/api/v1/projects", "/api/v1/beta/directories", "/api/v2/parse"):
        assert httpx.get(emulator.url + path).status_code == 401


def test_directories_live_and_end(emulator: LlamaCloudEmulator, client: Any) -> None:
    directories = client.beta.directories
    user = directories.create(name="user")
    ephemeral = directories.create(name="ephemeral", type="ephemeral")
    assert user.expires_at is None
    assert ephemeral.expires_at is not None
    assert [one.name for one in directories.list(type="ephemeral")] == ["ephemeral"]
    assert directories.update(user.id, description="mine").description == "mine"
    emulator.control.advance(8 * 24 * 3600)
    with pytest.raises(llama_cloud.NotFoundError):
        directories.get(ephemeral.id)
    directories.delete(user.id)
    assert list(directories.list()) == []
    assert {one.name for one in directories.list(include_deleted=True)} == {"user", "ephemeral"}


def test_a_second_directory_for_a_subscription_names_the_first(client: Any) -> None:
    first = client.beta.directories.create(name="one", connector_subscription_id="csub-1")
    with pytest.raises(llama_cloud.ConflictError) as caught:
        client.beta.directories.create(name="two", connector_subscription_id="csub-1")
    assert detail(caught)["directory_id"] == first.id


def test_files_are_added_changed_moved_and_deleted(
    emulator: LlamaCloudEmulator, client: Any, make_directory: Callable[..., str]
) -> None:
    files = client.beta.directories.files
    stored = client.files.create(file=("report.txt", b"Report"), purpose="parse", external_file_id="ext-1")
    source, target = make_directory({}), make_directory({})
    added = files.add(source, file_id=stored.id, metadata={"year": 2026})
    assert (added.unique_id, added.display_name, added.metadata) == ("ext-1", "report.txt", {"year": 2026})
    moved = files.update(added.id, directory_id=source, display_name="new.txt", target_directory_id=target)
    assert (moved.directory_id, moved.display_name) == (target, "new.txt")
    assert list(files.list(source)) == []
    assert [one.id for one in files.list(target, display_name_contains="NEW")] == [added.id]
    uploaded = files.upload(target, upload_file=("b.txt", b"B"), metadata='{"tags": ["x"]}', unique_id="u")
    assert uploaded.metadata == {"tags": ["x"]}
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    bulk = f"{emulator.url}/api/v1/beta/directories/{target}/files/bulk-delete"
    assert (
        httpx.post(bulk, json={"directory_file_ids": [added.id, "dfl-none"]}, headers=headers).status_code
        == 404
    )
    assert len(list(files.list(target))) == 2
    both = {"directory_file_ids": [added.id, uploaded.id]}
    assert httpx.post(bulk, json=both, headers=headers).status_code == 204
    assert list(files.list(target)) == []


@pytest.mark.parametrize(("policy", "count"), [("add", 2), ("replace", 1), ("refuse", 1)])
def test_a_second_file_with_the_same_unique_id_is_a_switch(
    emulator: LlamaCloudEmulator,
    client: Any,
    make_directory: Callable[..., str],
    policy: str,
    count: int,
) -> None:
    emulator.control.change(duplicate_unique_id=policy)
    directory_id = make_directory({"a.txt": b"1"})
    if policy == "refuse":
        with pytest.raises(llama_cloud.ConflictError):
            client.beta.directories.files.upload(directory_id, upload_file=("a.txt", b"2"))
    else:
        client.beta.directories.files.upload(directory_id, upload_file=("a.txt", b"2"))
    assert len(list(client.beta.directories.files.list(directory_id))) == count


@pytest.mark.parametrize(("policy", "count"), [("add", 3), ("replace", 1), ("refuse", 1)])
def test_a_change_or_a_move_onto_a_taken_unique_id_is_a_duplicate_as_well(
    emulator: LlamaCloudEmulator,
    client: Any,
    make_directory: Callable[..., str],
    policy: str,
    count: int,
) -> None:
    emulator.control.change(duplicate_unique_id=policy)
    files = client.beta.directories.files
    taken, other = make_directory({"a.txt": b"1"}), make_directory({"a.txt": b"2"})
    changed = files.upload(taken, upload_file=("b.txt", b"3"))
    moved = next(iter(files.list(other)))
    changes: list[tuple[str, str, Any]] = [
        (changed.id, taken, {"unique_id": "a.txt"}),
        (moved.id, other, {"target_directory_id": taken}),
    ]
    for id_, directory_id, change in changes:
        if policy == "refuse":
            with pytest.raises(llama_cloud.ConflictError):
                files.update(id_, directory_id=directory_id, **change)
        else:
            files.update(id_, directory_id=directory_id, **change)
    assert len([file for file in files.list(taken) if file.unique_id == "a.txt"]) == count
    file = next(iter(files.list(taken)))
    assert files.update(file.id, directory_id=taken, unique_id=file.unique_id).id == file.id


def test_files_can_be_listed_in_every_order_the_api_knows(client: Any) -> None:
    for name in ("b.txt", "a.txt", "c.txt"):
        client.files.create(file=(name, b"x"), purpose="user_data")

    def names(order: str) -> list[str]:
        return [file.name for file in client.files.list(order_by=order, page_size=2)]

    assert names("name") == ["a.txt", "b.txt", "c.txt"]
    assert names("created_at") == ["c.txt", "a.txt", "b.txt"]
    ids = [file.id for file in client.files.list(order_by="id", page_size=1)]
    assert ids == sorted(ids)
    assert len(ids) == 3
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        client.files.list(order_by="size")
    with pytest.raises(llama_cloud.BadRequestError, match="empty"):
        client.files.create(file=("empty.txt", b""), purpose="user_data")


def test_the_token_of_another_list_or_order_is_refused(
    client: Any, make_directory: Callable[..., str]
) -> None:
    directory_id = make_directory()
    token = client.files.list(order_by="name", page_size=1).next_page_token
    assert client.files.list(order_by="name", page_size=1, page_token=token).items
    newest = client.beta.directories.files.list(directory_id, page_size=1).next_page_token
    for list_, wrong, asked in (
        (client.files.list, token, {"order_by": "id"}),
        (client.files.list, token, {}),
        (client.files.list, newest, {}),
        (client.parsing.list, newest, {}),
    ):
        with pytest.raises(llama_cloud.BadRequestError, match="page token"):
            list_(page_token=wrong, **asked)


def test_a_configuration_of_the_same_name_and_product_is_changed_not_added(client: Any) -> None:
    parameters: Any = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
    first = client.configurations.create(name="mine", parameters=parameters)
    second = client.configurations.create(name="mine", parameters={**parameters, "tier": "agentic"})
    assert first.id == second.id
    assert client.configurations.retrieve(first.id).parameters.tier == "agentic"
    assert {one.id for one in client.configurations.list(product_type=["parse_v2"])} == {
        first.id,
        "cfg-PARSE_AGENTIC",
    }
    other = client.configurations.create(name="other", parameters=parameters)
    with pytest.raises(llama_cloud.ConflictError):
        client.configurations.update(other.id, name="mine")
    extract: Any = {"product_type": "extract_v2", "data_schema": SCHEMA}
    assert client.configurations.update(other.id, name="mine", parameters=extract).name == "mine"
    with pytest.raises(llama_cloud.ConflictError):
        client.configurations.update(other.id, parameters=parameters)
    assert client.configurations.update(first.id, name="mine", parameters=parameters).id == first.id
    client.configurations.delete(first.id)
    with pytest.raises(llama_cloud.NotFoundError):
        client.configurations.retrieve(first.id)
    with pytest.raises(llama_cloud.PermissionDeniedError, match="preset"):
        client.configurations.delete("cfg-PARSE_AGENTIC")
    with pytest.raises(llama_cloud.UnprocessableEntityError, match="data_schema"):
        client.configurations.create(name="x", parameters={"product_type": "extract_v2"})


SPLIT = {
    "product_type": "split_v1",
    "categories": [{"name": "invoice"}],
    "splitting_strategy": {"custom_instructions": "by date", "min_pages_per_split": 2},
    "parse_tier": "agentic",
    "parse_config_id": "cfg-PARSE_AGENTIC",
    "target_pages": "1-3",
    "version": "1.0",
}


@pytest.mark.parametrize(
    "parameters",
    [SPLIT, {"product_type": "extract_v2", "data_schema": SCHEMA, "advanced_citations": False}],
)
def test_the_options_of_a_configuration_are_kept(client: Any, parameters: Any) -> None:
    made = client.configurations.create(name="mine", parameters=parameters)
    assert client.configurations.retrieve(made.id).parameters.to_dict() == parameters


def test_extraction_by_an_unknown_parse_configuration_is_refused(client: Any) -> None:
    file = client.files.create(file=("a.txt", b"x"), purpose="extract")
    options: Any = {"data_schema": SCHEMA, "parse_config_id": "cfg-PARSE_AGENTIC"}
    client.extract.create(file_input=file.id, configuration=options)
    with pytest.raises(llama_cloud.NotFoundError, match="Configuration"):
        client.extract.create(file_input=file.id, configuration={**options, "parse_config_id": "cfg-none"})
    saved: Any = {"product_type": "extract_v2", **options, "parse_config_id": "cfg-none"}
    configuration = client.configurations.create(name="x", parameters=saved)
    with pytest.raises(llama_cloud.NotFoundError, match="Configuration"):
        client.extract.create(file_input=file.id, configuration_id=configuration.id)
    with pytest.raises(llama_cloud.BadRequestError, match="parse_v2"):
        client.extract.create(
            file_input=file.id, configuration={**options, "parse_config_id": configuration.id}
        )


def test_the_one_project_is_shown_by_both_versions(client: Any) -> None:
    (old,) = client.projects.list()
    (new,) = client.v2_projects.list(page_size=1)
    assert old.id == new.id == client.v2_projects.get(old.id).id
    assert list(client.batches.list(project_id=old.id)) == []
    with pytest.raises(llama_cloud.NotFoundError):
        client.projects.get(str(uuid.uuid4()))


def test_single_jobs_run_cancel_and_are_deleted(emulator: LlamaCloudEmulator, client: Any) -> None:
    job = client.parsing.create(tier="fast", version="latest", upload_file=("a.txt", b"Alpha"))
    assert job.status == "PENDING"
    with pytest.raises(llama_cloud.ConflictError):
        client.parsing.delete(job.id)
    emulator.control.advance(60)
    for name in ("markdown", "markdown_full", "markdown_content_metadata", "markdown_full_content_metadata"):
        with pytest.raises(llama_cloud.BadRequestError, match="fast tier"):
            client.parsing.get(job.id, expand=[name])
    assert client.parsing.get(job.id, expand=["text"]).text.pages[0].text == "Alpha"
    extraction = client.extract.create(file_input=job.id, configuration={"data_schema": SCHEMA})
    assert client.extract.cancel(extraction.id).status == "CANCELLED"
    client.extract.delete(extraction.id)
    assert client.parsing.delete(job.id).id == job.id
    with pytest.raises(llama_cloud.NotFoundError):
        client.parsing.get(job.id)
    fetched = client.parsing.create(tier="fast", version="latest", source_url="https://example.com/a.pdf")
    emulator.control.advance(60)
    assert client.parsing.get(fetched.id).job.status == "FAILED"


def test_a_job_over_an_address_is_made_like_any_other_and_fails(
    emulator: LlamaCloudEmulator, client: Any
) -> None:
    asked: Any = {"tier": "fast", "version": "latest", "source_url": "https://example.com/a.pdf"}
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        client.parsing.create(**asked, webhook_configuration_ids=["whc-none"])
    hook = {"webhook_url": "http://127.0.0.1:9", "webhook_events": ["parse.error"]}
    job = client.parsing.create(**asked, webhook_configurations=[hook], user_metadata={"order": "17"})
    assert job.user_metadata == {"order": "17"}
    emulator.control.change(webhook_attempts=1, credits_available=0)
    emulator.control.advance(60)
    deadline = time.monotonic() + 20
    while not emulator.control.deliveries() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [one["body"]["data"]["id"] for one in emulator.control.deliveries()] == [job.id]
    with pytest.raises(llama_cloud.APIStatusError) as refused:
        client.parsing.create(**asked)
    assert refused.value.status_code == 402


def test_extract_shows_more_when_asked(emulator: LlamaCloudEmulator, client: Any) -> None:
    file = client.files.create(file=("a.txt", b"Vendor: Acme\fVendor: Bolt"), purpose="extract")
    configuration: Any = {"data_schema": SCHEMA, "extraction_target": "per_page", "tier": "cost_effective"}
    job = client.extract.create(file_input=file.id, configuration=configuration)
    emulator.control.advance(60)
    plain = client.extract.get(job.id)
    assert [page["vendor"] for page in plain.extract_result or []] == ["Acme", "Bolt"]
    assert (plain.usage, plain.configuration, plain.extract_metadata) == (None, None, None)
    more = client.extract.get(job.id, expand=["usage", "configuration", "extract_metadata"])
    assert more.usage.credits == 10
    assert more.configuration.data_schema == SCHEMA
    assert [{*page} for page in more.extract_metadata.field_metadata.page_metadata] == [
        {"vendor"},
        {"vendor"},
    ]


def test_every_job_of_a_batch_is_found_from_the_time_on_that_it_shows(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    emulator.control.change(batch_running_seconds=1 / 3)
    make_batch({f"{number}.txt": b"x" for number in range(7)})
    emulator.control.advance(60)
    jobs = list(client.parsing.list())
    assert len(jobs) == 7
    for job in jobs:
        since = list(client.parsing.list(created_at_on_or_after=job.created_at))
        until = list(client.parsing.list(created_at_on_or_before=job.created_at))
        assert job.id in {one.id for one in since} & {one.id for one in until}


def test_credits_do_not_come_back_with_the_jobs_that_are_deleted(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    make_batch()
    emulator.control.advance(60)
    emulator.control.change(credits_available=1)
    for job in list(client.parsing.list()):
        client.parsing.delete(job.id)
    with pytest.raises(llama_cloud.APIStatusError) as refused:
        make_batch()
    assert refused.value.status_code == 402


def test_a_directory_that_is_deleted_during_an_upload_takes_no_file(
    emulator: LlamaCloudEmulator,
    client: Any,
    make_directory: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = make_directory({})
    blobs = emulator._service.blobs
    receive = blobs.receive

    def deleting(*arguments: Any) -> Any:
        client.beta.directories.delete(directory)
        return receive(*arguments)

    monkeypatch.setattr(blobs, "receive", deleting)
    with pytest.raises(llama_cloud.NotFoundError):
        client.beta.directories.files.upload(directory, upload_file=("a.txt", b"a"))
