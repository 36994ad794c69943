"""A server may answer anything: the gateway raises nothing but LoraTuiError."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.clock import now
from lora_tui.errors import LoraTuiError
from lora_tui.gateway.auth import KeyAuth, Session, fetch_user, refresh, sign_in
from lora_tui.gateway.gpu import Worker, WorkerResult
from lora_tui.gateway.http import build_client
from lora_tui.gateway.read_prefix import read_prefix
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.storage import Storage
from lora_tui.harvest.source import SourceFiles
from lora_tui.harvest.spool import Spool
from lora_tui.secret import Secret
from lora_tui.transfers.connection import RangeConnection
from tests.fuzz.conftest import examples

SECRET: Final = "planted-secret-0123456789"
ESCAPES: Final = tuple(
    chr(code) for code in (*range(32), *range(127, 160)) if chr(code) not in "\n"
)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
KEYS: Final = st.sampled_from(
    (
        "id",
        "user_id",
        "email",
        "access_token",
        "refresh_token",
        "expires_at",
        "expires_in",
        "user",
        "signedURL",
        "signedUrl",
        "error",
        "message",
        "status",
        "output",
        "model_files",
        "download_urls",
        "files",
        "name",
        "size",
        "code",
        "msg",
        "metadata",
    )
)
likely: st.SearchStrategy[Any] = st.recursive(
    json_values,
    lambda inner: st.dictionaries(KEYS, inner, max_size=6) | st.lists(inner),
    max_leaves=8,
)
bodies: st.SearchStrategy[bytes] = st.one_of(
    st.binary(max_size=200),
    likely.map(lambda value: json.dumps(value).encode()),
    st.just(b"[" * 100_000),
    st.just(b'{"a":' * 50_000),
    st.just(b"9" * 10_000),
)
header_lines: st.SearchStrategy[bytes] = st.sampled_from(
    (
        b"Content-Type: application/json",
        b"Content-Type: text/html; charset=nonsense",
        b"Content-Encoding: gzip",
        b"Content-Encoding: br, gzip, deflate",
        b"Content-Range: bytes 0-/x",
        b"Content-Range: bytes 5-9/4",
        b"Content-Range: 0-0/*",
        b"Transfer-Encoding: chunked",
        b"Location: http://[::bad/",
        b"Location: //\x1b[31m",
        b'ETag: W/"\x9b"',
        b"Date: never",
        b"Set-Cookie: a=b",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"nonsense",
    )
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """An HTTP answer, or random bytes instead."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    status = draw(
        st.sampled_from((200, 201, 204, 206, 301, 308, 400, 401, 403, 404, 409, 416, 418, 500))
    )
    body = draw(bodies)
    lines = [b"HTTP/1.1 %d \xffWhatever" % status, *draw(st.lists(header_lines, max_size=3))]
    if draw(st.booleans()):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join((*lines, b"", body))


class Liar:
    """A server that sends given bytes to each client, then closes."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                connection.recv(65_536)
                connection.sendall(self.answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    liar = Liar()
    yield liar
    liar.close()


@pytest.fixture(scope="module", autouse=True)
def nothing_waits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx_retries.retry.time.sleep", lambda _: None)
        yield


def _session(liar: Liar) -> Session:
    return Session(
        Secret(SECRET), Secret(SECRET), now(), "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71", ""
    )


def _first_bytes(liar: Liar) -> None:
    line = RangeConnection(stall_seconds=5)
    try:
        with line.request(f"{liar.url}/x?token={SECRET}", 0, None, None, probe=True) as answer:
            answer.read_into(memoryview(bytearray(100_000)))
    finally:
        line.close()


def _rest(liar: Liar, call: Callable[[Rest], object]) -> None:
    with Rest(liar.url, KeyAuth(Secret(SECRET))) as rest:
        call(rest)


def _storage(liar: Liar, call: Callable[[Storage], object]) -> None:
    with Storage(liar.url, KeyAuth(Secret(SECRET))) as storage:
        call(storage)


def _worker(liar: Liar) -> None:
    with Worker(liar.url, Secret(SECRET)) as worker:
        worker.result("job-1")


def _harvested_file(liar: Liar) -> None:
    with Worker(liar.url, Secret(SECRET)) as worker, TemporaryDirectory() as directory:
        urls = {"weights.bin": f"{liar.url}/x?token={SECRET}"}
        worker.result = lambda _id: WorkerResult("COMPLETED", urls, {})  # type: ignore[method-assign]
        source = SourceFiles(worker, "job-1", allow_private_urls=True)
        with Spool(Path(directory)) as spool:
            source.download("weights.bin", spool)


def _piece(liar: Liar) -> None:
    with build_client(liar.url, auth=KeyAuth(Secret(SECRET))) as client:
        client.patch("/piece", content=[b"bytes"], extensions={"direct": True})


CALLS: Final[dict[str, Callable[[Liar], object]]] = {
    "sign in": lambda liar: sign_in(liar.url, "anon", "a@b.example", Secret(SECRET)),
    "refresh": lambda liar: refresh(liar.url, "anon", _session(liar)),
    "account": lambda liar: fetch_user(liar.url, "anon", Secret(SECRET)),
    "rows": lambda liar: _rest(liar, lambda rest: rest.page("datasets", "u", after=None)),
    "count": lambda liar: _rest(liar, lambda rest: rest.count("datasets", "u")),
    "link": lambda liar: _storage(liar, lambda storage: storage.sign("u/m/a.bin")),
    "links": lambda liar: _storage(liar, lambda storage: storage.sign_many(["u/a", "u/b"])),
    "object": lambda liar: _storage(liar, lambda storage: storage.info("u/m/a.bin")),
    "objects": lambda liar: _storage(liar, lambda storage: next(iter(storage.list("u/")), None)),
    "worker": _worker,
    "beginning": lambda liar: read_prefix(f"{liar.url}/x?token={SECRET}", 1000),
    "file": _first_bytes,
    "harvested file": _harvested_file,
    "piece": _piece,
}


ODD: Final = (
    (200, b"Content-Length: " + b"9" * 5_000),
    (206, b"Content-Range: bytes 0-9/" + b"9" * 5_000),
    (206, b"Content-Range: bytes " + b"9" * 5_000 + b"-9/10"),
    (206, b"X-Where: Z\xfcrich"),
    (302, b"Location: http://[x"),
)
"""What no draw is likely to find."""


@pytest.mark.parametrize(("status", "header"), ODD, ids=["length", "total", "range", "ü", "place"])
@pytest.mark.parametrize("name", ["object", "beginning", "file", "harvested file", "piece"])
def test_a_header_that_no_program_can_read_is_an_error_of_ours(
    liar: Liar, name: str, status: int, header: bytes
) -> None:
    size = b'{"size": "' + b"9" * 5_000 + b'"}'
    liar.answer = b"HTTP/1.1 %d Odd\r\n%s\r\n\r\n%s" % (status, header, size)
    with suppress(LoraTuiError):
        CALLS[name](liar)


@pytest.mark.parametrize("name", CALLS)
@given(answer=answers())
@examples(12)
def test_whatever_a_server_answers_the_error_is_ours_and_harmless(
    liar: Liar, name: str, answer: bytes
) -> None:
    liar.answer = answer
    try:
        CALLS[name](liar)
    except LoraTuiError as error:
        told = f"{error}\n{error.details or ''}\n{error.remedy or ''}"
        assert not any(character in told for character in ESCAPES)
        assert SECRET not in told
        assert len(told) < 3_000
