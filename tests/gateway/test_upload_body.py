"""Large bodies, sent past httpx: checked certificates, broken lines, refusals, secrets, proxies."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from lora_tui.errors import (
    AuthenticationError,
    DeniedError,
    LoraTuiError,
    TooLargeError,
    UnreachableError,
)
from lora_tui.gateway.auth import KeyAuth
from lora_tui.gateway.http import build_client
from lora_tui.gateway.resumable import CHUNK
from lora_tui.gateway.retry import RetryPolicy
from lora_tui.gateway.storage import Storage
from lora_tui.secret import Secret
from tests.certificates import server_side
from tests.gateway.conftest import AT_ONCE

KEY = "sb_secret_that-nobody-may-see"
BODY = bytes(range(256)) * (CHUNK // 256) * 2 + b"the last piece"
PIECES = 3
Answer = Callable[["Handler"], None]


class Bucket:
    """What a server has received, and how it answers the next pieces."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.pieces = 0
        """Requests with a piece of the body."""
        self.connections: set[int] = set()
        """The client's ports by which pieces came."""
        self.answers: list[Answer] = []
        """For the next pieces; then they are stored."""


class Handler(BaseHTTPRequestHandler):
    """As little of TUS as a client needs."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    bucket: Bucket

    def do_POST(self) -> None:
        self.reply(201, Location="/storage/v1/upload/resumable/an-upload")

    def do_HEAD(self) -> None:
        self.reply(200, **{"Upload-Offset": str(len(self.bucket.received))})

    def do_PATCH(self) -> None:
        self.bucket.pieces += 1
        self.bucket.connections.add(self.client_address[1])
        if self.bucket.answers:
            self.bucket.answers.pop(0)(self)
        else:
            self.store()

    def store(self) -> None:
        assert self.headers["Upload-Offset"] == str(len(self.bucket.received))
        self.bucket.received += self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(204, **{"Upload-Offset": str(len(self.bucket.received))})

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        del format, arguments


def refusing(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    """Answers when the head is there, reads nothing of the piece, and hangs up."""

    def answer(handler: Handler) -> None:
        handler.reply(status, body, Connection="close", **headers)
        handler.close_connection = True

    return answer


def storing_then_hanging_up(handler: Handler) -> None:
    """Keeps the piece, and closes the connection that it said would stay open."""
    handler.store()
    handler.close_connection = True


def storing_without_an_answer(handler: Handler) -> None:
    """Keeps the piece; the connection breaks before the client learns of it."""
    handler.bucket.received += handler.rfile.read(int(handler.headers["Content-Length"]))
    reset(handler)


def reset(handler: Handler) -> None:
    """Breaks the connection in the middle of a piece."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


@contextmanager
def serving(bucket: Bucket, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    handler = type("Handler", (Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def url(bucket: Bucket) -> Iterator[str]:
    with serving(bucket) as address:
        yield address


def send(url: str, auth: httpx.Auth | None = None, retry: RetryPolicy = AT_ONCE) -> None:
    with Storage(url, auth or KeyAuth(Secret(KEY)), retry=retry) as storage:
        storage.upload_resumable(
            "user/model/weights.bin", lambda offset: iter([BODY[offset:]]), size=len(BODY)
        )


def test_pieces_over_one_connection_arrive_unchanged(bucket: Bucket, url: str) -> None:
    send(url)
    assert bytes(bucket.received) == BODY
    assert (bucket.pieces, len(bucket.connections)) == (PIECES, 1)


def test_pieces_go_over_tls_by_one_connection_and_only_to_a_host_that_proves_itself(
    bucket: Bucket, certificate: Path, trust: Callable[[Path], None]
) -> None:
    with serving(bucket, server_side(certificate)) as url:
        trust(certificate)
        send(url)
        assert bytes(bucket.received) == BODY
        assert (bucket.pieces, len(bucket.connections)) == (PIECES, 1)


def test_no_byte_is_sent_to_a_host_with_an_untrusted_certificate(
    bucket: Bucket, certificate: Path, trust: Callable[[Path], None]
) -> None:
    with serving(bucket, server_side(certificate)) as url:
        # all other calls go by httpx: this is about the pieces alone
        with (
            build_client(url, auth=KeyAuth(Secret(KEY)), retry=AT_ONCE) as client,
            pytest.raises(UnreachableError, match="certificate of localhost") as caught,
        ):
            client.patch("/piece", content=[b"secret"], extensions={"direct": True})
        trust(certificate)
        by_number = url.replace("localhost", "127.0.0.1")  # the certificate names the host only
        with (
            build_client(by_number, retry=AT_ONCE) as client,
            pytest.raises(UnreachableError, match="certificate of 127"),
        ):
            client.patch("/piece", content=[b"secret"], extensions={"direct": True})
    assert bucket.pieces == 0
    assert KEY not in str(caught.value) + str(caught.value.details)


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(
    bucket: Bucket, url: str
) -> None:
    bucket.answers = [storing_then_hanging_up]
    send(url)
    assert bytes(bucket.received) == BODY
    assert bucket.pieces <= PIECES + 1  # one more where the end came while we were sending
    assert len(bucket.connections) >= 2


@pytest.mark.parametrize("breaks", [reset, storing_without_an_answer])
def test_after_a_broken_connection_it_goes_on_where_the_server_is(
    bucket: Bucket, url: str, breaks: Answer
) -> None:
    bucket.answers = [Handler.store, breaks]
    send(url)
    assert bytes(bucket.received) == BODY


@pytest.mark.parametrize(
    ("status", "error"),
    [(413, TooLargeError), (403, DeniedError)],
)
def test_a_refusal_in_the_middle_of_a_piece_is_reported(
    bucket: Bucket, url: str, status: int, error: type[LoraTuiError]
) -> None:
    body = f'{{"statusCode": "{status}", "error": "no", "message": "no"}}'
    bucket.answers = [refusing(status, body.encode())] * 3
    with pytest.raises(error) as caught:
        send(url)
    assert type(caught.value) is error
    assert bucket.pieces == 1


def test_a_single_refused_login_in_the_middle_of_a_piece_is_retried(
    bucket: Bucket, url: str
) -> None:
    bucket.answers = [refusing(401, b'{"message": "no"}')]
    send(url)
    assert bytes(bucket.received) == BODY


def test_a_login_that_is_refused_for_every_piece_ends_the_upload(bucket: Bucket, url: str) -> None:
    bucket.answers = [refusing(401, b'{"message": "no"}')] * 20
    with pytest.raises(AuthenticationError):
        send(url)
    assert bucket.pieces < 10


def test_a_busy_server_is_retried_after_its_retry_after(
    bucket: Bucket, url: str, waits: list[float]
) -> None:
    bucket.answers = [refusing(503, Retry_After="7"), refusing(429, Retry_After="3")]
    send(url)
    assert bytes(bucket.received) == BODY
    assert waits == [7.0, 3.0]


def test_a_server_that_always_fails_ends_in_an_error_without_the_key(
    bucket: Bucket, url: str, waits: list[float]
) -> None:
    bucket.answers = [refusing(500, f'{{"message": "bad key {KEY}"}}'.encode())] * 9
    with pytest.raises(UnreachableError, match="the server fails") as caught:
        send(url)
    assert KEY not in f"{caught.value} {caught.value.details} {caught.value.remedy}"
    assert len(waits) == AT_ONCE.total


def test_an_answer_without_end_is_not_read_to_its_end(bucket: Bucket, url: str) -> None:
    def endless(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_response(400)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"no! " * 65536)
        except OSError:
            handler.close_connection = True

    bucket.answers = [endless]
    with pytest.raises(UnreachableError, match="instead of the service"):
        send(url)


def test_a_login_that_is_renewed_meanwhile_sends_the_whole_piece_again(
    bucket: Bucket, url: str
) -> None:
    class Renewing(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
            answer = yield request
            if answer.status_code == 401:
                yield request

    def expired(handler: Handler) -> None:
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.reply(401)

    bucket.answers = [Handler.store, expired]
    send(url, Renewing())
    assert bytes(bucket.received) == BODY


def test_behind_a_proxy_pieces_go_by_the_proxy(
    bucket: Bucket, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Proxy(Handler):
        """Passes for the host that it is asked for."""

        def parse_request(self) -> bool:
            parsed = super().parse_request()
            asked.append(f"{self.command} {self.path}")
            return parsed

    Proxy.bucket = bucket
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    try:
        send("http://bucket.example")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert bytes(bucket.received) == BODY
    assert all("http://bucket.example/" in line for line in asked)
    assert sum(line.startswith("PATCH") for line in asked) == PIECES
