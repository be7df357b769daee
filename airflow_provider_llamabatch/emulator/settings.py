"""Every speed and switch of the emulator, with defaults that suit a demonstration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

RefusalCode = Literal[400, 401, 402, 403, 404, 409, 413, 422, 429]


class Settings(BaseModel):
    """
    Speeds and switches. Immutable: a change makes a new object.

    A batch keeps the speeds and the final status that were set when it was created; everything about how answers
    look is read at the moment of the answer. File patterns are shell patterns over the files' display names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # How long things take, in seconds of the emulator's clock.
    batch_pending_seconds: NonNegativeFloat = 1
    batch_throttled_seconds: NonNegativeFloat = 0
    batch_running_seconds: NonNegativeFloat = 4
    job_pending_seconds: NonNegativeFloat = 0.2
    job_running_seconds: NonNegativeFloat = 1
    cancel_seconds: NonNegativeFloat = 1
    usage_delay_seconds: NonNegativeFloat = 2

    # How a batch ends. An unknown word as final status is shown as it is.
    final_status: str = "COMPLETED"
    jobs_finish: Literal["before_completed", "after_completed"] = "before_completed"
    job_lag_seconds: NonNegativeFloat = 5
    cancel_stops_jobs: bool = True
    mapping_error_files: tuple[str, ...] = ()
    unresolved_files: tuple[str, ...] = ()

    # What a look at a batch shows.
    status_words: dict[str, str] = Field(default_factory=dict)
    results_shuffle: bool = True
    results_null_when_completed_looks: NonNegativeInt = 0
    partial_results_while_running: bool = False
    partial_results_when_failed: bool = False
    new_batch_is_404_seconds: NonNegativeFloat = 0
    list_hides_new_batches_seconds: NonNegativeFloat = 0

    # What a look at a job shows.
    failed_pages: tuple[PositiveInt, ...] = ()
    results_expire_seconds: NonNegativeFloat | None = None

    # Lists.
    default_page_size: PositiveInt = 10
    max_page_size: PositiveInt = 100

    # What is refused, and how. None as a code means: not refused.
    empty_directory_code: RefusalCode | None = 400
    too_many_files_code: RefusalCode = 400
    max_files_per_batch: PositiveInt = 1000
    missing_directory_code: RefusalCode = 404
    missing_configuration_code: RefusalCode = 404
    type_mismatch_code: RefusalCode = 400
    plan_allows_batches: bool = True
    plan_code: RefusalCode = 403
    batches_per_minute: PositiveInt | None = None
    terminal_cancel_code: RefusalCode = 400
    retry_after_seconds: PositiveInt | None = None

    # Directories and their files.
    ephemeral_lifetime_seconds: NonNegativeFloat = 7 * 24 * 3600
    expires_at_in_create: Literal["ignore", "refuse"] = "ignore"
    duplicate_unique_id: Literal["add", "replace", "refuse"] = "add"

    # Every answer carries fields that no client knows yet.
    extra_fields: bool = False
    # For contract tests that use made-up ids: unknown ids are answered with a sample object of the right shape, and
    # projects, page sizes, page tokens, expand values and the state of things are not checked.
    lenient_ids: bool = False

    def changed(self, **changes: Any) -> Settings:
        """Return a copy with some fields changed. Raises pydantic.ValidationError for unknown names or bad values."""
        return Settings.model_validate({**self.model_dump(), **changes})

    def faster(self, factor: float) -> Settings:
        """Return a copy in which batches, jobs and cancels take ``factor`` times less long."""
        return self.changed(**{name: getattr(self, name) / factor for name in PROCESSING_TIMES})


PROCESSING_TIMES = (
    "batch_pending_seconds",
    "batch_throttled_seconds",
    "batch_running_seconds",
    "job_pending_seconds",
    "job_running_seconds",
    "job_lag_seconds",
    "cancel_seconds",
    "usage_delay_seconds",
)
