"""A local LlamaCloud on a real socket, to develop, demonstrate and test against. Needs the extra ``emulator``."""

from __future__ import annotations

try:
    from airflow_provider_llamabatch.emulator.control import Control
    from airflow_provider_llamabatch.emulator.faults.rules import Fault
    from airflow_provider_llamabatch.emulator.server import DEMO_API_KEY, LlamaCloudEmulator
    from airflow_provider_llamabatch.emulator.settings import Settings
except ModuleNotFoundError as error:
    hint = "the emulator needs its extra: pip install 'airflow-provider-llamabatch[emulator]'"
    raise ModuleNotFoundError(f"{error.msg}; {hint}", name=error.name) from error

__all__ = ["DEMO_API_KEY", "Control", "Fault", "LlamaCloudEmulator", "Settings"]
