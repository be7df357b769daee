"""The emulator that the example DAGs of the pipeline talk to, and what these DAGs need to know when they are read."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from airflow_provider_llamabatch.llamacloud import calls
from tests.support.llamacloud import LlamaCloud

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

API_KEY = "llx-system-tests-0c7d3f9a51e24b86"
SCHEMA = {"type": "object", "properties": {"invoice_number": {"type": "string"}, "total": {"type": "number"}}}


class PipelineWorld:
    """The emulator, seen from outside Airflow."""

    def __init__(self, home: Path, emulator: LlamaCloudEmulator) -> None:
        self.home, self.control = home, emulator.control
        connection = {"password": API_KEY, "host": emulator.url}
        self.cloud = LlamaCloud("the emulator", connection)
        self.inbox, self.watched, self.asset = (
            self.cloud.client.send(calls.create_directory(name=name, type="user")).id
            for name in ("inbox", "watched", "asset")
        )
        parameters = {"product_type": "extract_v2", "data_schema": SCHEMA, "confidence_scores": True}
        configuration = self.cloud.client.send(
            calls.create_configuration(name="invoices", parameters=parameters)
        )
        self.airflow_environment = {
            "AIRFLOW_CONN_LLAMABATCH_DEFAULT": json.dumps({"conn_type": "llamabatch", **connection}),
            "AIRFLOW_VAR_INBOX_DIRECTORY_ID": self.inbox,
            "AIRFLOW_VAR_MARKDOWN_FOLDER": str(home / "markdown"),
            "AIRFLOW_VAR_DOCUMENTS_FOLDER": str(home / "none"),
            "AIRFLOW_VAR_INVOICES_FOLDER": str(home / "invoices"),
            "AIRFLOW_VAR_RECORDS_FOLDER": str(home / "records"),
            "AIRFLOW_VAR_INVOICES_CONFIGURATION_ID": configuration.id,
            "AIRFLOW_VAR_PARTITIONED_FOLDER": str(home / "texts"),
            "INBOX_WITH_ASSET_DIRECTORY_ID": self.asset,
            "WATCHED_DIRECTORY_ID": self.watched,
        }

    def arrive(self, directory_id: str, *names: str) -> None:
        for name in names:
            call = calls.upload_directory_file(directory_id, f"this is {name}".encode(), display_name=name)
            self.cloud.client.send(call)

    def submit(self, directory_id: str) -> str:
        call = calls.create_batch(source_directory_id=directory_id, configuration_id="cfg-PARSE_AGENTIC")
        return self.cloud.client.send(call).id

    def paid(self) -> Counter[str]:
        """Return how often each document was given to a job, by its text."""
        jobs: Counter[str] = Counter()
        for batch in self.cloud.client.send(calls.list_batches(page_size=100)).items:
            results = self.cloud.client.send(calls.get_batch(batch.id, expand_results=True)).results
            for result in results or ():
                if result.job_reference and result.job_reference.type == "parse_v2":
                    job = self.cloud.client.send(
                        calls.get_parse_job(result.job_reference.id, expand=("text",))
                    )
                    assert job.text is not None
                    jobs[job.text.pages[0].text or ""] += 1
        return jobs
