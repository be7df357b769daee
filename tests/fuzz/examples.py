"""Bodies that are taken: the document does not say which of its optional fields belong together."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.fuzz.hostile import schemas

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy
    from schemathesis import Case

    from tests.fuzz.served import Pool

Fields = dict[str, "SearchStrategy[Any]"]


def _known(pool: Pool, name: str) -> SearchStrategy[Any]:
    return st.sampled_from(pool.named[name])


def _configuration(pool: Pool) -> SearchStrategy[Any]:
    targets = st.sampled_from(["per_doc", "per_page", "per_table_row"])
    options: Fields = {
        "cite_sources": st.booleans(),
        "extraction_target": targets,
        "max_pages": st.integers(1, 3),
    }
    return st.fixed_dictionaries({"data_schema": schemas(pool.black_hole)}, optional=options)


def _batch(pool: Pool) -> Fields:
    types = st.sampled_from(["parse_v2", "extract_v2"])
    job = st.fixed_dictionaries({"type": types, "configuration_id": _known(pool, "configuration_id")})
    return {
        "source_directory_id": _known(pool, "directory_id"),
        "config": st.fixed_dictionaries({"job": job}),
    }


def _parameters(pool: Pool) -> Fields:
    product = {"product_type": st.just("extract_v2"), "data_schema": schemas(pool.black_hole)}
    return {"parameters": st.fixed_dictionaries(product)}


TAKEN: dict[str, Callable[[Pool], Fields]] = {
    "POST /api/v2/batches": _batch,
    "POST /api/v2/extract": lambda pool: {
        "file_input": _known(pool, "file_input"),
        "configuration": _configuration(pool),
    },
    "POST /api/v2/extract/schema/validation": lambda pool: {"data_schema": schemas(pool.black_hole)},
    "POST /api/v2/extract/schema/generate": lambda pool: {
        "file_id": _known(pool, "file_id"),
        "data_schema": schemas(pool.black_hole),
    },
    "POST /api/v2/parse": lambda pool: {
        "file_id": _known(pool, "file_id"),
        "tier": st.sampled_from(["fast", "agentic"]),
        "version": st.just("latest"),
    },
    "POST /api/v1/beta/directories/{directory_id}/files": lambda pool: {"file_id": _known(pool, "file_id")},
    "POST /api/v1/beta/configurations": _parameters,
    "PUT /api/v1/beta/configurations/{config_id}": _parameters,
}
DIRECTORY = "/api/v1/beta/directories/{directory_id}"
BULK_DELETE = f"POST {DIRECTORY}/files/bulk-delete"


@lru_cache(maxsize=64)
def _taken(label: str, pool: Pool) -> SearchStrategy[Any]:
    return st.fixed_dictionaries(TAKEN[label](pool))


def complete(draw: st.DrawFn, case: Case, pool: Pool) -> None:
    """Put into a body what lets it be taken, and leave the rest of it as it is."""
    label = case.operation.label
    if label == BULK_DELETE:
        directory, file = draw(st.sampled_from(pool.files))
        case.path_parameters["directory_id"] = directory
        case.body = {"directory_file_ids": [file]}
    elif label in TAKEN:
        generated: Any = case.body
        case.body = {**generated, **draw(_taken(label, pool))}
