"""Whatever a server answers to a request for rows or links, it ends soon, and in little memory."""

from __future__ import annotations

import gzip
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator

import httpx
import pytest

from lora_tui import errors
from lora_tui.gateway import http, limits
from lora_tui.gateway.auth import KeyAuth
from lora_tui.gateway.headers import retry_seconds
from lora_tui.gateway.http import build_client
from lora_tui.gateway.read_prefix import read_prefix
from lora_tui.gateway.responses import check
from lora_tui.gateway.retry import RetryPolicy
from lora_tui.gateway.storage import Storage
from tests.raw_server import RawServer, chunked, for_ever, head, whole

BOMB = gzip.compress(gzip.compress(bytes(5 << 20)))
ONCE = RetryPolicy(total=0)
Ask = Callable[[Callable[[str], Iterable[bytes]]], httpx.Response]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str], Iterable[bytes]]], RawServer]]:
    servers: list[RawServer] = []

    def start(answer: Callable[[str], Iterable[bytes]]) -> RawServer:
        servers.append(RawServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def ask(serve: Callable[..., RawServer]) -> Ask:
    """One GET, without a second attempt."""

    def get(answer: Callable[[str], Iterable[bytes]]) -> httpx.Response:
        with build_client(serve(answer).url, auth=KeyAuth("k"), retry=ONCE) as client:
            return client.get("/rest/v1/datasets")

    return get


FLOODS = pytest.mark.parametrize(
    "flood",
    [
        (b"", head(status="100 Continue")),
        (b"", head("Link: </x>", status="103 Early Hints")),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 100),
    ],
    ids=["continue", "hints", "lines", "line"],
)


def endless(start: bytes, piece: bytes) -> Callable[[str], Iterator[bytes]]:
    def answer(_request: str) -> Iterator[bytes]:
        yield start
        yield from for_ever(piece * 100)

    return answer


@FLOODS
def test_a_head_without_end_is_given_up(ask: Ask, flood: tuple[bytes, bytes]) -> None:
    with pytest.raises(errors.UnreachableError):
        ask(endless(*flood))


@FLOODS
def test_a_head_without_end_is_given_up_for_inspect(
    serve: Callable[..., RawServer], flood: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "RETRY", ONCE)
    with pytest.raises(errors.UnreachableError):
        read_prefix(serve(endless(*flood)).sign(), 1000)


@FLOODS
def test_a_head_without_end_is_given_up_for_uploads(
    serve: Callable[..., RawServer], flood: tuple[bytes, bytes]
) -> None:
    created = whole(b"", "Location: /upload/resumable/abc", status="201 Created")

    def answer(request: str) -> Iterable[bytes]:
        return [created] if request.startswith("POST") else endless(*flood)(request)

    with (
        Storage(serve(answer).url, KeyAuth("k"), retry=ONCE) as storage,
        pytest.raises(errors.UnreachableError),
    ):
        storage.upload_resumable("u/a/f", lambda _: iter([b"x"]), size=1)


def test_a_few_interim_answers_are_passed_over(ask: Ask) -> None:
    interim = head(status="100 Continue") + head("Link: </x>", status="103 Early Hints")
    assert ask(lambda _: [interim * 3 + whole(b"[]")]).json() == []


def test_a_head_that_only_trickles_is_given_up(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.1)
    pause = threading.Event()

    def answer(_request: str) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX: "
        for piece in for_ever(b"x"):
            pause.wait(0.02)
            yield piece

    with pytest.raises(errors.UnreachableError, match="in time"):
        ask(answer)


def test_a_body_that_only_trickles_is_given_up(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SLOW_SECONDS", 0.1)
    pause = threading.Event()

    def answer(_request: str) -> Iterator[bytes]:
        yield head("Content-Length: 100000")
        for piece in for_ever(b"x"):
            pause.wait(0.02)
            yield piece

    with pytest.raises(errors.UnreachableError, match="in time"):
        ask(answer)


@pytest.mark.parametrize(
    "answer",
    [
        head("Transfer-Encoding: chunked") + chunked(b"[]")[:-5],
        head("Content-Length: 9") + b"[]",
        head("Content-Length: 9", "Content-Length: 2") + b"[]",
    ],
)
def test_a_response_that_breaks_off_is_an_error(ask: Ask, answer: bytes) -> None:
    with pytest.raises(errors.UnreachableError):
        ask(lambda _: [answer])


def test_rows_without_end_are_not_read_to_their_end(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_RESPONSE_BYTES", 1 << 20)

    def answer(_request: str) -> Iterator[bytes]:
        yield head("Transfer-Encoding: chunked")
        yield from for_ever(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")

    with pytest.raises(errors.BackendError, match="answer is too large"):
        ask(answer)


@pytest.mark.parametrize(
    "status", ["400 Bad Request", "403 Forbidden", "500 Internal Server Error"]
)
def test_an_endless_error_response_is_read_up_to_a_limit(ask: Ask, status: str) -> None:
    def answer(_request: str) -> Iterator[bytes]:
        yield head("Transfer-Encoding: chunked", status=status)
        yield from for_ever(b"2000\r\n" + b"x" * 0x2000 + b"\r\n")

    tracemalloc.start()
    try:
        response = ask(answer)
        with pytest.raises(errors.LoraTuiError):
            check(response, "read")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pause", ["31536000", "Sat, 27 Nov 2150 10:00:00 GMT"])
def test_a_retry_after_of_a_year_is_reported_and_not_waited_for(ask: Ask, pause: str) -> None:
    busy = whole(b'{"message": "busy"}', f"Retry-After: {pause}", status="503 Unavailable")
    response = ask(lambda _: [busy])
    with pytest.raises(errors.UnreachableError) as caught:
        check(response, "read")
    assert "days, which is too long" in str(caught.value.details)


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "zstd", "x-unknown"])
def test_an_encoding_that_was_not_requested_is_refused(ask: Ask, coding: str) -> None:
    with pytest.raises(errors.BackendError, match="not requested"):
        ask(lambda _: [whole(BOMB, f"Content-Encoding: {coding}")])


def test_a_compressed_file_is_not_inspected(serve: Callable[..., RawServer]) -> None:
    server = serve(lambda _: [whole(gzip.compress(b"x" * 100), "Content-Encoding: gzip")])
    with pytest.raises(errors.BackendError, match="not requested"):
        read_prefix(server.sign(), 1000)


FILE = bytes(range(256)) * 20


def parts(longest: int, *lines: str, cut: int | None = None) -> Callable[[str], Iterator[bytes]]:
    """Answers ranges with no more than so many bytes, and ends the connection after `cut`."""

    def answer(request: str) -> Iterator[bytes]:
        found = re.search(r"(?im)^range: bytes=(\d+)-(\d+)", request)
        assert found
        start = int(found[1])
        end = min(int(found[2]) + 1, start + longest, len(FILE))
        span = f"Content-Range: bytes {start}-{end - 1}/{len(FILE)}"
        sent = whole(FILE[start:end], span, *lines, status="206 Partial Content")
        yield sent if cut is None else sent[: len(sent) - (end - start) + min(cut, end - start)]

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        parts(1500),
        parts(1500, 'ETag: "one"'),
        parts(10_000, cut=1500),
        parts(10_000, "Content-Encoding: Identity"),
        parts(10_000, "Content-Encoding: identity, identity"),
        parts(10_000, "Content-Encoding: "),
        parts(10_000, "Content-Encoding: aws-chunked"),
    ],
    ids=[
        *("short", "short with ETag", "cut", "Identity", "identity twice", "no encoding"),
        "aws-chunked",
    ],
)
def test_the_beginning_of_a_file_is_read_however_it_comes(
    serve: Callable[..., RawServer], answer: Callable[[str], Iterator[bytes]]
) -> None:
    assert read_prefix(serve(answer).sign(), 4000) == (FILE[:4000], len(FILE))
    assert read_prefix(serve(answer).sign(), 9000) == (FILE, len(FILE))


def test_a_start_that_always_breaks_off_is_not_a_damaged_file(
    serve: Callable[..., RawServer],
) -> None:
    cut = whole(FILE)[:-2000]
    for server, requests in ((serve(parts(10_000, cut=0)), 3), (serve(lambda _: [cut]), 4)):
        with pytest.raises(errors.UnreachableError):
            read_prefix(server.sign(), 4000)
        assert len(server.requests) == requests


def test_an_answer_of_a_byte_at_a_time_is_given_up(serve: Callable[..., RawServer]) -> None:
    server = serve(parts(1))
    with pytest.raises(errors.BackendError, match="next to nothing"):
        read_prefix(server.sign(), 4000)
    assert len(server.requests) < 20


def test_the_start_of_a_file_is_not_read_from_two_versions(serve: Callable[..., RawServer]) -> None:
    etags = iter(f'ETag: "{number}"' for number in range(9))
    server = serve(lambda request: parts(1500, next(etags))(request))
    with pytest.raises(errors.BackendError, match="changes"):
        read_prefix(server.sign(), 4000)


@pytest.mark.parametrize(
    "answer",
    [
        whole(b"<html>Sign in</html>"),
        whole(b"Sign in", "Content-Type: text/html"),
        whole(b'{"statusCode":"404","error":"not_found","message":"Object not found"}'),
    ],
    ids=["page", "type", "error"],
)
def test_a_login_page_is_not_reported_as_a_damaged_adapter(
    serve: Callable[..., RawServer], answer: bytes
) -> None:
    with pytest.raises(errors.InterceptedError, match="answered instead of the storage"):
        read_prefix(serve(lambda _: [answer]).sign(), 4000)


def test_an_object_that_is_gone_is_recognised_by_its_code(
    serve: Callable[..., RawServer],
) -> None:
    body = b'{"code":"NoSuchKey","message":"The specified key does not exist."}'
    server = serve(lambda _: [whole(body, status="400 Bad Request")])
    with pytest.raises(errors.NotFoundError):
        read_prefix(server.sign(), 4000)


@pytest.mark.parametrize("refusal", ["416 Range Not Satisfiable", "500 Internal Server Error"])
def test_an_empty_file_is_reported_whatever_the_response_to_a_range(
    serve: Callable[..., RawServer], refusal: str
) -> None:
    server = serve(
        lambda request: [whole(b"{}", status=refusal) if "Range:" in request else whole(b"")]
    )
    with pytest.raises(errors.IntegrityError, match="is empty"):
        read_prefix(server.sign(), 1000)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-1", "1.5", "9" * 400, "Mon, 01 Jan 2026 00:00:00 +9999999999999", "Mon, 99"],
)
def test_an_invalid_retry_after_is_ignored(text: str) -> None:
    assert retry_seconds(text) is None
    with pytest.raises(ValueError, match="neither"):
        RetryPolicy().parse_retry_after(text)
