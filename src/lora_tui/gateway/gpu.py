"""The GPU worker's API: the state of a training job, and the addresses of its files.

A response is final only if it names this job and says that it failed, was cancelled or timed out,
or that its result is gone. Any other response may be a temporary fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import httpx

from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.gateway.http import REPEATABLE, BearerAuth, ClientOwner, build_client
from lora_tui.gateway.responses import check, error_body, is_from_service, read_json
from lora_tui.json_values import parse_json
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe, without_secrets

_MOST_FILES: Final = 1000
_ABSENT: Final = (404, 405, 501)
"""Statuses of a worker that does not have the planned endpoint."""
_FILES: Final = ("model_files", "download_urls")
_METADATA: Final = ("model_metadata", "metadata")
_NAME_KEYS: Final = ("name", "file_name", "filename", "file", "path", "key")
_URL_KEYS: Final = ("url", "download_url", "presigned_url", "signed_url", "href")
_RUNNING: Final = ("IN_QUEUE", "IN_PROGRESS")
_FAILED_STATES: Final = {
    "FAILED": "failed",
    "CANCELLED": "was cancelled",
    "TIMED_OUT": "ran out of time",
}


class ResultGoneError(NotFoundError):
    """The worker has no such result. Final once the time for which it keeps results is over."""

    default_remedy = "harvest more often: the worker keeps a result for about 30 minutes"


class ResultPendingError(BackendError):
    """The job is still queued or running."""

    default_remedy = "it is harvested by the next cycle"


class WorkerJobFailedError(BackendError):
    """The job failed, was cancelled or timed out."""


class WorkerKeyRefusedError(AuthenticationError):
    """The worker refused the key several times. It may be temporary."""


class JobNotAtWorkerError(NotFoundError):
    """The worker does not know a job that shall be cancelled."""

    default_remedy = (
        "it may have ended there; if it still runs, check that GPU_CLUSTER_API_URL names the"
        " endpoint that it was submitted to"
    )


class WorkerUnreachableError(UnreachableError):
    """The worker can't be reached, fails, or a proxy answers in its place."""

    default_remedy = (
        "check the GPU worker, and GPU_CLUSTER_API_URL if it persists; lora-tui asks again"
    )

    def __init__(self, error: UnreachableError, *, answered: bool) -> None:
        message = str(error) if answered else f"The GPU worker can't be reached: {error}"
        super().__init__(message, details=error.details)
        self.answered = answered
        """Whether the worker responded; then the failure may concern this job alone."""


class MalformedResultError(BackendError):
    """The response names no usable files; a later response may."""

    default_remedy = "check what the GPU worker answers for this job; lora-tui asks again"


class MalformedJobError(MalformedResultError):
    """The job's row in the project lacks a value that the harvest needs. Final."""

    default_remedy = "correct the job's row in the project, then `lora-tui harvest retry`"


@dataclass(frozen=True)
class WorkerResult:
    """A completed job at the worker."""

    status: str
    files: Mapping[str, str] = field(repr=False)
    """File name → presigned URL on another host, valid for a day. The URL is a secret."""
    metadata: Mapping[str, Any]


class Worker(ClientOwner):
    """A RunPod endpoint. The key is sent to its host only. Close it at the end."""

    def __init__(self, url: str, api_key: Secret, *, client: httpx.Client | None = None) -> None:
        self._url = url.rstrip("/")
        super().__init__(client or build_client(url, auth=BearerAuth(api_key)))

    def result(self, external_job_id: str) -> WorkerResult:
        """The files of a completed job.

        Raises ResultGoneError, ResultPendingError, WorkerJobFailedError, MalformedJobError,
        MalformedResultError, WorkerKeyRefusedError, WorkerUnreachableError, and what `check`
        raises for other statuses.
        """
        job = _in_path(external_job_id)
        unclear: LoraTuiError | None = None
        response = self._get(f"training/artifacts/{job}")
        if response.status_code not in _ABSENT:
            try:
                return _planned(response, external_job_id)
            except (ResultPendingError, WorkerJobFailedError):
                raise
            except LoraTuiError as error:  # the other endpoint may know more
                unclear = error
        response = self._get(f"status/{job}")
        if response.status_code in _ABSENT and isinstance(unclear, MalformedResultError):
            raise unclear
        if response.status_code in _ABSENT and isinstance(unclear, UnreachableError):
            raise WorkerUnreachableError(unclear, answered=True) from unclear
        if response.status_code == 404 and is_from_service(response):
            raise ResultGoneError(
                "The GPU worker no longer has this result: it keeps one for about 30 minutes"
            )
        try:
            return _completed(_body(response), external_job_id)
        except UnreachableError as error:
            raise WorkerUnreachableError(error, answered=True) from error

    def cancel(self, external_job_id: str) -> str:
        """Stop a job; its status at the worker, CANCELLED where that is done. May be repeated.

        Raises JobNotAtWorkerError, MalformedJobError, MalformedResultError, WorkerKeyRefusedError,
        WorkerUnreachableError, and what `check` raises for other statuses.
        """
        response = self._send("POST", f"cancel/{_in_path(external_job_id)}")
        if response.status_code == 404 and is_from_service(response):
            raise JobNotAtWorkerError("The GPU worker does not know this job")
        try:
            body = _body(response, "cancel the job at the GPU worker")
        except UnreachableError as error:
            raise WorkerUnreachableError(error, answered=True) from error
        named = body.get("id")
        if named is not None and str(named) != external_job_id:
            raise MalformedResultError(
                "The GPU worker answers about another job", details=terminal_safe(named, limit=80)
            )
        status = terminal_safe(body.get("status"), limit=40).upper()
        if not status:
            raise MalformedResultError("The GPU worker does not tell whether it cancelled the job")
        return status

    def _get(self, path: str) -> httpx.Response:
        return self._send("GET", path)

    def _send(self, method: str, path: str) -> httpx.Response:
        """The response to a request that may be repeated."""
        try:
            return self._client.request(method, f"{self._url}/{path}", extensions=dict(REPEATABLE))
        except UnreachableError as error:
            raise WorkerUnreachableError(error, answered=False) from error


def _in_path(external_job_id: str) -> str:
    """A job's id as a part of a path. Raises MalformedJobError."""
    job = quote(external_job_id, safe="")
    if job in ("", ".", ".."):
        raise MalformedJobError("The job's id at the GPU worker is not valid")
    return job


def _planned(response: httpx.Response, job_id: str) -> WorkerResult:
    """The response of the planned endpoint; a refusal counts only if it is about this job."""
    if not response.is_success:
        body = error_body(response)
        status = terminal_safe(body.get("status"), limit=40).upper()
        if body.get("id") is not None and status in (*_RUNNING, *_FAILED_STATES):
            return _completed(body, job_id)
    return _completed(_body(response), job_id, default="COMPLETED")


def _body(
    response: httpx.Response, what: str = "fetch the result from the GPU worker"
) -> Mapping[str, Any]:
    """The JSON object of a response. Raises MalformedResultError, and what `check` raises."""
    try:
        body = read_json(check(response, what), what)
    except AuthenticationError as error:
        raise WorkerKeyRefusedError(
            "The GPU worker does not accept the key",
            details=error.details,
            remedy="check GPU_CLUSTER_API_KEY and GPU_CLUSTER_API_URL",
        ) from None
    except BackendError as error:
        if not response.is_success:
            raise
        raise MalformedResultError(
            "The GPU worker's answer is not JSON", details=error.details
        ) from None
    body = _parse_if_text(body)
    if not isinstance(body, dict):
        raise MalformedResultError(
            "The GPU worker's answer does not tell the job's state", details=_kind(body)
        )
    return body


def _completed(body: Mapping[str, Any], job_id: str, *, default: str | None = None) -> WorkerResult:
    """The result of a completed job; `default` is the status if the response has none."""
    named = body.get("id")
    if named is not None and str(named) != job_id:
        raise MalformedResultError(
            "The GPU worker answers about another job", details=terminal_safe(named, limit=80)
        )
    status = terminal_safe(body.get("status", default), limit=40).upper()
    if status in _RUNNING:
        raise ResultPendingError("The GPU worker is not done with this job", details=status)
    if status in _FAILED_STATES:
        if named is None:  # final only if the response names the job
            raise MalformedResultError(
                f"The GPU worker says that a job {_FAILED_STATES[status]}, but not which one"
            )
        raise WorkerJobFailedError(
            f"The job {_FAILED_STATES[status]} at the GPU worker",
            details=without_secrets(body.get("error")) or None,
        )
    if status != "COMPLETED":
        raise MalformedResultError(
            "The GPU worker answers with a status that we don't know", details=status or None
        )
    outputs = [*_outputs(body.get("output")), body]
    return WorkerResult(status=status, files=_files(outputs), metadata=_metadata(outputs))


def _outputs(output: object) -> Iterator[Mapping[str, Any]]:
    """The objects in an output: an object, its JSON text, or a list of what a handler yielded."""
    output = _parse_if_text(output)
    for part in output if isinstance(output, list) else [output]:
        found = _parse_if_text(part)
        if isinstance(found, dict):
            yield found
    if isinstance(output, list) and output and _entries(output) is not None:
        yield {_FILES[0]: output}


def _files(outputs: list[Mapping[str, Any]]) -> Mapping[str, str]:
    """File name → URL, of all lists that are usable; for a repeated name, the first."""
    refusal: MalformedResultError | None = None
    files: dict[str, str] = {}
    for output in outputs:
        for key in _FILES:
            value = _parse_if_text(output.get(key))
            if not value:
                continue
            try:
                usable = _usable_files(value)
            except MalformedResultError as error:
                refusal = refusal or error
                continue
            known = {_without_query(url) for url in files.values()}
            files |= {
                name: url
                for name, url in usable.items()
                if name not in files and _without_query(url) not in known
            }
    if files:
        return files
    told = next((output["error"] for output in outputs if output.get("error")), None)
    raise refusal or MalformedResultError(
        "The GPU worker names no files for this job", details=without_secrets(told or "") or None
    )


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _usable_files(value: object) -> Mapping[str, str]:
    entries = _entries(value)
    if entries is None:
        raise MalformedResultError(
            "The GPU worker lists the files in an unknown format", details=_kind(value)
        )
    if len(entries) > _MOST_FILES:
        raise MalformedResultError("The GPU worker names more files than a model can have")
    files: dict[str, str] = {}
    for name, url in entries:
        if not isinstance(name, str) or not name.strip() or not _is_web_address(url):
            raise MalformedResultError(
                "The GPU worker names a file without a usable address",
                details=terminal_safe(name, limit=120) or None,
            )
        if files.setdefault(name, str(url)) != url:
            raise MalformedResultError(
                "The GPU worker names a file twice", details=terminal_safe(name, limit=120)
            )
    return files


def _entries(value: object) -> list[tuple[object, object]] | None:
    """Name and URL of each file, from an object or a list; None if it is neither."""
    if isinstance(value, dict):
        return [(name, _url_of(entry)) for name, entry in value.items()]
    if not isinstance(value, list):
        return None
    entries: list[tuple[object, object]] = []
    for entry in value:
        if isinstance(entry, dict):
            name = next((entry[key] for key in _NAME_KEYS if key in entry), None)
            url = _url_of(entry)
            entries.append((_last_segment(url) if name is None else name, url))
        elif _is_web_address(entry):
            entries.append((_last_segment(entry), entry))
        else:
            return None
    return entries


def _url_of(entry: object) -> object:
    if not isinstance(entry, dict):
        return entry
    return next((entry[key] for key in _URL_KEYS if key in entry), None)


def _last_segment(url: object) -> object:
    """The last part of a URL's path, for a file without a name."""
    if not isinstance(url, str) or not _is_web_address(url):
        return None
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _metadata(outputs: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    for output in outputs:
        for key in _METADATA:
            found = _parse_if_text(output.get(key))
            if isinstance(found, dict) and found:
                return found
    return {}


def _is_web_address(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _parse_if_text(value: object) -> object:
    """The value itself, or the parsed value if it is JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except (ValueError, RecursionError):
        return value


def _kind(value: object) -> str:
    names = {"NoneType": "null", "list": "a list", "str": "a text", "bool": "yes or no"}
    return f"it is {names.get(type(value).__name__, 'a number')}"
