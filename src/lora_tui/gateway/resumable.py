"""One upload in pieces (TUS 1.0.0), resumed after a broken connection or a restart.

Only the id of the upload is taken from a response; host and path are always our own.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx

from lora_tui.errors import BackendError, ConflictError, LoraTuiError, UnreachableError
from lora_tui.gateway.headers import byte_count
from lora_tui.gateway.http import REPEATABLE
from lora_tui.gateway.responses import check, error_of, is_from_service, token_refusal
from lora_tui.gateway.retry import RetryPolicy
from lora_tui.gateway.upload_body import LARGE_BODY, UPLOAD_TIMEOUT, exact_bytes

CHUNK: Final = 6 * 1024 * 1024
"""Bytes of each piece but the last; the service requires exactly this size."""

_TUS: Final = {"Tus-Resumable": "1.0.0"}
_LOCKED: Final = (409, 423)
"""Statuses of an upload that an earlier connection still holds."""
_RAN_OUT: Final = (403, 404, 410)


class ResumableUpload:
    """One upload in pieces."""

    def __init__(
        self,
        *,
        client: httpx.Client,
        retry: RetryPolicy,
        base: str,
        what: str,
        size: int,
        headers: Mapping[str, str],
        upsert: bool,
        is_stored: Callable[[], bool],
        on_created: Callable[[str], None],
        on_progress: Callable[[int], None],
    ) -> None:
        self._client = client
        self._retry = retry
        self._base = f"{base}/upload/resumable"
        self._what = what
        self._size = size
        self._headers = headers
        # the server reads it from each request: without it, pieces of a replacement are refused
        self._common = {**_TUS, "x-upsert": "true" if upsert else "false"}
        self._upsert = upsert
        self._is_stored = is_stored
        self._on_created = on_created
        self._on_progress = on_progress

    def run(self, open_at: Callable[[int], Iterator[bytes]], upload_url: str | None) -> None:
        """Send everything that the server does not have yet."""
        offset = None
        url = self._own_url(upload_url) if upload_url else ""
        if url:
            offset = self._stored(url, of_an_earlier_run=True)
            if offset == self._size and not self._is_stored():
                offset = None  # it was stored once, then removed or replaced
        if offset is None:
            url, offset = self._create(), 0
        self._on_progress(offset)
        attempts, furthest = self._retry, offset
        while offset < self._size:
            failure: httpx.Response | LoraTuiError | None = None
            for piece in _pieces(exact_bytes(open_at(offset), self._size - offset)):
                length = sum(map(len, piece))
                failure = self._append(url, offset, piece, length)
                if failure is not None:
                    break
                offset += length
                self._on_progress(offset)
            # counted from the furthest offset, so that an upload which is lost repeatedly ends
            if offset - furthest > CHUNK // 100:
                attempts, furthest = self._retry, offset
            if failure is None:
                continue
            if attempts.is_exhausted():
                raise self._error(failure)
            attempts = attempts.wait(failure)
            stored = self._stored(url)
            if stored is None:
                url, stored = self._create(), 0
            if stored - furthest > CHUNK // 100:
                attempts, furthest = self._retry, stored
            if stored != offset:
                offset = stored
                self._on_progress(offset)

    def _create(self) -> str:
        response = self._client.post(
            self._base, headers={**self._common, **self._headers}, extensions=dict(REPEATABLE)
        )
        location = check(response, self._what).headers.get("location", "")
        url = self._own_url(location)
        self._on_created(url)
        return url

    def _stored(self, url: str, *, of_an_earlier_run: bool = False) -> int | None:
        """How many bytes the server has; None if it no longer knows the upload."""
        attempts = self._retry
        while True:
            response = self._client.head(url, headers=self._common)
            if response.status_code not in _LOCKED:
                break
            if attempts.is_exhausted():
                raise self._error(response)
            attempts = attempts.wait(response)
        if response.status_code in _RAN_OUT and is_from_service(response):
            return None
        if of_an_earlier_run and response.status_code == 400:
            return None  # a URL of another server; a refused login fails at the next request
        offset = byte_count(check(response, self._what).headers.get("upload-offset"))
        if offset is None or offset > self._size:
            raise BackendError(f"Could not {self._what}: the server tells no usable offset")
        return offset

    def _append(
        self, url: str, offset: int, piece: list[memoryview], length: int
    ) -> httpx.Response | LoraTuiError | None:
        """Send one piece. None if it was stored, or the retryable failure; raises the others."""
        try:
            response = self._client.patch(
                url,
                content=piece,  # type: ignore[arg-type]  # may be read twice: a login is renewed
                headers={
                    **self._common,
                    "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream",
                    "Content-Length": str(length),
                },
                timeout=UPLOAD_TIMEOUT,
                extensions=dict(LARGE_BODY),
            )
        except UnreachableError as error:
            return error
        if response.is_success:
            stored = response.headers.get("upload-offset", "")
            return None if stored == str(offset + length) else response
        if response.status_code == 409 and not self._upsert and "exist" in response.text.lower():
            raise ConflictError(f"Could not {self._what}: it is already there")
        # 404, 410: the upload expired; 409 of a replacement: it is complete, or its offset moved
        if response.status_code in (404, 410, 429, *_LOCKED) or response.status_code >= 500:
            return response
        if token_refusal(response) is not None:
            return response  # retryable; if it persists, the request for the offset fails too
        raise error_of(response, self._what)

    def _error(self, failure: httpx.Response | LoraTuiError) -> LoraTuiError:
        if isinstance(failure, LoraTuiError):
            return failure
        if failure.status_code in _LOCKED and "exist" not in failure.text.lower():
            return UnreachableError(
                f"Could not {self._what}: another connection is still sending it",
                remedy="try again in a few minutes",
            )
        if failure.is_success:
            return BackendError(f"Could not {self._what}: the server does not keep what we send")
        return error_of(failure, self._what)

    def _own_url(self, location: str) -> str:
        """The upload's URL on our own host: keys are sent to no other."""
        path = f"/{urlsplit(location).path}".rstrip("/")
        _, found, upload_id = path.rpartition("/upload/resumable/")
        if not found or not upload_id or ".." in upload_id:
            raise BackendError(f"Could not {self._what}: the server names no upload")
        return f"{self._base}/{upload_id}"


def metadata(**values: str) -> str:
    """The value of an `Upload-Metadata` header."""
    return ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items()
    )


def _pieces(source: Iterator[bytes]) -> Iterator[list[memoryview]]:
    """Pieces of CHUNK bytes, each as the list of its parts (not copied)."""
    piece: list[memoryview] = []
    missing = CHUNK
    for data in source:
        rest = memoryview(data)
        while rest:
            piece.append(rest[:missing])
            rest, missing = rest[missing:], missing - len(piece[-1])
            if not missing:
                yield piece
                piece, missing = [], CHUNK
    if piece:
        yield piece
