"""Renders this folder with Sphinx: ``make docs``. Every warning is an error."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("AIRFLOW_HOME", str(ROOT / ".cache" / "airflow"))

from airflow_provider_llamabatch import __version__  # noqa: E402  # the path comes first

project = "airflow-provider-llamabatch"
author = "The contributors"
release = version = __version__

extensions = [
    "myst_parser",  # the pages are Markdown, readable on a forge too
    "sphinx.ext.autodoc",  # the reference comes from docstrings
    "sphinx_copybutton",  # a button that copies a block
]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "exclude-members": "execute,poke,render_template_fields",
}
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
suppress_warnings = [
    "myst.xref_missing"
]  # links to files beside this folder; tests/unit/test_docs.py follows them

html_theme = "furo"
html_title = f"LlamaCloud batches for Apache Airflow {release}"
html_copy_source = False
exclude_patterns = ["_build"]
