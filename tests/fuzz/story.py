"""What has to work after everything that was sent: a whole story, and reading all that was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tests.fuzz.served import DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.served import Served

LISTS = {
    "/api/v2/batches": "/api/v2/batches/{}?expand=results",
    "/api/v1/beta/directories": "/api/v1/beta/directories/{}",
    "/api/v1/beta/files": "/api/v1/beta/files/{}?expand=download_url",
    "/api/v1/beta/configurations": "/api/v1/beta/configurations/{}",
    "/api/v2/parse": "/api/v2/parse/{}?expand=text,items,metadata,forms,text_full,usage,text_content_metadata",
    "/api/v2/extract": "/api/v2/extract/{}?expand=configuration,extract_metadata,usage",
    "/api/v2/webhook-configs": "/api/v1/beta/webhook-configs/{}",
}
READ = 300
"""So many of the newest records of each list are read one by one."""


def told(served: Served) -> Iterator[str]:
    """Live through a healthy story and give what is wrong with it."""
    try:
        yield from _story(served)
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        yield f"the story broke off: {error!r}"


def _story(served: Served) -> Iterator[str]:
    directory = served.post("/api/v1/beta/directories", json={"name": "healthy", "type": "ephemeral"})["id"]
    for name, content in DOCUMENTS.items():
        path = f"/api/v1/beta/directories/{directory}/files/upload"
        served.post(path, files={"upload_file": (name, content)})
    job = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
    body = {"source_directory_id": directory, "config": {"job": job}}
    batch = served.post("/api/v2/batches", json=body)["id"]
    served.advance(60)
    done = served.get(f"/api/v2/batches/{batch}", expand="results")
    if done["status"] != "COMPLETED" or len(done["results"]) != len(DOCUMENTS):
        yield f"the batch is {done['status']} with {done['results']}"
    listed = [one["id"] for one in served.get("/api/v2/batches", source_directory_id=directory)["items"]]
    if listed != [batch]:
        yield f"the list of the directory's batches is {listed}"
    ids = [one["job_reference"]["id"] for one in done["results"]]
    jobs = served.get("/api/v2/parse", job_ids=",".join(ids))["items"]
    if {one["status"] for one in jobs} != {"COMPLETED"} or len(jobs) != len(ids):
        yield f"the jobs are {jobs}"
    texts = {served.get(f"/api/v2/parse/{id_}", expand="text_full")["text_full"] for id_ in ids}
    if len(texts) != len(DOCUMENTS) or not all(texts):
        yield f"the results are {texts}"
    served.api.delete(f"/api/v1/beta/directories/{directory}").raise_for_status()


def read(served: Served) -> Iterator[str]:
    """Read every list to its end, and its newest records one by one; give what cannot be read."""
    for path, one in LISTS.items():
        records: list[Any] = []
        query: dict[str, Any] = {"page_size": 100}
        while True:
            try:
                page = served.get(path, **query)
            except httpx.HTTPError as error:
                yield f"{path} cannot be read: {error!r}"
                break
            records += page["items"]
            if page["next_page_token"] is None:
                break
            query["page_token"] = page["next_page_token"]
        if len({record["id"] for record in records}) != len(records):
            yield f"{path} repeats records"
        for record in records[:READ]:
            try:
                served.api.get(one.format(record["id"])).raise_for_status()
            except httpx.HTTPError as error:
                yield f"{path} lists {record['id']}, which cannot be read: {error!r}"
