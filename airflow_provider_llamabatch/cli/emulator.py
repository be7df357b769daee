"""``airflow llamabatch emulator``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace


def emulator(options: Namespace) -> None:
    """Serve until a signal comes."""
    try:
        from airflow_provider_llamabatch.emulator.__main__ import main
    except ModuleNotFoundError as error:
        sys.exit(
            f"The emulator needs the module {error.name}: pip install 'airflow-provider-llamabatch[emulator]'"
        )
    names = ("host", "port", "api_key", "speed", "seed", "state_file")
    given = [(name, getattr(options, name)) for name in names] + [("set", one) for one in options.set or ()]
    flags = [(f"--{name.replace('_', '-')}", value) for name, value in given if value is not None]
    sys.exit(main([part for flag in flags for part in flag]))
