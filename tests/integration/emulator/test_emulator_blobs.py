"""Uploads and those who read them, when something else happens meanwhile."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from pypdf import PdfWriter

from airflow_provider_llamabatch.emulator.documents import aside

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator


def parsed(client: Any, control: Any, upload: tuple[str, bytes]) -> Any:
    """Upload a file, parse it, and return the job with its text."""
    file = client.files.create(file=upload, purpose="parse")
    job = client.parsing.create(file_id=file.id, tier="fast", version="latest")
    control.advance(60)
    return client.parsing.get(job.id, expand=["text"])


def test_what_is_reset_while_a_file_is_read_is_read_as_new_afterwards(
    emulator: LlamaCloudEmulator, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Callable[..., Any] = aside.read

    def read_and_reset(*arguments: Any) -> Any:
        found = read(*arguments)
        emulator.control.reset()
        return found

    with monkeypatch.context() as during:
        during.setattr(aside, "read", read_and_reset)
        client.files.create(file=("a.txt", b"Alpha"), purpose="parse")
    emulator.control.freeze()
    shown = parsed(client, emulator.control, ("a.txt", b"Alpha"))
    assert (shown.job.status, shown.text.pages[0].text) == ("COMPLETED", "Alpha")


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
