"""Real documents of every kind, and what is set for a file, through the API."""

from __future__ import annotations

import io
import struct
import zipfile
from datetime import date
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

from airflow_provider_llamabatch.emulator import LlamaCloudEmulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIRECTORIES = "/api/v1/beta/directories"


def docx() -> bytes:
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in ("Hello", "Vendor: Acme"))
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>',
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return target.getvalue()


def xlsx() -> bytes:
    from openpyxl import Workbook

    book, target = Workbook(), io.BytesIO()
    book.active.append(["name", "total"])
    book.active.append(["Acme", 3])
    book.create_sheet("Second").append(["more"])
    book.save(target)
    return target.getvalue()


def xls() -> bytes:
    """Make a sheet of two cells in the oldest format of Excel, which is a bare row of records."""
    records = [(9, struct.pack("<HH", 7, 16))]
    for row, text in enumerate((b"Vendor", b"Acme")):
        records.append((4, struct.pack("<HH3xB", row, 0, len(text)) + text))
    records.append((10, b""))
    return b"".join(struct.pack("<HH", kind, len(data)) + data for kind, data in records)


def pptx() -> bytes:
    from pptx import Presentation

    slides, target = Presentation(), io.BytesIO()
    for title in ("First slide", "Second slide"):
        slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = title
    slides.save(target)
    return target.getvalue()


def png() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (40, 30)).save(target, "PNG")
    return target.getvalue()


def mail() -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", "Offer"
    message.set_content("We offer bolts.")
    message.add_alternative("<p>We offer <b>bolts</b>.</p>", subtype="html")
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="offer.pdf")
    return bytes(message)


@pytest.mark.parametrize(
    ("name", "content", "pages", "part"),
    [
        ("a.docx", docx(), 1, "Hello\n\nVendor: Acme"),
        ("a.xlsx", xlsx(), 2, "| Acme | 3 |"),
        ("a.xls", xls(), 1, "| Vendor |\n| --- |\n| Acme |"),
        ("a.pptx", pptx(), 2, "First slide"),
        ("a.png", png(), 1, "- Width: 40"),
        ("a.html", b"<h1>T</h1><table><tr><th>a</th></tr><tr><td>1</td></tr></table>", 1, "# T"),
        ("a.csv", b"a,b\n1,2\n", 1, "| 1 | 2 |"),
        ("a.eml", mail(), 1, "**Subject:** Offer\n\nWe offer bolts.\n\n- Attachment: offer.pdf"),
    ],
)
def test_a_file_becomes_markdown(
    emulator: LlamaCloudEmulator, client: Any, name: str, content: bytes, pages: int, part: str
) -> None:
    job = client.parsing.create(tier="agentic", version="latest", upload_file=(name, content))
    emulator.control.advance(60)
    shown = client.parsing.get(job.id, expand=["markdown", "items"])
    assert shown.job.error_message is None
    assert len(shown.markdown.pages) == pages
    assert part in shown.markdown.pages[0].markdown
    assert shown.items.pages[0].items


def test_a_sheet_shows_what_its_cells_hold_unless_it_is_hidden(
    emulator: LlamaCloudEmulator, client: Any
) -> None:
    from openpyxl import Workbook

    book, target = Workbook(), io.BytesIO()
    for row in (
        ["item", "count", "due"],
        ["Bolt | Nut", 3, date(2024, 1, 2)],
        [None, 2.5, None],
        ["long " * 20],
    ):
        book.active.append(row)
    hidden = book.create_sheet("Hidden")
    hidden.append(["secret"])
    hidden.sheet_state = "hidden"
    book.create_sheet("Last").append(["## no sheet"])
    book.save(target)
    job = client.parsing.create(tier="agentic", version="latest", upload_file=("a.xlsx", target.getvalue()))
    emulator.control.advance(60)
    pages = client.parsing.get(job.id, expand=["markdown"]).markdown.pages
    assert [page.markdown.splitlines() for page in pages] == [
        [
            "## Sheet",
            "| item | count | due |",
            "| --- | --- | --- |",
            r"| Bolt \| Nut | 3 | 2024-01-02 |",
            "|  | 2.5 |  |",
            f"| {'long ' * 20}|  |  |",
        ],
        ["## Last", "| ## no sheet |", "| --- |"],
    ]


def test_a_blank_slide_keeps_its_number(emulator: LlamaCloudEmulator, client: Any) -> None:
    from pptx import Presentation

    slides, target = Presentation(), io.BytesIO()
    for title, layout in (("First <!-- Slide number: 9 -->", 5), ("", 6), ("Third", 5)):
        slide = slides.slides.add_slide(slides.slide_layouts[layout])
        if title:
            slide.shapes.title.text = title
    slides.save(target)
    job = client.parsing.create(
        tier="agentic",
        version="latest",
        upload_file=("gap.pptx", target.getvalue()),
        page_ranges={"target_pages": "2-3"},
    )
    emulator.control.advance(60)
    pages = client.parsing.get(job.id, expand=["text"]).text.pages
    assert [(page.page_number, page.text) for page in pages] == [(2, ""), (3, "# Third")]


def test_a_broken_image_fails_without_a_path_of_the_server(emulator: LlamaCloudEmulator, client: Any) -> None:
    job = client.parsing.create(tier="agentic", version="latest", upload_file=("a.png", b"no image"))
    emulator.control.advance(60)
    message = client.parsing.get(job.id).job.error_message
    assert message == "NO_DATA_FOUND_IN_FILE: cannot identify image file 'the file'"


def test_what_is_set_for_a_file_is_what_its_job_comes_to(
    emulator: LlamaCloudEmulator, client: Any, make_batch: Callable[..., Any]
) -> None:
    emulator.control.change(
        file_results={
            "canned*": {"markdown": "# One\fTwo"},
            "torn*": {"failed_pages": [2]},
            "bad*": {"error_message": "TIMEOUT: too slow"},
            "endless*": {"never_ends": True},
        }
    )
    text = b"first\fsecond\fthird"
    batch = make_batch({f"{name}.txt": text for name in ("canned", "torn", "bad", "endless", "plain")})
    emulator.control.advance(1e6)
    results = client.batches.get(batch.id, expand=["results"]).results
    shown = [client.parsing.get(one.job_reference.id, expand=["markdown"]) for one in results]
    found = {one.job.name.removesuffix(".txt"): one for one in shown}
    assert {name: one.job.status for name, one in found.items()} == {
        "canned": "COMPLETED",
        "torn": "COMPLETED",
        "bad": "FAILED",
        "endless": "RUNNING",
        "plain": "COMPLETED",
    }
    assert [page.markdown for page in found["canned"].markdown.pages] == ["# One", "Two"]
    assert [page.success for page in found["torn"].markdown.pages] == [True, False, True]
    assert found["bad"].job.error_message == "TIMEOUT: too slow"
    assert found["endless"].markdown is None


def test_citations_and_confidence_come_where_the_configuration_asks(
    emulator: LlamaCloudEmulator, client: Any
) -> None:
    file = client.files.create(file=("a.txt", b"Other: 1\fVendor: Acme\nTotal: 12.50"), purpose="extract")
    schema = {"type": "object", "properties": {"vendor": {"type": "string"}, "total": {"type": "number"}}}
    configuration: Any = {"data_schema": schema, "cite_sources": True, "confidence_scores": True}
    job = client.extract.create(file_input=file.id, configuration=configuration)
    emulator.control.advance(60)
    found = client.extract.get(job.id)
    assert found.extract_result == {"vendor": "Acme", "total": 12.5}
    vendor = found.extract_metadata.field_metadata.document_metadata["vendor"]
    assert vendor == {"citation": [{"page": 2, "matching_text": "Acme"}], "confidence": 1.0}


PAGES = """Order 17 of 100

Buyer
\f
Amount: 17
Paid: yes
Total: $1,250.00
Due on: 5 March 2024

| Item | Price |
| --- | --- |
| Amount | 3.50 |
\f
Amount: 17
Status: **PAID**
Tags: a, bc
Name:
\f
Alice
"""


@pytest.mark.parametrize(
    ("part", "value", "page", "text"),
    [
        ({"amount": {"type": "integer"}}, 17, 2, "17"),
        ({"paid": {"type": "boolean"}}, True, 2, "yes"),
        ({"total": {"type": "number"}}, 1250.0, 2, "$1,250.00"),
        ({"due": {"type": "string", "format": "date", "title": "Due on"}}, "2024-03-05", 2, "5 March 2024"),
        (
            {"lines": {"type": "array", "items": {"properties": {"price": {"type": "number"}}}}},
            3.5,
            2,
            "3.50",
        ),
        ({"status": {"enum": ["open", "paid"]}}, "paid", 3, "PAID"),
        ({"tags": {"type": "array", "items": {"type": "string"}, "maxItems": 1}}, "a", 3, "a"),
        ({"name": {"type": "string"}}, "Alice", 4, "Alice"),
        ({"buyer": {"type": "integer", "minimum": 17}}, 17, None, ""),
        ({"missing": {"type": "string"}}, "", None, ""),
    ],
)
def test_a_citation_is_text_of_the_page_and_what_was_not_found_has_none(
    emulator: LlamaCloudEmulator, client: Any, part: dict[str, Any], value: Any, page: int | None, text: str
) -> None:
    schema = {"type": "object", "properties": part, "required": [*part]}
    file = client.files.create(file=("a.md", PAGES.encode()), purpose="extract")
    configuration: Any = {"data_schema": schema, "cite_sources": True, "confidence_scores": True}
    job = client.extract.create(file_input=file.id, configuration=configuration)
    emulator.control.advance(60)
    found = client.extract.get(job.id)
    (taken,), (about,) = (
        one.values()
        for one in (found.extract_result, found.extract_metadata.field_metadata.document_metadata)
    )
    while isinstance(taken, list | dict):
        (taken,), (about,) = ((*one.values(),) if isinstance(one, dict) else one for one in (taken, about))
    assert taken == value
    citation = [{"page": page, "matching_text": text}] if page else []
    assert about == {"citation": citation, "confidence": 1.0 if page else 0.1}


def test_a_value_of_one_page_is_cited_from_that_page(emulator: LlamaCloudEmulator, client: Any) -> None:
    file = client.files.create(file=("a.md", b"Name: Al\fName: Al"), purpose="extract")
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    configuration: Any = {"data_schema": schema, "cite_sources": True, "extraction_target": "per_page"}
    job = client.extract.create(file_input=file.id, configuration=configuration)
    emulator.control.advance(60)
    found = client.extract.get(job.id).extract_metadata.field_metadata.page_metadata
    assert [one["name"]["citation"][0]["page"] for one in found] == [1, 2]


def story(emulator: LlamaCloudEmulator) -> list[Any]:
    emulator.control.freeze()
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    with httpx.Client(base_url=emulator.url, headers=headers) as http:
        seen = [http.get("/api/v1/projects").json(), http.post(DIRECTORIES, json={"name": "x"}).json()]
        directory = seen[1]["id"]
        for index in range(9):
            files = {"upload_file": (f"{index}.txt", b"x")}
            seen.append(http.post(f"{DIRECTORIES}/{directory}/files/upload", files=files).json())
        job = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
        batch = http.post("/api/v2/batches", json={"source_directory_id": directory, "config": {"job": job}})
        emulator.control.advance(60)
        seen += [http.get(f"/api/v2/batches/{batch.json()['id']}?expand=results").json() for _ in range(2)]
        emulator.control.add_fault(kind="status", status=503, probability=0.5)
        seen += [http.get("/api/v2/batches").status_code for _ in range(20)]
        return seen


def test_one_seed_makes_one_story() -> None:
    stories = []
    for seed in (7, 7, 8):
        with LlamaCloudEmulator(seed=seed, start_time=1_700_000_000) as emulator:
            stories.append(story(emulator))
    first, second, third = stories
    times = {"created_at", "updated_at"}

    def plain(told: Any) -> Any:
        if isinstance(told, dict):
            return {name: plain(part) for name, part in told.items() if name not in times}
        return [plain(part) for part in told] if isinstance(told, list) else told

    assert plain(first) == plain(second)
    assert plain(first)[0] != plain(third)[0]


def test_a_state_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    file = tmp_path / "llamacloud.state"
    with LlamaCloudEmulator(state_file=file) as emulator:
        other = emulator.control.add_project("other")
        told = story(emulator)
        emulator.control.change(default_page_size=3)
        state = emulator.control.state()
    with LlamaCloudEmulator(state_file=file) as again:
        assert again.control.state()["batches"] == state["batches"]
        assert again.control.settings.default_page_size == 3
        headers = {"Authorization": f"Bearer {again.api_key}"}
        batch = told[-21]
        found = httpx.get(f"{again.url}/api/v2/batches/{batch['id']}?expand=results", headers=headers).json()
        assert len(found["results"]) == 9
        job = found["results"][0]["job_reference"]["id"]
        shown = httpx.get(f"{again.url}/api/v2/parse/{job}?expand=text", headers=headers).json()
        assert shown["text"]["pages"][0]["text"] == "x"
        headers = {"Authorization": f"Bearer {other['api_key']}"}
        assert httpx.get(f"{again.url}/api/v1/projects", headers=headers).json()[0]["name"] == "other"
