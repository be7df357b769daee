"""Run by the Python of an environment that holds Airflow and the wheel: does Airflow find all of it?"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

import jsonschema

warnings.simplefilter("ignore")  # Airflow's own

import airflow  # noqa: E402

import airflow_provider_llamabatch as package  # noqa: E402

# What needs an extra is left out: it is imported only where it is used.
OPTIONAL = ("emulator", "testing", "lineage_facets", "documents.arrow")


def main() -> None:
    """Check the metadata, import every module, and ask Airflow for its providers."""
    assert "site-packages" in package.__file__, package.__file__
    info = package.get_provider_info()
    schema = Path(airflow.__file__).parent / "provider_info.schema.json"
    jsonschema.validate(info, json.loads(schema.read_text(encoding="utf-8")))
    names = [
        module.name
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=print)
    ]
    wanted = [name for name in names if not name.removeprefix(f"{package.__name__}.").startswith(OPTIONAL)]
    for name in wanted:
        importlib.import_module(name)
    listed = subprocess.run(
        [sys.executable, "-m", "airflow", "providers", "list", "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = json.loads(listed[listed.index("[{") :])
    [row] = [row for row in rows if "airflow-provider-llamabatch" in row.values()]
    assert package.__version__ in row.values(), row
    assert importlib.metadata.version("airflow-provider-llamabatch") == package.__version__
    files = {str(path) for path in importlib.metadata.files("airflow-provider-llamabatch") or ()}
    assert "airflow_provider_llamabatch/py.typed" in files
    assert any(path.endswith("licenses/NOTICE") for path in files), "NOTICE is missing"
    print(f"{len(wanted)} modules, provider {package.__version__} on Airflow {airflow.__version__}")


if __name__ == "__main__":
    main()
