"""The blocks of code in the documentation, page by page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
OF_ITS_OWN = (
    "testing.md"  # its blocks are whole test files, see tests/integration/emulator/test_testing_page.py
)

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its language, its code, and ``name``, the page and the block's number."""

    language: str
    code: str
    name: str

    @property
    def is_dag(self) -> bool:
        """Say whether it is a DAG file."""
        return self.language == "python" and "@dag" in self.code


BLOCKS = [
    Block(language, code, f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (language, code) in enumerate(_FENCED.findall(page.read_text(encoding="utf-8")))
]
