"""The errors of a job, and which of them are permanent."""

from __future__ import annotations

from typing import Final

from lora_tui.errors import (
    BackendError,
    DeniedError,
    IntegrityError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.gateway.gpu import (
    MalformedJobError,
    ResultGoneError,
    ResultPendingError,
    WorkerJobFailedError,
)


class JobDeletedError(NotFoundError):
    """The job was deleted from the project, so it can't have a model."""

    default_remedy = "nothing to do: what was stored for it has been removed"


class ResultMissingError(NotFoundError):
    """The worker does not have the result, although it should still keep it."""

    default_remedy = (
        "check GPU_CLUSTER_API_URL: the address of another endpoint answers in the same way;"
        " lora-tui asks again while the worker should have the result"
    )


class RefusedResultError(BackendError):
    """The worker's answer has an address, a name or a size that we refuse."""

    default_remedy = "check the GPU worker's answer; it is asked again while it has the result"


class SourceGoneError(NotFoundError):
    """A file that the worker names can't be fetched from its URL."""

    default_remedy = "it is tried again for as long as the worker has the result"


class SourceForbiddenError(DeniedError):
    """A file's URL is refused although the worker was asked for a new one."""

    default_remedy = "check the worker's storage; its URLs are valid for 24 hours"


class SourceUnreachableError(UnreachableError):
    """The host of a file does not answer, or breaks off repeatedly."""

    default_remedy = "nothing to do: the next cycle continues"


class SourceBusyError(SourceUnreachableError):
    """The host of a file asks to slow down, or fails (429, 5xx)."""

    def __init__(self, message: str, *, details: str, retry_after: str | None) -> None:
        super().__init__(message, details=details)
        self.retry_after = retry_after


_PERMANENT: Final = (ResultGoneError, WorkerJobFailedError, MalformedJobError, JobDeletedError)
"""What the worker says of the job itself, and rows that can't become a model.

All other errors are retried while the worker has the result: the next answer or file may be valid.
"""


ANSWERED: Final = (
    ResultGoneError,
    ResultPendingError,
    WorkerJobFailedError,
    RefusedResultError,
    SourceGoneError,
    SourceForbiddenError,
    SourceUnreachableError,
    IntegrityError,
)
"""Errors that occur only after the worker has accepted our key."""


def is_permanent(error: Exception) -> bool:
    """Whether the same job would fail in the same way again."""
    return isinstance(error, _PERMANENT)
