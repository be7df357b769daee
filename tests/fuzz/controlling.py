"""The control interface: whatever it accepts, the emulator goes on answering, and a reset mends everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from hypothesis import strategies as st

from airflow_provider_llamabatch.emulator.faults.rules import Fault
from airflow_provider_llamabatch.emulator.settings import Settings
from tests.fuzz.judging import shown
from tests.fuzz.served import DOCUMENTS, sparsely_populated
from tests.fuzz.story import LISTS

if TYPE_CHECKING:
    import requests
    from hypothesis.strategies import SearchStrategy
    from schemathesis import Case

    from tests.fuzz.judging import Tally
    from tests.fuzz.served import Pool, Served

PREFIX = "/_emulator/"
SHORT_SECONDS = 1.0
"""A fault that holds answers back for longer is not waited for."""
_TEXT = st.text(max_size=20)
_NUMBERS = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


def of_schema(schema: Any, definitions: dict[str, Any]) -> SearchStrategy[Any]:
    """Draw a value that a model most probably takes."""
    if "$ref" in schema:
        return of_schema(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of([of_schema(one, definitions) for one in options])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if schema.get("type") == "array":
        return st.lists(of_schema(schema.get("items", {}), definitions), max_size=3)
    if schema.get("type") == "object":
        return _of_object(schema, definitions)
    return _of_kind(schema)


def _of_kind(schema: Any) -> SearchStrategy[Any]:
    kinds: dict[str | None, SearchStrategy[Any]] = {
        "boolean": st.booleans(),
        "null": st.none(),
        "string": _TEXT | st.sampled_from(["*.txt", "[z-a]", "COMPLETED", "^/api", "a{9999999999999}"]),
        "integer": st.integers(schema.get("minimum", 0), 599) | st.integers(min_value=1),
        "number": _NUMBERS | st.sampled_from([0, 0.5, 1e308, 3e10]),
    }
    return kinds.get(schema.get("type"), _TEXT | st.none() | st.integers())


def _of_object(schema: Any, definitions: dict[str, Any]) -> SearchStrategy[Any]:
    if "properties" not in schema:
        more = schema.get("additionalProperties")
        part = of_schema(more if isinstance(more, dict) else {}, definitions)
        return st.dictionaries(_TEXT | st.sampled_from(["RUNNING", "*", "self"]), part, max_size=3)
    named = {name: of_schema(part, definitions) for name, part in schema["properties"].items()}
    required = {name: named.pop(name) for name in schema.get("required", [])}
    few = st.sets(st.sampled_from(sorted(named)), max_size=4)
    return few.flatmap(
        lambda names: st.fixed_dictionaries({**required, **{one: named[one] for one in sorted(names)}})
    )


def _of_model(model: type[Settings | Fault]) -> SearchStrategy[Any]:
    schema = model.model_json_schema()
    odd = st.sampled_from([{"self": 1}, {"": 1}, {"changes": {}}, {"model_config": {}}])
    return of_schema(schema, schema.get("$defs", {})) | odd


BODIES = {
    "PATCH /_emulator/settings": _of_model(Settings),
    "POST /_emulator/faults": _of_model(Fault),
    "POST /_emulator/clock": st.fixed_dictionaries(
        {}, optional={"advance": _NUMBERS, "freeze": st.booleans()}
    ),
}
"""What the document leaves open."""


class Controlled:
    """An emulator whose control is used; after every change it is looked at, and started over."""

    def __init__(self, served: Served, tally: Tally) -> None:
        self._served = served
        self._tally = tally
        self._fill()

    def look(self, case: Case, answer: requests.Response) -> None:
        """See that the emulator still answers after a change, also what it answers only then, and start over."""
        if answer.request.method == "GET" or answer.status_code >= 300:
            return
        try:
            self._look(case)
        except httpx.HTTPError as error:
            self._fail(case, "leaves an emulator that does not answer", repr(error), answer)
        except AssertionError as error:
            self._fail(case, "leaves an emulator that fails", str(error), answer)
        try:
            self.start_over()
        except httpx.HTTPError as error:
            self._fail(case, "is not mended by a reset", repr(error), answer)

    def start_over(self) -> None:
        """Reset, and put something into the emulator again."""
        self._served.api.post(f"{PREFIX}reset").raise_for_status()
        self._served.freeze()
        self._fill()

    def _fill(self) -> None:
        self.pool: Pool = sparsely_populated(self._served)
        unmatched = {"kind": "drop_before", "path": "^/never"}
        self.pool.add(self._served.post(f"{PREFIX}faults", json=unmatched)["id"], "fault_id")

    def _fail(self, case: Case, what: str, detail: str, answer: requests.Response) -> None:
        self._tally.fail(case.operation.label, what, detail, shown(answer.request))

    def _look(self, case: Case) -> None:
        api, label = self._served.api, case.operation.label
        if label == "POST /_emulator/faults":
            self._look_at_fault()
        if label == "PATCH /_emulator/settings":
            api.patch(f"{PREFIX}settings", json={"latency": "none"}).raise_for_status()
        rotated = label.endswith("/api-key")
        body: Any = case.body
        headers = {"Authorization": f"Bearer {body['api_key']}"} if rotated else {}
        for name in ("settings", "clock", "faults", "requests", "deliveries", "counters", "state"):
            _sound(api.get(PREFIX + name))
        for path in LISTS:
            listed = api.get(path, headers=headers)
            _sound(listed, takes_key=rotated)
        self._change(headers)

    def _look_at_fault(self) -> None:
        fault = self._served.get(f"{PREFIX}faults")[-1]
        directory = self.pool.named["directory_id"][0]
        if fault["seconds"] <= SHORT_SECONDS:
            for method, path in (
                ("GET", "/api/v2/batches"),
                ("DELETE", f"/api/v1/beta/directories/{directory}"),
                ("GET", "/api/v2/batches/none"),
            ):
                try:
                    self._served.api.request(method, path)
                except httpx.RemoteProtocolError as error:
                    if "disconnected" not in str(
                        error
                    ):  # to be closed may be asked for, to be out of step may not
                        raise
        self._served.api.delete(f"{PREFIX}faults").raise_for_status()

    def _change(self, headers: dict[str, Any]) -> None:
        """Make one of everything, and look at what becomes of it."""
        api = self._served.api
        made = api.post("/api/v1/beta/directories", json={"name": "x", "type": "ephemeral"}, headers=headers)
        _sound(made)
        if made.status_code != 201:
            return
        path = f"/api/v1/beta/directories/{made.json()['id']}"
        for name, content in DOCUMENTS.items():
            _sound(api.post(f"{path}/files/upload", files={"upload_file": (name, content)}, headers=headers))
        job = {"type": "parse_v2", "configuration_id": "cfg-PARSE_AGENTIC"}
        body = {"source_directory_id": made.json()["id"], "config": {"job": job}}
        batch = api.post("/api/v2/batches", json=body, headers=headers)
        _sound(batch)
        for seconds in (0, 1, 100):
            self._served.advance(seconds)
            for listed in ("/api/v2/batches", "/api/v2/parse", f"{path}/files"):
                _sound(api.get(listed, headers=headers))
            if batch.status_code == 201:
                query = {"expand": "results"}
                _sound(api.get(f"/api/v2/batches/{batch.json()['id']}", params=query, headers=headers))
        _sound(api.delete(path, headers=headers))


def _sound(answer: httpx.Response, *, takes_key: bool = False) -> None:
    said = (
        f"{answer.request.method} {answer.request.url.path} answers {answer.status_code}: {answer.text[:300]}"
    )
    assert answer.status_code < 500, said
    assert not takes_key or answer.status_code != 401, said
    if "json" in answer.headers.get("content-type", ""):
        assert "Infinity" not in answer.text, said
