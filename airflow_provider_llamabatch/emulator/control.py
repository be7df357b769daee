"""The control: everything a test or a demonstration changes or asks about the emulator itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator.faults.rules import Fault
from airflow_provider_llamabatch.emulator.state import batches, jobs

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.settings import Settings
    from airflow_provider_llamabatch.emulator.state.journal import SeenRequest
    from airflow_provider_llamabatch.emulator.state.service import EmulatorState


class Control:
    """Acts on the emulator directly; safe from every thread."""

    def __init__(self, service: EmulatorState) -> None:
        self._service = service

    # Settings and key

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._service.settings

    def change(self, /, **changes: Any) -> Settings:
        """Change settings by name. Raises pydantic.ValidationError for unknown names or bad values."""
        with self._service.lock:
            self._service.settings = self._service.settings.changed(**changes)
            return self._service.settings

    def set_api_key(self, api_key: str) -> None:
        """Rotate the key: the old one is refused from now on. Raises ValueError for the key of another project."""
        with self._service.lock:
            self._service.rotate_key(api_key)

    def add_project(self, name: str, organization_id: str | None = None) -> dict[str, str]:
        """
        Add a project with a key of its own, in an organization of its own unless told otherwise.

        Returns ``{"project_id", "organization_id", "api_key"}``. No key reaches the records of another project.
        """
        with self._service.lock:
            project, api_key = self._service.add_project(name, organization_id)
            return {"project_id": project.id, "organization_id": project.organization_id, "api_key": api_key}

    def reset(self) -> None:
        """Go back to how the emulator was started: no records, requests or faults, first settings, key and clock."""
        with self._service.lock:
            self._service.reset()

    # Clock

    def now(self) -> float:
        """Return the emulator's time in seconds since the epoch."""
        with self._service.lock:
            return self._service.now

    def advance(self, seconds: float) -> float:
        """Move the clock forward and return the new time. Raises ValueError for negative seconds or past 8307."""
        with self._service.lock:
            self._service.clock.advance(seconds)
            self._service.on_change()
            return self._service.now

    def freeze(self, frozen: bool = True) -> None:
        """Let time stand still, or run on."""
        with self._service.lock:
            if frozen:
                self._service.clock.freeze()
            else:
                self._service.clock.release()

    def clock(self) -> dict[str, Any]:
        """Return ``{"now": seconds, "frozen": bool}``."""
        with self._service.lock:
            return {"now": self._service.now, "frozen": self._service.clock.frozen}

    # Faults

    def add_fault(self, /, **fault: Any) -> str:
        """Add a fault (fields: see ``Fault``) and return its id. Raises pydantic.ValidationError."""
        with self._service.lock:
            return self._service.faults.add(Fault.model_validate(fault))

    def faults(self) -> list[dict[str, Any]]:
        """Return all faults with how many requests they matched and hit."""
        with self._service.lock:
            return [
                {
                    "id": rule.id,
                    "matched": rule.matched,
                    "fired": rule.fired,
                    **rule.fault.model_dump(mode="json"),
                }
                for rule in self._service.faults.rules()
            ]

    def remove_fault(self, fault_id: str) -> None:
        """Remove a fault. Raises KeyError for an id that is none."""
        with self._service.lock:
            self._service.faults.remove(fault_id)

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._service.lock:
            self._service.faults.clear()

    # What happened

    def requests(self) -> list[SeenRequest]:
        """Return the requests to the emulated API, oldest first (at most the latest 20,000)."""
        with self._service.lock:
            return [replace(seen) for seen in self._service.journal.requests]

    def deliveries(self) -> list[dict[str, Any]]:
        """Return the latest 1,000 webhook deliveries: target, event, body, attempts, and whether one succeeded."""
        with self._service.lock:
            return [dict(seen) for seen in self._service.deliveries]

    def counters(self) -> dict[str, Any]:
        """
        Return counts since the start or the last reset, over all projects.

        ``requests_by_route`` by method and route, ``batches_by_directory`` and ``cancels_by_batch`` by id (batches
        made, cancels received), ``batches`` and ``cancels`` in all.
        """
        with self._service.lock:
            service = self._service
            projects = service.projects.values()
            made = {id_: len(table) for project in projects for id_, table in project.batches_of.items()}
            return {
                "requests": sum(service.journal.by_route.values()),
                "requests_by_route": dict(service.journal.by_route),
                "batches": sum(len(project.batches) for project in projects),
                "batches_by_directory": made,
                "cancels": service.cancels_asked.total(),
                "cancels_by_batch": dict(service.cancels_asked),
            }

    def state(self) -> dict[str, Any]:
        """Return what exists now in all projects: live directories with their files, batches, jobs by status."""
        with self._service.lock:
            now, projects = self._service.now, [*self._service.projects.values()]
            live = [(project, one) for project in projects for one in project.directories if one.is_live(now)]
            made = [job for project in projects for job in project.all_jobs() if job.created_at <= now]
            return {
                "clock": self.clock(),
                "directories": [
                    {
                        "id": one.id,
                        "name": one.name,
                        "type": one.type,
                        "files": len(project.live_files(one.id)),
                    }
                    for project, one in live
                ],
                "batches": [
                    {
                        "id": batch.id,
                        "source_directory_id": batch.directory_id,
                        "status": batches.snapshot(batch, now).status,
                        "files": len(batch.entries),
                    }
                    for project in projects
                    for batch in project.batches
                ],
                "jobs": dict(Counter(jobs.status(job, now) for job in made)),
            }
