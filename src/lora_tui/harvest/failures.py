"""Why a job can fail, and whether it is worth another try."""

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


class ResultNotThereError(NotFoundError):
    """The worker says that there is no such result, although it promises to keep it until later."""

    default_remedy = (
        "check GPU_CLUSTER_API_URL: the address of another endpoint answers in the same way;"
        " lora-tui asks again while the worker should have the result"
    )


class RefusedResultError(BackendError):
    """The worker's answer asks for something that we don't do: an address, a name, a size."""

    default_remedy = "see what the GPU worker answers; it is asked again while it has the result"


class SourceGoneError(NotFoundError):
    """A file that the worker names can't be fetched from its URL."""

    default_remedy = "it is tried again for as long as the worker has the result"


class SourceForbiddenError(DeniedError):
    """A file's URL is refused although the worker was asked for a new one."""

    default_remedy = "check the worker's storage; its URLs are valid for 24 hours"


class SourceUnreachableError(UnreachableError):
    """The host of a file does not answer, or breaks off again and again."""

    default_remedy = "nothing to do: the next cycle goes on"


class SourceBusyError(SourceUnreachableError):
    """The host of a file asks to slow down, or fails (429, 5xx)."""

    def __init__(self, message: str, *, details: str, retry_after: str | None) -> None:
        super().__init__(message, details=details)
        self.retry_after = retry_after


_PERMANENT: Final = (ResultGoneError, WorkerJobFailedError, MalformedJobError, JobDeletedError)
"""What the worker itself says about the job, and a row that can't become a model.

All else is tried for as long as the worker has the result: an answer that makes no sense, a file
that is refused, missing or damaged may be another one the next time. So may a project that refuses.
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
"""What a job can fail with only after the worker has accepted our key."""


def is_permanent(error: Exception) -> bool:
    """Whether the same job would fail in the same way again."""
    return isinstance(error, _PERMANENT)
