"""What this package writes is never taken for a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_llamabatch.exceptions import RequestRefusedError
from tests.integration.documents.conftest import fill

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.documents.conftest import Line

pytestmark = pytest.mark.usefixtures("connection")


@pytest.mark.parametrize("spelled", ["{source}", "{source}/", "file://{source}", "{source}/../in", "{link}"])
def test_a_target_that_is_the_source_is_refused_and_both_are_named(
    line: Line, source: Path, tmp_path: Path, spelled: str
):
    fill(source, {"a.txt": b"alpha"})
    link = tmp_path / "link"
    link.symlink_to(source)
    target = spelled.format(source=source, link=link)

    with pytest.raises(RequestRefusedError, match=rf"target: .* is the same folder as the source {source}"):
        line.upload(source=str(source), target=target)


def test_a_target_that_is_the_source_on_s3_is_refused(line: Line, s3):
    s3.put_object(Bucket="documents", Key="in/a.txt", Body=b"alpha")

    with pytest.raises(RequestRefusedError, match="is the same folder as the source s3://documents/in"):
        line.upload(
            source="s3://documents/in",
            source_conn_id="storage",
            target="s3://storage@documents/in/",
        )


def test_results_inside_the_source_are_no_documents_of_the_next_run(
    new_line: Callable[[str], Line], source: Path
):
    fill(source, {"a.txt": b"alpha", "sub/b.txt": b"beta"})
    target = source / "out"
    first, second = new_line("first"), new_line("second")
    first.process(first.upload(source=str(source), target=str(target)))
    first.save(target)

    again = second.upload(source=str(source), target=str(target))
    assert second.names_in(again) == ["a.txt", "sub/b.txt"]


def test_bookkeeping_of_any_target_is_no_document_and_a_manifest_of_somebody_else_is_one(
    line: Line, source: Path
):
    fill(
        source,
        {
            "a.txt": b"alpha",
            "out/.llamabatch/uploads/0123.jsonl": b"{}\n",
            "out/manifest.jsonl": b"{}\n",
            "out/manifest-3.jsonl": b"{}\n",
            "out/letter.txt": b"beta",
            "theirs/manifest.jsonl": b"{}\n",
            "theirs/.llamabatch.txt": b"gamma",
        },
    )

    assert line.names_in(line.upload(source=str(source))) == [
        "a.txt",
        "out/letter.txt",
        "theirs/.llamabatch.txt",
        "theirs/manifest.jsonl",
    ]
