"""Why a job can fail, and whether it is worth another try."""

from __future__ import annotations

from typing import Final

from lora_tui.errors import BackendError, DeniedError, NotFoundError, UnreachableError
from lora_tui.gateway.gpu import MalformedResultError, ResultGoneError, WorkerJobFailedError


class RefusedResultError(BackendError):
    """The worker's answer asks for something that we don't do: an address, a name, a size."""


class SourceGoneError(NotFoundError):
    """A file that the worker names is not where its URL points, and never will be."""


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


_PERMANENT: Final = (
    ResultGoneError,
    WorkerJobFailedError,
    MalformedResultError,
    RefusedResultError,
    SourceGoneError,
    SourceForbiddenError,
)
"""A project that refuses (403) is not among them: a quota, a policy or a firewall may change."""


def is_permanent(error: Exception) -> bool:
    """Whether the same job would fail in the same way again."""
    return isinstance(error, _PERMANENT)
