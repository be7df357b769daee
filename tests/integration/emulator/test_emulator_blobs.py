"""Uploads and those who read them, when something else happens meanwhile."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from llama_cloud import AuthenticationError, NotFoundError
from pypdf import PdfWriter

from airflow_provider_llamabatch.emulator.documents import aside
from airflow_provider_llamabatch.emulator.state import blobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator


def parsed(client: Any, control: Any, upload: tuple[str, bytes]) -> Any:
    """Upload a file, parse it, and return the job with its text."""
    file = client.files.create(file=upload, purpose="parse")
    job = client.parsing.create(file_id=file.id, tier="fast", version="latest")
    control.advance(60)
    return client.parsing.get(job.id, expand=["text"])


@pytest.fixture
def reset_while_reading(emulator: LlamaCloudEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reset the emulator when the next upload comes, as it is half read and when it is read."""
    read: Callable[..., Any] = aside.read

    def read_and_reset(*arguments: Any) -> Any:
        monkeypatch.setattr(aside, "read", read)
        emulator.control.reset()
        found = read(*arguments)
        emulator.control.reset()
        return found

    monkeypatch.setattr(aside, "read", read_and_reset)


@pytest.mark.usefixtures("reset_while_reading")
def test_an_upload_during_a_reset_is_a_file_of_the_new_start(client: Any) -> None:
    made = client.files.create(file=("a.txt", b"Alpha"), purpose="parse")
    assert [one.id for one in client.files.list()] == [made.id]
    assert client.parsing.create(file_id=made.id, tier="fast", version="latest").status == "PENDING"


@pytest.mark.usefixtures("reset_while_reading")
def test_a_parse_job_with_an_upload_during_a_reset_is_one_of_the_new_start(client: Any) -> None:
    made = client.parsing.create(upload_file=("a.txt", b"Alpha"), tier="fast", version="latest")
    assert [one.id for one in client.parsing.list()] == [made.id]


@pytest.mark.usefixtures("reset_while_reading")
def test_an_upload_into_a_directory_that_a_reset_takes_away_is_refused(client: Any) -> None:
    directory = client.beta.directories.create(name="x")
    with pytest.raises(NotFoundError):
        client.beta.directories.files.upload(directory.id, upload_file=("a.txt", b"Alpha"))


@pytest.mark.usefixtures("reset_while_reading")
def test_an_upload_into_a_project_that_a_reset_takes_away_is_refused(
    emulator: LlamaCloudEmulator, client: Any
) -> None:
    other = emulator.control.add_project("other")
    with pytest.raises(AuthenticationError):
        client.with_options(api_key=other["api_key"]).files.create(file=("a.txt", b"Beta"), purpose="parse")


def test_what_was_read_can_be_looked_at_while_an_equal_upload_is_read(
    emulator: LlamaCloudEmulator, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Callable[..., Any] = aside.read
    upload, shown = ("a.txt", b"Alpha"), []

    def read_another_first(name: str, source: Path, target: Path) -> Any:
        monkeypatch.setattr(aside, "read", read)
        shown.append(parsed(client, emulator.control, upload))
        target.write_text("[")  # as far as writing has come
        shown.append(client.parsing.get(shown[0].job.id, expand=["text"]))
        return read(name, source, target)

    monkeypatch.setattr(blobs, "KEPT_BYTES", 0)
    monkeypatch.setattr(aside, "read", read_another_first)
    shown.append(parsed(client, emulator.control, upload))
    assert [one.text.pages[0].text for one in shown] == ["Alpha"] * 3


def test_a_reader_that_was_ended_while_it_waited_costs_no_document(
    emulator: LlamaCloudEmulator, client: Any
) -> None:
    def pdf(width: int) -> tuple[str, bytes]:
        writer, content = PdfWriter(), io.BytesIO()
        writer.add_blank_page(width, 100)
        writer.write(content)
        return "a.pdf", content.getvalue()

    parsed(client, emulator.control, pdf(100))
    for idle in aside._IDLE.values():
        for reader in idle:
            reader.kill()
            reader.wait()
    assert parsed(client, emulator.control, pdf(200)).job.error_message.startswith("NO_DATA_FOUND_IN_FILE")


def test_an_upload_is_deleted_with_the_last_that_is_over_it(
    emulator: LlamaCloudEmulator, client: Any, make_directory: Callable[..., str]
) -> None:
    def on_disk() -> int:
        return len([path for path in emulator._service.blobs._root.rglob("*") if path.is_file()])

    first, equal = (client.files.create(file=("a.txt", b"Alpha"), purpose="parse") for _ in range(2))
    job = client.parsing.create(file_id=first.id, tier="fast", version="latest")
    directory = make_directory({})
    entries = [client.beta.directories.files.add(directory, file_id=equal.id).id for _ in range(2)]
    emulator.control.advance(60)
    deletions: list[Callable[[], Any]] = [
        lambda: client.files.delete(first.id),
        lambda: client.files.delete(equal.id),
        lambda: client.beta.directories.files.delete(entries[0], directory_id=directory),
        lambda: client.parsing.delete(job.id),
    ]
    for delete in deletions:
        delete()
        assert on_disk() == 2  # its bytes, and what was read
    url = f"{emulator.url}/api/v1/beta/directories/{directory}/files/bulk-delete"
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    httpx.post(url, json={"directory_file_ids": entries[1:]}, headers=headers).raise_for_status()
    assert on_disk() == 0
    assert parsed(client, emulator.control, ("a.txt", b"Alpha")).text.pages[0].text == "Alpha"
