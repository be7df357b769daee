"""Changes of the package's own code, with which a defect is planted in it."""

from __future__ import annotations
import __future__

import inspect
import textwrap
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """In the source of ``owner.name`` each text becomes the other; a constant without any becomes ``value``."""

    owner: Any
    name: str
    texts: tuple[tuple[str, str], ...] = ()
    value: Any = None

    def made(self) -> Any:
        """Return what stands in for the attribute; raises ``ValueError`` where its source has changed meanwhile."""
        if not self.texts:
            return self.value
        function = inspect.getattr_static(self.owner, self.name)
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in self.texts:
            if source.count(old) != 1:
                raise ValueError(f"{old!r} is not once in {function.__qualname__}")
            source = source.replace(old, new)
        code = compile(source, "planted", "exec", __future__.annotations.compiler_flag)
        names: dict[str, Any] = {}
        exec(code, function.__globals__, names)  # the package's own source
        return names[self.name]


def code(owner: Any, name: str, *texts: str) -> Change:
    """Have each text in the source of ``owner.name`` become the one after it."""
    return Change(owner, name, tuple(zip(texts[::2], texts[1::2], strict=True)))


def value(owner: Any, name: str, other: Any) -> Change:
    """Have a constant be another one."""
    return Change(owner, name, value=other)
