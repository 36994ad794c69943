"""Files are read over a direct connection and behind a proxy alike: same bytes, same limits."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from lora_tui.errors import UnreachableError
from lora_tui.gateway import limits
from lora_tui.gateway.file_connection import FileConnection, file_connection
from lora_tui.gateway.http import build_client
from lora_tui.gateway.limits import BrokenOffError, EndlessError, FileBody, SlowError
from lora_tui.gateway.retry import RetryPolicy
from tests.proxies import Proxy, SocksProxy
from tests.raw_server import RawServer, chunked, for_ever, head, whole

Open = Callable[[Callable[[str], Iterable[bytes]]], FileConnection]
URL = "http://storage.invalid/file?token=t"
CONTENT = bytes(range(256)) * 1000


@pytest.fixture(params=["direct", "http", "socks"])
def connect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A connection to a server that answers as the test says, of one of the kinds."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    ends: list[Callable[[], None]] = []

    def start(answer: Callable[[str], Iterable[bytes]]) -> FileConnection:
        server = RawServer(answer)
        ends.append(server.close)
        if request.param == "direct":
            connection = file_connection(server.url, connect_seconds=5, stall_seconds=5)
        else:
            proxy = (Proxy if request.param == "http" else SocksProxy)(server.port)
            ends.append(proxy.close)
            scheme = "http" if request.param == "http" else "socks5"
            monkeypatch.setenv("http_proxy", f"{scheme}://127.0.0.1:{proxy.port}")
            connection = file_connection(URL, connect_seconds=5, stall_seconds=5)
        ends.append(connection.close)
        return connection

    yield start
    for end in reversed(ends):
        end()


def read_all(connection: FileConnection) -> bytes:
    response = connection.get(URL, {"Accept-Encoding": "identity"})
    return response.body().read_all(len(CONTENT) + 1)


@pytest.mark.parametrize(
    "answer",
    [
        whole(CONTENT),
        head("Transfer-Encoding: chunked") + chunked(CONTENT[:1000], CONTENT[1000:]),
        head("Connection: close") + CONTENT,
        head(status="100 Continue") + whole(CONTENT),
    ],
    ids=["length", "chunks", "until the end", "interim answers"],
)
def test_the_whole_body_arrives(connect: Open, answer: bytes) -> None:
    assert read_all(connect(lambda _: [answer])) == CONTENT


def test_head_and_body_tell_length_and_end(connect: Open) -> None:
    response = connect(lambda _: [whole(CONTENT, 'ETag: "v1"')]).get(URL, {})
    body = response.body()
    assert (response.status, response.header("etag"), response.header("X")) == (200, '"v1"', None)
    assert (body.length, body.has_certain_end, response.is_read()) == (len(CONTENT), True, False)
    buffer = memoryview(bytearray(len(CONTENT)))
    assert body.read_into(buffer) == len(CONTENT)
    assert response.is_read()
    assert body.read_into(buffer) == 0


def test_a_body_without_length_or_chunks_has_no_certain_end(connect: Open) -> None:
    response = connect(lambda _: [head("Connection: close"), CONTENT]).get(URL, {})
    assert not response.body().has_certain_end


@pytest.mark.parametrize(
    "answer",
    [
        whole(CONTENT)[:-1000],
        head("Transfer-Encoding: chunked") + chunked(CONTENT)[:-100],
    ],
    ids=["length", "chunks"],
)
def test_a_body_that_breaks_off_is_an_error_after_what_arrived(
    connect: Open, answer: bytes
) -> None:
    body = connect(lambda _: [answer]).get(URL, {}).body()
    buffer = memoryview(bytearray(len(CONTENT)))
    count = body.read_into(buffer)
    assert buffer[:count] == CONTENT[:count]
    with pytest.raises(BrokenOffError):
        body.read_into(buffer)


@pytest.mark.parametrize(
    "line", ["Content-Length: 1\r\nContent-Length: 2", "Content-Length: x"], ids=["two", "none"]
)
def test_contradictory_lengths_are_an_error(connect: Open, line: str) -> None:
    connection = connect(lambda _: [head(line) + CONTENT])
    with pytest.raises(http.client.HTTPException):
        read_all(connection)


@pytest.mark.parametrize(
    "flood", [head(status="100 Continue"), b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10]
)
def test_a_head_without_end_is_an_error(connect: Open, flood: bytes) -> None:
    connection = connect(lambda _: for_ever(flood * 10))
    with pytest.raises((EndlessError, http.client.HTTPException)):
        read_all(connection)


def test_a_trickle_is_an_error(connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = threading.Event()

    def trickle(_request: str) -> Iterator[bytes]:
        yield head("Content-Length: 1000000")
        for piece in for_ever(b"x"):
            pause.wait(0.02)
            yield piece

    body = connect(trickle).get(URL, {}).body()
    assert body.read_into(memoryview(bytearray(1))) == 1
    monkeypatch.setattr(limits, "SLOW_SECONDS", 0.05)  # not before: a busy machine is slow as well
    with pytest.raises(SlowError):
        drain(body)  # what arrived is handed out first


def drain(body: FileBody) -> None:
    while body.read_into(memoryview(bytearray(1000))):
        pass


def test_a_thread_that_waits_for_bytes_can_be_woken(connect: Open) -> None:
    over = threading.Event()

    def silent(_request: str) -> Iterator[bytes]:
        yield head("Content-Length: 1000000") + b"x"
        over.wait(30)

    response = connect(silent).get(URL, {})
    body = response.body()
    buffer = memoryview(bytearray(1))
    assert body.read_into(buffer) == 1
    timer = threading.Timer(0.1, response.abort)
    timer.start()
    with pytest.raises((OSError, http.client.HTTPException)) as caught:
        body.read_into(buffer)
    assert not isinstance(caught.value, TimeoutError)
    timer.join()
    over.set()


def test_a_thread_that_waits_for_an_answer_can_be_woken(connect: Open) -> None:
    asked, over = threading.Event(), threading.Event()

    def silent(_request: str) -> Iterator[bytes]:
        asked.set()
        over.wait(30)
        yield from ()

    connection = connect(silent)
    failures: list[BaseException] = []

    def get() -> None:
        try:
            connection.get(URL, {})
        except (OSError, http.client.HTTPException) as error:
            failures.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    assert asked.wait(30)
    connection.abort()
    thread.join(60)
    assert failures
    assert not isinstance(failures[0], TimeoutError)
    over.set()


@pytest.mark.parametrize("reply", [b"\x05", b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_a_socks_proxy_that_answers_nonsense_is_an_error(
    monkeypatch: pytest.MonkeyPatch, reply: bytes
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(100)
                client.sendall(reply)

    threading.Thread(target=answer, daemon=True).start()
    monkeypatch.setenv("http_proxy", f"socks5://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with (
        build_client(URL, retry=RetryPolicy(total=0)) as client,
        pytest.raises(UnreachableError, match="proxy"),
    ):
        client.get("/")
    connection = file_connection(URL, connect_seconds=5, stall_seconds=5)
    with pytest.raises((UnreachableError, OSError, http.client.HTTPException)):
        connection.get(URL, {})
    connection.close()
    listener.close()
