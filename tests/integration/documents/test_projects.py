"""The project that a task is given counts for each of its requests, not the connection's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_llamabatch.exceptions import RequestRefusedError
from airflow_provider_llamabatch.llamacloud import calls
from tests.integration.documents.conftest import fill

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator
    from airflow_provider_llamabatch.hooks.llamabatch import LlamaBatchHook
    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")

SCHEMA = {"type": "object", "properties": {"total": {"type": "integer"}}}


def test_an_upload_and_a_save_name_their_project_in_every_request(
    line: Line, source: Path, target: Path, emulator: LlamaCloudEmulator, hook: LlamaBatchHook
):
    fill(source, {"a.txt": b"Total: 3", "b.txt": b"Total: 4"})
    parameters: dict[str, Any] = {"product_type": "extract_v2", "data_schema": SCHEMA}
    configuration = hook.send(calls.create_configuration(name="totals", parameters=parameters))
    own = hook.send(calls.list_projects())[0]
    scope = {"project_id": own.id, "organization_id": own.organization_id}

    before = len(emulator.control.requests())
    ids = line.upload(source=str(source), target=str(target), **scope)
    uploading = emulator.control.requests()[before:]
    line.process(ids, configuration.id, "extract_v2")
    before = len(emulator.control.requests())
    outputs = ("records", "parquet")
    line.save(target, configuration_id=configuration.id, outputs=outputs, **scope)
    saving = emulator.control.requests()[before:]

    for request in (*uploading, *saving):
        query = parse_qs(request.query)
        named = {name: query.get(name, [None])[0] for name in scope}
        assert named == scope, f"{request.method} {request.path}"


@pytest.mark.parametrize(
    ("value", "said"), [("", "project_id: is empty"), ("None", "project_id: is the text 'None', not an id")]
)
def test_a_project_that_a_template_made_nothing_of_sends_no_document_anywhere(
    line: Line, source: Path, emulator: LlamaCloudEmulator, value: str, said: str
):
    fill(source, {"a.txt": b"alpha"})
    with pytest.raises(RequestRefusedError, match=said):
        line.upload(source=str(source), project_id=value)
    assert emulator.control.requests() == []
