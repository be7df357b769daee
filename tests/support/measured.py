"""Pages in docs/ whose parts are written by the command that measured them, while the others stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_part(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the marks of the part ``name`` of a page; raises ``ValueError`` where it has none."""
    marks = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
    whole, count = pattern.subn(
        lambda _: f"{marks[0]}\n{text.strip()}\n{marks[1]}", page.read_text(encoding="utf-8")
    )
    if count != 1:
        raise ValueError(f"{page} has no part {name!r}")
    page.write_text(whole, encoding="utf-8")
