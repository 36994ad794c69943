"""Requests to one server: answers as bounded JSON, or event by event as they are written.

A key goes to the server's own host only: redirects are never followed. A request that changes
something is sent once.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import httpx

from lora_tui.config.servers import Server
from lora_tui.errors import (
    BackendError,
    CancelledError,
    InterceptedError,
    LoraTuiError,
    TooLargeAnswerError,
    UnreachableError,
)
from lora_tui.gateway.http import BearerAuth, build_client, open_stream
from lora_tui.gateway.responses import require_encoding
from lora_tui.gateway.retry import ONCE, SOON
from lora_tui.json_values import parse_json
from lora_tui.secret import Secret
from lora_tui.serving.refusals import refusal, server_words
from lora_tui.serving.values import not_understood

_CONNECT: Final = 3.0
"""Seconds to connect: the user waits, and a server near by answers at once."""
_ASKING: Final = httpx.Timeout(connect=_CONNECT, read=8.0, write=8.0, pool=8.0)
WORKING: Final = httpx.Timeout(connect=_CONNECT, read=180.0, write=30.0, pool=30.0)
"""Of requests for which the model computes, or an adapter is read from the server's disk."""

MOST_BYTES: Final = 16 << 20
"""Of an answer; that of a list of a thousand adapters has half a megabyte."""
MOST_STREAMED: Final = 64 << 20
"""Of all events of one answer; an event has some hundred bytes, and tells one token."""
LONGEST_LINE: Final = 1 << 20
_LONGEST_SECONDS: Final = 1800.0
"""No streamed answer takes longer."""
_MOST_REFUSED: Final = 256 << 10


class Requests:
    """What is sent to one server. Close it from any thread: a stream that is being read ends."""

    def __init__(self, server: Server, key: Secret | None) -> None:
        self.server = server
        self._key = key
        self._client = build_client(
            server.url, auth=BearerAuth(key) if key else None, retry=SOON, timeout=_ASKING
        )
        self._lock = threading.Lock()
        self._streaming: set[socket.socket] = set()
        self._closed = False

    def get(self, path: str, what: str) -> Any:
        """The JSON at this path. Raises what client.py lists."""
        return self._json(self._send("GET", path, what), what)

    def post(
        self, path: str, body: object, what: str, *, timeout: httpx.Timeout = WORKING
    ) -> httpx.Response:
        """The successful response to this JSON. Sent once, but after a 401, which does nothing."""
        return self._send("POST", path, what, json=body, timeout=timeout)

    def post_json(self, path: str, body: object, what: str) -> Any:
        """The JSON that the server answers to this JSON."""
        return self._json(self.post(path, body, what), what)

    def events(self, path: str, body: object, what: str) -> Iterator[Mapping[str, Any]]:
        """The JSON objects of a stream of server-sent events; it ends at `[DONE]`.

        Raises BackendError where the server tells of an error in the stream, and where the stream
        ends before `[DONE]`.
        """
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        stream = open_stream(
            f"{self.server.url}/{path}",
            headers,
            body=body,
            timeout=WORKING,
            retry=ONCE,
            any_rate=True,
        )
        try:
            with stream as response, _Streaming(self, response):
                yield from self._events_of(response, path, what)
        except UnreachableError as error:
            raise self._unreachable(error, what) from None

    def close(self) -> None:
        """Close the connections, also those that another thread is reading from."""
        with self._lock:
            self._closed = True
            for one in self._streaming:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def _events_of(
        self, response: httpx.Response, path: str, what: str
    ) -> Iterator[Mapping[str, Any]]:
        require_encoding(response.headers.get("content-encoding"), "The server's answer")
        if not response.is_success:
            raise self._refusal(_whole(response), what, path)
        if "event-stream" not in response.headers.get("content-type", ""):
            raise BackendError(
                f"Could not {what}: the server does not stream its answer",
                remedy="check what runs at its address",
            )
        for line in _lines(response, what):
            field, _, value = line.partition(b":")
            value = value.strip()
            if field not in (b"data", b"error") or not value:
                continue  # a comment that keeps the connection open, or the end of an event
            if value == b"[DONE]":
                return
            event = _object(value, what)
            if field == b"error" or event.get("error"):
                raise BackendError(
                    f"Could not {what}: the server fails in the middle of its answer",
                    details=server_words(value) or None,
                    remedy="look at the log of the server",
                )
            yield event
        if self._closed:
            raise _cancelled(what)
        raise BackendError(
            f"Could not {what}: the answer broke off",
            remedy="look at the log of the server, and try again",
        )

    def _send(self, method: str, path: str, what: str, **options: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **options)
        except UnreachableError as error:
            raise self._unreachable(error, what) from None
        except RuntimeError:
            if not self._closed:
                raise
            raise _cancelled(what) from None
        if not response.is_success:
            raise self._refusal(response, what, path)
        if len(response.content) > MOST_BYTES:
            raise TooLargeAnswerError(f"Could not {what}: the server's answer is too large")
        return response

    def _json(self, response: httpx.Response, what: str) -> Any:
        try:
            return parse_json(response.content)
        except (ValueError, RecursionError):
            raise not_understood(what) from None

    def _refusal(self, response: httpx.Response, what: str, path: str) -> LoraTuiError:
        return refusal(response, what, server=self.server.name, path=path)

    def _unreachable(self, error: UnreachableError, what: str) -> LoraTuiError:
        if self._closed:
            return _cancelled(what)
        kind = InterceptedError if isinstance(error, InterceptedError) else UnreachableError
        return kind(
            f"Could not {what}: {_decapitalized(str(error))}",
            details=error.details,
            remedy=error.remedy if "cache" not in (error.remedy or "") else
            f"start it, or check its address, {self.server.url}",
        )  # fmt: skip


class _Streaming:
    """Registers the socket of a streamed answer, so that `close` can end it."""

    def __init__(self, requests: Requests, response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        found = stream.get_extra_info("socket") if stream is not None else None
        self._socket = found if isinstance(found, socket.socket) else None
        self._requests = requests

    def __enter__(self) -> None:
        if self._socket is not None:
            with self._requests._lock:
                self._requests._streaming.add(self._socket)

    def __exit__(self, *_exception: object) -> None:
        if self._socket is not None:
            with self._requests._lock:
                self._requests._streaming.discard(self._socket)


def _lines(response: httpx.Response, what: str) -> Iterator[bytes]:
    """The lines of a body. Raises BackendError for one that does not end, and for too much."""
    rest, count, began = bytearray(), 0, time.monotonic()
    for piece in response.iter_raw():
        count += len(piece)
        first, *others = piece.split(b"\n")
        rest += first
        for part in others:
            yield bytes(rest).rstrip(b"\r")
            rest = bytearray(part)
        is_endless = len(rest) > LONGEST_LINE or count > MOST_STREAMED
        if is_endless or time.monotonic() - began > _LONGEST_SECONDS:
            raise TooLargeAnswerError(f"Could not {what}: the server's answer does not end")
    if rest:
        yield bytes(rest).rstrip(b"\r")


def _object(text: bytes, what: str) -> Mapping[str, Any]:
    try:
        found = parse_json(text)
    except (ValueError, RecursionError):
        raise not_understood(what) from None
    if not isinstance(found, dict):
        raise not_understood(what)
    return found


def _cancelled(what: str) -> CancelledError:
    return CancelledError(f"Could not {what}: it was cancelled")


def _whole(response: httpx.Response) -> httpx.Response:
    """The response with the beginning of its body, for an error."""
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) > _MOST_REFUSED:
            break
    return httpx.Response(
        response.status_code, headers=response.headers.raw, content=bytes(body)
    )  # fmt: skip


def _decapitalized(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:] if sentence.startswith("The") else sentence
