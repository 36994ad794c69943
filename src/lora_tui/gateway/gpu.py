"""The GPU worker: what became of a training job, and where its files can be fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx

from lora_tui.errors import BackendError, NotFoundError
from lora_tui.gateway.answers import check, read_json
from lora_tui.gateway.http import build_client
from lora_tui.gateway.redaction import without_secrets
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe

_MOST_FILES: Final = 1000
_RUNNING: Final = ("IN_QUEUE", "IN_PROGRESS")
_ENDED_BADLY: Final = {
    "FAILED": "failed",
    "CANCELLED": "was cancelled",
    "TIMED_OUT": "ran out of time",
}


class ResultGoneError(NotFoundError):
    """The worker no longer has the result, and never will."""

    default_remedy = "harvest more often: the worker keeps a result for about 30 minutes"


class ResultPendingError(BackendError):
    """The worker is not done with the job."""

    default_remedy = "it is harvested by the next cycle"


class WorkerJobFailedError(BackendError):
    """The job failed, was cancelled or ran out of time at the worker."""


class MalformedResultError(BackendError):
    """The worker's answer holds no files that we could fetch."""


@dataclass(frozen=True)
class WorkerResult:
    """A completed job at the worker."""

    status: str
    files: Mapping[str, str] = field(repr=False)
    """File name → presigned URL on some other host, valid for a day; the URL is the key."""
    metadata: Mapping[str, Any]


class Worker:
    """A RunPod endpoint. The key goes to its host only; close it at the end."""

    def __init__(self, url: str, api_key: Secret, *, client: httpx.Client | None = None) -> None:
        self._url = url.rstrip("/")
        self._client = client or build_client(url, auth=_WorkerAuth(api_key))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def result(self, external_job_id: str) -> WorkerResult:
        """The files of a completed job.

        Raises ResultGoneError, ResultPendingError, WorkerJobFailedError, MalformedResultError;
        AuthenticationError for a wrong key, UnreachableError.
        """
        what = "fetch the result from the GPU worker"
        job = quote(external_job_id, safe="")
        if job in ("", ".", ".."):
            raise MalformedResultError("The job's id at the GPU worker makes no sense")
        response = self._client.get(f"{self._url}/training/artifacts/{job}")
        if response.status_code not in (404, 405):
            body = _mapping(read_json(check(response, what), what))
            return _completed({"status": "COMPLETED", **body}, body)
        response = self._client.get(f"{self._url}/status/{job}")
        if response.status_code == 404:
            raise ResultGoneError(
                "The GPU worker no longer has this result: it keeps one for about 30 minutes"
            )
        body = _mapping(read_json(check(response, what), what))
        return _completed(body, _mapping(body.get("output")))


class _WorkerAuth(httpx.Auth):
    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


def _completed(body: Mapping[str, Any], output: Mapping[str, Any]) -> WorkerResult:
    status = terminal_safe(body.get("status"), limit=40).upper()
    if status in _RUNNING:
        raise ResultPendingError("The GPU worker is not done with this job", details=status)
    if status in _ENDED_BADLY:
        raise WorkerJobFailedError(
            f"The job {_ENDED_BADLY[status]} at the GPU worker",
            details=without_secrets(body.get("error")) or None,
        )
    if status != "COMPLETED":
        raise MalformedResultError(
            "The GPU worker answers with a status that we don't know", details=status or None
        )
    return WorkerResult(
        status=status,
        files=_files(output.get("model_files") or output.get("download_urls")),
        metadata=_mapping(output.get("model_metadata") or output.get("metadata")),
    )


def _files(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not value:
        raise MalformedResultError("The GPU worker names no files for this job")
    if len(value) > _MOST_FILES:
        raise MalformedResultError("The GPU worker names more files than a model can have")
    for name, url in value.items():
        if not isinstance(name, str) or not name.strip() or not _is_web_address(url):
            raise MalformedResultError(
                "The GPU worker names a file without a usable address",
                details=terminal_safe(name, limit=120) or None,
            )
    return dict(value)


def _is_web_address(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
