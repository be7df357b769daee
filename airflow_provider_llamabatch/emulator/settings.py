"""Every speed and switch of the emulator, with defaults that suit a demonstration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from airflow_provider_llamabatch.emulator.state.records import FileResult

LONGEST_SECONDS = 1e10
"""Three centuries: with these added to the latest time of the clock, every moment still has a date."""
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS)]
RefusalCode = Literal[400, 401, 402, 403, 404, 409, 413, 422, 429]


class Settings(BaseModel):
    """
    Speeds and switches. Immutable: a change makes a new object.

    A batch and a job keep what was set when they were created: their speeds, their end, what their files come to.
    Everything about how answers look is read at the moment of the answer. File patterns are shell patterns over the
    files' display names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # How long things take, in seconds of the emulator's clock.
    batch_pending_seconds: Seconds = 1
    batch_throttled_seconds: Seconds = 0
    batch_running_seconds: Seconds = 4
    job_pending_seconds: Seconds = 0.2
    job_running_seconds: Seconds = 1
    cancel_seconds: Seconds = 1
    usage_delay_seconds: Seconds = 2

    # How a batch ends. An unknown word as final status is shown as it is.
    final_status: str = "COMPLETED"
    jobs_finish: Literal["before_completed", "after_completed"] = "before_completed"
    job_lag_seconds: Seconds = 5
    cancel_stops_jobs: bool = True
    mapping_error_files: tuple[str, ...] = ()
    unresolved_files: tuple[str, ...] = ()

    # What a look at a batch shows.
    status_words: dict[str, str] = Field(default_factory=dict)
    results_shuffle: bool = True
    results_null_when_completed_looks: NonNegativeInt = 0
    partial_results_while_running: bool = False
    partial_results_when_failed: bool = False
    new_batch_is_404_seconds: Seconds = 0
    list_hides_new_batches_seconds: Seconds = 0

    # What jobs come to, and what a look at them shows.
    file_results: dict[str, FileResult] = Field(default_factory=dict)
    failed_pages: tuple[PositiveInt, ...] = ()
    allowed_page_failure_ratio: Annotated[float, Field(ge=0, le=1)] = 0.05
    unfinished_results_code: RefusalCode | None = None
    results_expire_seconds: Seconds | None = None

    # Lists. Files and configurations allow longer pages than the others.
    default_page_size: PositiveInt = 10
    max_page_size: PositiveInt = 100
    max_page_size_of_files: PositiveInt = 1000

    # Credits per page by tier, and how many there are.
    parse_credits: dict[str, NonNegativeFloat] = Field(
        default={"fast": 1, "cost_effective": 3, "agentic": 10, "agentic_plus": 45}
    )
    extract_credits: dict[str, NonNegativeFloat] = Field(
        default={"cost_effective": 5, "agentic": 15, "agentic_plus": 50, "turbo": 35}
    )
    credits_available: NonNegativeFloat | None = None

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
    requests_per_minute: PositiveInt | None = None
    uploads_per_second: PositiveFloat | None = None
    max_files_per_project: PositiveInt | None = None
    max_upload_bytes: PositiveInt = 512 * 1024 * 1024
    terminal_cancel_code: RefusalCode = 400
    retry_after_seconds: PositiveInt | None = None

    # Directories and their files.
    ephemeral_lifetime_seconds: Seconds = 7 * 24 * 3600
    expires_at_in_create: Literal["ignore", "refuse"] = "ignore"
    duplicate_unique_id: Literal["add", "replace", "refuse"] = "add"

    # How answers travel.
    latency: Literal["none", "near", "far", "slow"] = "none"
    extra_fields: bool = False

    # Webhooks. The service refuses private addresses; here they are all there is.
    webhook_attempts: PositiveInt = 3
    webhook_retry_seconds: Seconds = 1
    webhook_timeout_seconds: Annotated[Seconds, Field(gt=0)] = 30
    webhook_private_targets: bool = True

    def changed(self, /, **changes: Any) -> Settings:
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

# How long an answer is held back, in real seconds from and to.
LATENCIES = {"none": (0.0, 0.0), "near": (0.005, 0.02), "far": (0.08, 0.25), "slow": (0.5, 3.0)}
