"""Batches: the official client, unchanged, against the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import llama_cloud
import pytest
from llama_cloud import AsyncLlamaCloud

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

SCHEMA = {"type": "object", "properties": {"vendor": {"type": "string"}, "total": {"type": "number"}}}


def detail(caught: pytest.ExceptionInfo[llama_cloud.APIStatusError]) -> Any:
    body: Any = caught.value.body
    return body["detail"]


def expanded(client: Any, batch_id: str) -> Any:
    return client.batches.get(batch_id, expand=["results"])


def test_a_batch_goes_from_a_directory_to_markdown(
    emulator: LlamaCloudEmulator, client: Any, make_directory: Callable[..., str]
) -> None:
    texts = {"a.txt": b"Alpha", "b.md": b"# Beta\n\nSecond", "c.html": b"<p>Gamma</p>"}
    directory_id = make_directory(texts)
    names = {file.id: file.display_name for file in client.beta.directories.files.list(directory_id)}
    batch = client.batches.create(
        source_directory_id=directory_id,
        config={"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
    )
    seen = [batch.status]
    while seen[-1] != "COMPLETED":
        emulator.control.advance(1)
        seen.append(client.batches.get(batch.id).status)
    assert seen == ["PENDING", *["RUNNING"] * 4, "COMPLETED"]

    results = expanded(client, batch.id).results
    found = {}
    for entry in results:
        shown = client.parsing.get(entry.job_reference.id, expand=["markdown"])
        found[names[entry.source_directory_file_id]] = shown.markdown.pages[0].markdown
    assert found == {"a.txt": "Alpha", "b.md": "# Beta\n\nSecond", "c.html": "Gamma"}


async def test_the_async_client_walks_the_same_way(emulator: LlamaCloudEmulator, tmp_path: Path) -> None:
    path = tmp_path / "note.md"
    path.write_text("# Note")
    async with AsyncLlamaCloud(base_url=emulator.url, api_key=emulator.api_key, max_retries=0) as client:
        directory = await client.beta.directories.create(name="async", type="ephemeral")
        await client.beta.directories.files.upload(directory.id, upload_file=path)
        batch = await client.batches.create(
            source_directory_id=directory.id,
            config={"job": {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}},
        )
        emulator.control.advance(60)
        results = (await client.batches.get(batch.id, expand=["results"])).results or []
        assert results[0].job_reference is not None
        job = await client.parsing.get(results[0].job_reference.id, expand=["text"])
        assert job.text is not None
        assert job.text.pages[0].text == "# Note"


def test_an_extract_batch_fills_the_saved_schema(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    saved = client.configurations.create(
        name="invoices", parameters={"product_type": "extract_v2", "data_schema": SCHEMA}
    )
    files = {"one.txt": b"Vendor: Acme\nTotal: 12.50", "two.txt": b"Vendor: Zenith"}
    batch = make_batch(files, job_type="extract_v2", configuration_id=saved.id)
    emulator.control.advance(60)
    jobs = [client.extract.get(entry.job_reference.id) for entry in expanded(client, batch.id).results]
    results = sorted((job.extract_result for job in jobs), key=lambda one: one["vendor"])
    assert results == [{"vendor": "Acme", "total": 12.5}, {"vendor": "Zenith"}]
    listed = {job.id for job in client.extract.list(configuration_id=saved.id)}
    assert listed == {job.id for job in jobs}


def test_pdfs_are_read_page_by_page_and_a_broken_one_fails_alone(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any], pdf: bytes
) -> None:
    batch = make_batch({"good.pdf": pdf, "broken.pdf": pdf[:200]})
    emulator.control.advance(60)
    shown = expanded(client, batch.id)
    jobs = {job.id: job for job in client.parsing.list(job_ids=[e.job_reference.id for e in shown.results])}
    assert shown.status == "COMPLETED"
    assert sorted(job.status for job in jobs.values()) == ["COMPLETED", "FAILED"]
    (failed,) = (job for job in jobs.values() if job.status == "FAILED")
    (good,) = (job for job in jobs.values() if job.status == "COMPLETED")
    assert failed.error_message.startswith("PDF_IS_BROKEN")
    pages = client.parsing.get(good.id, expand=["text"]).text.pages
    assert [page.text for page in pages] == ["Page one", "Page two"]


@pytest.fixture
def pdf() -> bytes:
    """A PDF of two pages, written by hand: the smallest thing with text in it."""
    streams = [f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET" for text in ("Page one", "Page two")]
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R>>"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[4 0 R 6 0 R]/Count 2>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        page % 5,
        f"<</Length {len(streams[0])}>>stream\n{streams[0]}\nendstream",
        page % 7,
        f"<</Length {len(streams[1])}>>stream\n{streams[1]}\nendstream",
    ]
    body = "%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj{content}endobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer<</Size {size}/Root 1 0 R>>\nstartxref\n{len(body)}\n%%EOF"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def test_every_kind_of_result_can_be_expanded_repeated_or_with_commas(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    batch = make_batch({"a.md": b"# Title\n\nBody text"})
    emulator.control.advance(60)
    job_id = expanded(client, batch.id).results[0].job_reference.id
    repeated = client.parsing.get(
        job_id, expand=["text", "items", "metadata", "forms", "usage", "markdown_content_metadata"]
    )
    assert repeated.markdown is None
    assert [item.type for item in repeated.items.pages[0].items] == ["heading", "text"]
    assert repeated.job.usage.credits == 10
    stored = repeated.result_content_metadata["markdown"]
    assert httpx.get(stored.presigned_url).text == "# Title\n\nBody text"
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    with_commas = httpx.get(
        f"{emulator.url}/api/v2/parse/{job_id}?expand=text,markdown_full", headers=headers
    ).json()
    assert with_commas["text"]["pages"] == [{"page_number": 1, "text": "# Title\n\nBody text"}]
    assert with_commas["markdown_full"] == "# Title\n\nBody text"


def test_a_download_address_expires_and_cannot_be_made_up(
    emulator: LlamaCloudEmulator, client: Any, make_directory: Callable[..., str]
) -> None:
    directory_id = make_directory({"a.txt": b"Alpha"})
    (file,) = client.beta.directories.files.list(directory_id, expand=["download_url"])
    url = file.download_url.url
    assert httpx.get(url).content == b"Alpha"
    assert httpx.get(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 403
    emulator.control.advance(3602)
    assert httpx.get(url).status_code == 403


def test_lists_come_in_small_pages_and_the_client_walks_them(
    client: Any, make_directory: Callable[..., str], make_batch: Callable[..., Any]
) -> None:
    directory_id = make_directory({f"{index}.txt": b"x" for index in range(23)})
    first = client.beta.directories.files.list(directory_id)
    assert len(first.items) == 10
    assert len({file.id for file in first}) == 23
    made = [make_batch(directory_id=directory_id).id for _ in range(12)]
    assert [batch.id for batch in client.batches.list(source_directory_id=directory_id)] == made[::-1]


def test_batches_are_found_by_directory_time_and_status(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    old = make_batch()
    emulator.control.advance(100)
    new = make_batch()

    def found(**filters: Any) -> list[str]:
        return [batch.id for batch in client.batches.list(**filters)]

    assert found(source_directory_id=old.source_directory_id) == [old.id]
    assert found(created_at_on_or_after=new.created_at) == [new.id]
    assert found(created_at_on_or_before=old.created_at) == [old.id]
    assert found(status="COMPLETED") == [old.id]
    assert found(status="PENDING") == [new.id]
    assert found(status="FAILED") == []
    assert all(batch.results is None for batch in client.batches.list())


def test_the_same_create_twice_makes_two_batches(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    first = make_batch()
    second = make_batch(directory_id=first.source_directory_id)
    assert first.id != second.id
    assert emulator.control.counters()["batches_by_directory"] == {first.source_directory_id: 2}


def test_a_batch_takes_the_files_that_are_there_when_it_is_created(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    batch = make_batch({"a.txt": b"Alpha", "b.txt": b"Beta"})
    directory_id = batch.source_directory_id
    client.beta.directories.files.upload(directory_id, upload_file=("late.txt", b"Late"))
    client.beta.directories.delete(directory_id)
    emulator.control.advance(60)
    entries = expanded(client, batch.id).results
    texts = [client.parsing.get(e.job_reference.id, expand=["text"]).text.pages[0].text for e in entries]
    assert sorted(texts) == ["Alpha", "Beta"]


@pytest.mark.parametrize(("stops", "status"), [(True, "CANCELLED"), (False, "COMPLETED")])
def test_a_cancel_keeps_what_is_done_and_the_switch_decides_about_the_rest(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any], stops: bool, status: str
) -> None:
    emulator.control.change(
        cancel_stops_jobs=stops, batch_running_seconds=100, job_running_seconds=40, results_shuffle=False
    )
    batch = make_batch({"a.txt": b"1", "b.txt": b"2", "c.txt": b"3", "d.txt": b"4"})  # a job every 25 s
    emulator.control.advance(1 + 50.5)
    assert client.batches.cancel(batch.id).status == "RUNNING"
    emulator.control.advance(1)
    assert client.batches.get(batch.id).status == "CANCELLED"
    emulator.control.advance(100)
    entries = expanded(client, batch.id).results
    jobs = [e.job_reference and client.parsing.get(e.job_reference.id).job.status for e in entries]
    assert jobs == ["COMPLETED", status, status, None]


@pytest.mark.parametrize(
    ("code", "error"), [(400, llama_cloud.BadRequestError), (409, llama_cloud.ConflictError)]
)
def test_an_ended_batch_cannot_be_cancelled(
    emulator: LlamaCloudEmulator,
    client: Any,
    make_batch: Callable[..., Any],
    code: int,
    error: type[Exception],
) -> None:
    emulator.control.change(terminal_cancel_code=code)
    batch = make_batch()
    emulator.control.advance(60)
    with pytest.raises(error, match="already COMPLETED"):
        client.batches.cancel(batch.id)


def test_the_switches_of_a_look_at_a_batch(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    control = emulator.control
    control.change(
        status_words={"RUNNING": "REBALANCING"},
        partial_results_while_running=True,
        results_null_when_completed_looks=2,
        mapping_error_files=("bad*",),
        unresolved_files=("odd*",),
        new_batch_is_404_seconds=0.5,
        list_hides_new_batches_seconds=0.5,
        extra_fields=True,
    )
    batch = make_batch({"good.txt": b"1", "bad.txt": b"2", "odd.txt": b"3"})
    assert list(client.batches.list()) == []
    with pytest.raises(llama_cloud.NotFoundError):
        client.batches.get(batch.id)
    control.advance(1)
    running = expanded(client, batch.id)
    assert (running.status, len(running.results)) == ("REBALANCING", 3)
    assert running.field_of_tomorrow["nested"] == [1, None, "new"]
    control.advance(60)
    looks = [expanded(client, batch.id).results for _ in range(3)]
    assert looks[:2] == [None, None]
    kinds = [(e.job_reference is not None, e.error_message is not None) for e in looks[2]]
    assert sorted(kinds) == [(False, False), (False, True), (True, False)]


def test_jobs_may_run_on_after_the_batch(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    emulator.control.change(jobs_finish="after_completed", job_lag_seconds=10)
    batch = make_batch({"a.txt": b"Alpha"})
    emulator.control.advance(6)
    shown = expanded(client, batch.id)
    job_id = shown.results[0].job_reference.id
    assert shown.status == "COMPLETED"
    assert client.parsing.get(job_id).job.status == "RUNNING"
    assert client.parsing.get(job_id, expand=["markdown"]).markdown is None
    emulator.control.change(unfinished_results_code=404)
    with pytest.raises(llama_cloud.NotFoundError, match="Check the job status"):
        client.parsing.get(job_id, expand=["markdown"])
    emulator.control.advance(10)
    assert client.parsing.get(job_id, expand=["markdown"]).job.status == "COMPLETED"


def test_a_completed_job_can_have_failed_pages_and_results_can_expire(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    emulator.control.change(failed_pages=[2], results_expire_seconds=100)
    batch = make_batch({"a.txt": b"one\ftwo\fthree"})
    emulator.control.advance(60)
    job_id = expanded(client, batch.id).results[0].job_reference.id
    pages = client.parsing.get(job_id, expand=["markdown"]).markdown.pages
    assert [page.success for page in pages] == [True, False, True]
    about = client.parsing.get(job_id, expand=["text_content_metadata"]).result_content_metadata["text"]
    assert httpx.get(about.presigned_url).text == "one\n\nthree"
    emulator.control.advance(100)
    with pytest.raises(llama_cloud.NotFoundError, match="expired"):
        client.parsing.get(job_id, expand=["markdown"])
    assert httpx.get(about.presigned_url).status_code == 404


@pytest.mark.parametrize(
    ("changes", "arguments", "status"),
    [
        ({}, {"directory_id": "dir-nowhere"}, 404),
        ({"missing_directory_code": 403}, {"directory_id": "dir-nowhere"}, 403),
        ({}, {"configuration_id": "cfg-nothing"}, 404),
        ({}, {"job_type": "extract_v2"}, 400),
        ({"type_mismatch_code": 422}, {"job_type": "extract_v2"}, 422),
        ({}, {"files": {}}, 400),
        ({"max_files_per_batch": 2}, {}, 400),
        ({"max_files_per_batch": 2, "too_many_files_code": 413}, {}, 413),
        ({"plan_allows_batches": False}, {}, 403),
        ({"plan_allows_batches": False, "plan_code": 402}, {}, 402),
        ({}, {"job_type": "dance_v1"}, 422),
    ],
)
def test_a_create_is_refused_with_the_code_that_was_set(
    emulator: LlamaCloudEmulator,
    make_batch: Callable[..., Any],
    changes: dict[str, Any],
    arguments: dict[str, Any],
    status: int,
) -> None:
    emulator.control.change(**changes)
    with pytest.raises(llama_cloud.APIStatusError) as caught:
        make_batch(**arguments)
    assert caught.value.status_code == status
    assert detail(caught)
    assert emulator.control.counters()["batches"] == 0


def test_an_empty_directory_can_be_allowed(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    emulator.control.change(empty_directory_code=None)
    batch = make_batch({})
    emulator.control.advance(60)
    assert expanded(client, batch.id).results == []


def test_creating_too_fast_is_refused_for_a_minute(
    emulator: LlamaCloudEmulator, make_batch: Callable[..., Any]
) -> None:
    emulator.control.change(batches_per_minute=1, retry_after_seconds=7)
    make_batch()
    with pytest.raises(llama_cloud.RateLimitError, match="batches per minute") as caught:
        make_batch()
    assert caught.value.response.headers["retry-after"] == "7"
    emulator.control.advance(60)
    make_batch()


def test_no_retry_after_is_sent_unless_it_is_switched_on(
    emulator: LlamaCloudEmulator, make_batch: Callable[..., Any]
) -> None:
    emulator.control.change(batches_per_minute=1)
    make_batch()
    with pytest.raises(llama_cloud.RateLimitError) as caught:
        make_batch()
    assert "retry-after" not in caught.value.response.headers


def test_a_thousand_files_make_a_thousand_entries(
    emulator: LlamaCloudEmulator,
    client: Any,
    make_directory: Callable[..., str],
    make_batch: Callable[..., Any],
) -> None:
    directory_id = make_directory({})
    stored = client.files.create(file=("a.txt", b"Alpha"), purpose="parse")
    for index in range(1000):
        client.beta.directories.files.add(directory_id, file_id=stored.id, unique_id=str(index))
    batch = make_batch(directory_id=directory_id)
    emulator.control.advance(60)
    results = expanded(client, batch.id).results
    assert len({entry.job_reference.id for entry in results}) == 1000
    one_more = client.beta.directories.files.add(directory_id, file_id=stored.id, unique_id="1000")
    assert one_more.id
    with pytest.raises(llama_cloud.BadRequestError, match="at most 1000"):
        make_batch(directory_id=directory_id)
