"""The control: everything a test or a demonstration changes or asks about the emulator itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_llamabatch.emulator import batches, jobs
from airflow_provider_llamabatch.emulator.faults import Fault

if TYPE_CHECKING:
    from airflow_provider_llamabatch.emulator.journal import SeenRequest
    from airflow_provider_llamabatch.emulator.settings import Settings
    from airflow_provider_llamabatch.emulator.world import World


class Control:
    """Acts on the emulator directly; safe from every thread."""

    def __init__(self, world: World) -> None:
        self._world = world

    # Settings and key

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._world.settings

    def change(self, **changes: Any) -> Settings:
        """Change settings by name. Raises pydantic.ValidationError for unknown names or bad values."""
        with self._world.lock:
            self._world.settings = self._world.settings.changed(**changes)
            return self._world.settings

    def set_api_key(self, api_key: str) -> None:
        """Rotate the key: the old one is refused from now on."""
        with self._world.lock:
            self._world.api_key = api_key

    def reset(self) -> None:
        """Go back to how the emulator was started: no records, requests or faults, first settings, key and clock."""
        with self._world.lock:
            self._world.reset()

    # Clock

    def now(self) -> float:
        """Return the emulator's time in seconds since the epoch."""
        with self._world.lock:
            return self._world.now

    def advance(self, seconds: float) -> float:
        """Move the clock forward and return the new time. Raises ValueError for negative seconds."""
        with self._world.lock:
            self._world.clock.advance(seconds)
            return self._world.now

    def freeze(self, frozen: bool = True) -> None:
        """Let time stand still, or run on."""
        with self._world.lock:
            if frozen:
                self._world.clock.freeze()
            else:
                self._world.clock.release()

    def clock(self) -> dict[str, Any]:
        """Return ``{"now": seconds, "frozen": bool}``."""
        with self._world.lock:
            return {"now": self._world.now, "frozen": self._world.clock.frozen}

    # Faults

    def add_fault(self, **fault: Any) -> str:
        """Add a fault (fields: see ``Fault``) and return its id. Raises pydantic.ValidationError."""
        with self._world.lock:
            return self._world.faults.add(Fault.model_validate(fault))

    def faults(self) -> list[dict[str, Any]]:
        """Return all faults with how many requests they matched and hit."""
        with self._world.lock:
            return [
                {
                    "id": rule.id,
                    "matched": rule.matched,
                    "fired": rule.fired,
                    **rule.fault.model_dump(mode="json"),
                }
                for rule in self._world.faults.rules()
            ]

    def remove_fault(self, fault_id: str) -> None:
        """Remove a fault. Raises KeyError for an id that is none."""
        with self._world.lock:
            self._world.faults.remove(fault_id)

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._world.lock:
            self._world.faults.clear()

    # What happened

    def requests(self) -> list[SeenRequest]:
        """Return the requests to the emulated API, oldest first (at most the latest 20,000)."""
        with self._world.lock:
            return [replace(seen) for seen in self._world.journal.requests]

    def counters(self) -> dict[str, Any]:
        """
        Return counts since the start or the last reset.

        ``requests_by_route`` by method and route, ``batches_by_directory`` and ``cancels_by_batch`` by id (batches
        made, cancels received), ``batches`` and ``cancels`` in all.
        """
        with self._world.lock:
            store = self._world.store
            return {
                "requests": sum(self._world.journal.by_route.values()),
                "requests_by_route": dict(self._world.journal.by_route),
                "batches": len(store.batches),
                "batches_by_directory": {id_: len(made) for id_, made in store.batches_of.items()},
                "cancels": store.cancels_asked.total(),
                "cancels_by_batch": dict(store.cancels_asked),
            }

    def state(self) -> dict[str, Any]:
        """Return what exists now: live directories with their number of files, batches, jobs by status."""
        with self._world.lock:
            store, now = self._world.store, self._world.now
            live = [directory for directory in store.directories.values() if directory.is_live(now)]
            made = [job for job in store.jobs.values() if job.created_at <= now]
            return {
                "clock": self.clock(),
                "directories": [
                    {"id": one.id, "name": one.name, "type": one.type, "files": len(store.live_files(one.id))}
                    for one in live
                ],
                "batches": [
                    {
                        "id": batch.id,
                        "source_directory_id": batch.directory_id,
                        "status": batches.moment(batch, now).status,
                        "files": len(batch.entries),
                    }
                    for batch in store.batches.values()
                ],
                "jobs": dict(Counter(jobs.status(job, now) for job in made)),
            }
