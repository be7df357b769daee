"""What can go wrong between a client and the service."""

from airflow_provider_llamabatch.emulator.faults.rules import Fault, FaultRules

__all__ = ["Fault", "FaultRules"]
