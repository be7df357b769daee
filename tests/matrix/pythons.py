"""The Python interpreters of this machine: on the path, or installed by pyenv or uv."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def find_python(version: str) -> str | None:
    """Return an interpreter of a version such as ``3.13``, None where there is none."""
    return next((path for path in _candidates(version) if _is(path, version)), None)


def _candidates(version: str) -> Iterator[str]:
    found = shutil.which(f"python{version}")
    if found:
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    uv = Path.home() / ".local" / "share" / "uv" / "python"
    for folder in (pyenv, uv):
        for path in sorted(folder.glob(f"*{version}*/bin/python{version}")):
            yield str(path)
    yield from (path for path in (shutil.which("python3"),) if path)


def _is(path: str, version: str) -> bool:
    """Say whether an interpreter runs (pyenv's shims may not) and is of this version."""
    asks = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", asks], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version
