"""
How a task fails: one class per reason, the same whether it waited deferred, on the worker, or by poking.

    AirflowFailException (not retried: another try of the same wait cannot help)
    ├── BatchFailedError         the batch ended as FAILED: its orchestration failed
    ├── BatchCancelledError      the batch ended as CANCELLED
    ├── FilesWithoutJobError     files got no job, and that counts as a failure
    ├── JobsFailedError          jobs did not complete, and that counts as a failure
    ├── ResultsMissingError      COMPLETED, but its results stayed null
    ├── WaitFailedError          the batch can no longer be looked at: not found, not permitted, ...
    ├── RequestRefusedError      an argument, the connection or the request is at fault
    ├── WrongArgumentError       a constant of the DAG file is at fault; of a mapped task it shows when the task is made
    └── DocumentsRefusedError    there are documents that cannot be processed, or too many, or none
    AirflowException (retried as the task's ``retries`` say)
    ├── BatchTimeoutError        the deadline passed before the batch ended
    └── StorageError             a document could not be read, or a result written: a full disk, a right that is missing
    AirflowSensorTimeout
    └── BatchSensorTimeout       the same, from the sensor
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_llamabatch.llamacloud.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

log = logging.getLogger(__name__)


class BatchFailedError(AirflowFailException):
    """The batch ended as FAILED."""


class BatchCancelledError(AirflowFailException):
    """The batch ended as CANCELLED."""


class FilesWithoutJobError(AirflowFailException):
    """Some files got no job and ``fail_on_partial_error`` is set, or no file got one."""


class JobsFailedError(AirflowFailException):
    """Some jobs did not complete and ``fail_on_partial_error`` is set."""


class ResultsMissingError(AirflowFailException):
    """A batch is COMPLETED but its per-file results stayed null, or documents have no result."""


class WaitFailedError(AirflowFailException):
    """The batch can no longer be looked at, or the trigger sent something that is not understood."""


class RequestRefusedError(AirflowFailException):
    """An argument, the connection or the request is at fault: another try cannot help."""


class WrongArgumentError(InvalidInputError, AirflowFailException):
    """A constant argument cannot be used: an import error of the DAG, and of a mapped task a failure at once."""


class DocumentsRefusedError(AirflowFailException):
    """There are documents that cannot be processed, more than allowed, or none; nothing was sent."""


class BatchTimeoutError(AirflowException):
    """The deadline passed before the batch ended."""


class StorageError(AirflowException):
    """A storage could not be read or written; nothing is half written, and what was written before stays."""


class BatchSensorTimeout(AirflowSensorTimeout):
    """The deadline passed before the batch ended; raised by the sensor."""


@contextlib.contextmanager
def skip_if_soft(sensor: Any) -> Iterator[None]:
    """Skip instead of failing where a sensor is told so, as Airflow does it for every way of waiting but this one."""
    try:
        yield
    except (AirflowFailException, AirflowSensorTimeout) as error:
        if sensor.soft_fail or sensor.never_fail:
            raise AirflowSkipException(f"Skipped instead of failed: {error}") from error
        raise


def fail_fast_on_permanent_errors() -> contextlib.ExitStack:
    """
    Let a task fail at once where another try cannot help; what may pass by itself is raised as it is.

    Either way without the frames between here and the socket: the message says it all, and they would hide it in the
    task's log. At level DEBUG they are logged. (A generator would put the frames back.)
    """
    stack = contextlib.ExitStack()
    stack.push(_fail_fast)
    return stack


def _fail_fast(
    kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
) -> None:
    from airflow_provider_llamabatch.batches.record import RecordUnreadableError
    from airflow_provider_llamabatch.llamacloud.errors import LlamaCloudError
    from airflow_provider_llamabatch.llamacloud.retries import is_transient

    if not isinstance(error, (LlamaCloudError, RecordUnreadableError, StorageError)):
        return
    log.debug("Where the failure of the task came from", exc_info=error)
    if isinstance(error, StorageError) or is_transient(error):
        raise error.with_traceback(None) from None
    raise RequestRefusedError(str(error)) from None
