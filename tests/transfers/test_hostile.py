"""Whatever a server sends, a file is whole or the download ends with a clear error, soon."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_tui.errors import (
    BackendError,
    IntegrityError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.gateway import limits
from lora_tui.transfers import remote_file
from tests.raw_server import RawServer, chunked, for_ever, head, whole
from tests.transfers.file_server import Behaviour, FileServer, World

BODY = b"0123456789" * 100
CHUNKED = "Transfer-Encoding: chunked"
Serve = Callable[..., World]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A world whose file lies on a server that answers like this; nothing is known of the file."""
    servers: list[RawServer] = []

    def start(answer: Callable[[str], Iterable[bytes]] | bytes, **facts: Any) -> World:
        fixed = answer if isinstance(answer, bytes) else None
        server = RawServer(lambda request: [fixed] if fixed is not None else answer(request))  # type: ignore[operator]
        servers.append(server)
        return World(tmp_path / "world", server, **facts)  # type: ignore[arg-type]

    yield start
    for server in servers:
        server.close()


def requests_of(world: World) -> list[str]:
    return world.server.requests  # type: ignore[return-value]


def never_again(_attempt: int, _retry_after: str | None) -> None:
    """A policy without patience."""


def asked_range(request: str) -> tuple[int, int] | None:
    found = re.search(r"(?im)^range: bytes=(\d+)-(\d*)", request)
    return (int(found[1]), int(found[2] or -1)) if found else None


@pytest.mark.parametrize(
    "body",
    [
        chunked(BODY)[:500],
        chunked(BODY, BODY)[: len(chunked(BODY)) - 5],
        chunked(BODY)[:-5],
        chunked(BODY)[:-4],
        chunked(BODY)[:-2],
        b"3e8\r\n" + BODY + b"\r\n3",
        b"3e8\r\n" + BODY + b"\r\n0",
        b"3e8\r\n" + BODY + b"\r\n-1\r\n\r\n",
        b"3e8\r\n" + BODY + b"\r\nzz\r\n\r\n",
        b"3e8\r\n" + BODY + b"more\r\n0\r\n\r\n",
        b"",
    ],
    ids=range(11),
)
def test_a_chunked_answer_that_breaks_off_is_not_a_file(serve: Serve, body: bytes) -> None:
    world = serve(head(CHUNKED) + body)
    with pytest.raises(UnreachableError):
        world.download(delay=never_again)
    assert list(world.directory.iterdir()) == []


def test_a_chunked_answer_with_its_end_is_a_file(serve: Serve) -> None:
    trailer = b"Checked: yes\r\n"
    body = chunked(BODY[:1], BODY[1:])[:-2] + trailer + b"\r\n"
    world = serve(head(CHUNKED) + body.replace(b"1\r\n", b"1;name=value\r\n", 1))
    world.download()
    assert world.target.read_bytes() == BODY


def test_a_manifest_makes_the_end_of_a_chunked_answer_certain(serve: Serve) -> None:
    world = serve(head(CHUNKED) + chunked(BODY, b"x"), size=len(BODY))
    with pytest.raises(IntegrityError, match="more bytes"):
        world.download()
    world.server.answer = lambda _: [head(CHUNKED) + chunked(BODY)]  # type: ignore[attr-defined]
    world.download()
    assert world.target.read_bytes() == BODY


def test_an_answer_that_ends_with_its_connection_counts_only_where_the_length_is_known(
    serve: Serve,
) -> None:
    world = serve(head() + BODY)
    with pytest.raises(BackendError, match="does not say how long"):
        world.download()
    known = {"size": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}
    for body, error in ((BODY + b"x", IntegrityError), (BODY[:-1], UnreachableError)):
        world = serve(head() + body, **known)
        with pytest.raises(error):
            world.download(delay=never_again)
        assert not world.target.exists()
    world = serve(head() + BODY, **known)
    world.download()
    assert world.target.read_bytes() == BODY


@pytest.mark.parametrize(
    "coding", ["gzip", "br", "x-unknown", "identity, gzip", "deflate", "aws-chunked,gzip"]
)
def test_a_compressed_response_that_was_not_requested_is_refused(serve: Serve, coding: str) -> None:
    world = serve(whole(BODY, f"Content-Encoding: {coding}"))
    with pytest.raises(BackendError, match="not requested"):
        world.download()
    assert re.search(r"(?im)^accept-encoding: identity\r$", requests_of(world)[0])
    assert list(world.directory.iterdir()) == []


def test_aws_chunked_counts_as_no_encoding(serve: Serve) -> None:
    world = serve(whole(BODY, "Content-Encoding: aws-chunked"))
    world.download()
    assert world.target.read_bytes() == BODY


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 1000", "Content-Length: 10"),
        ("Content-Length: 1000, 10",),
        ("Content-Length: -1",),
        ("Content-Length: 0x3e8",),
        ("Transfer-Encoding: gzip, chunked",),
    ],
)
def test_a_head_with_contradictory_lengths_is_refused(serve: Serve, lines: tuple[str, ...]) -> None:
    world = serve(head(*lines) + BODY)
    with pytest.raises(BackendError, match="invalid"):
        world.download()


@pytest.mark.parametrize(
    "span", ["bytes 0-99/1000", "bytes 0-1000/1000", "bytes 9-5/1000", "0-999/1000"]
)
def test_a_range_that_is_not_the_length_of_its_answer_is_refused(serve: Serve, span: str) -> None:
    world = serve(whole(BODY, f"Content-Range: {span}", 'ETag: "e"', status="206 Partial Content"))
    with pytest.raises(BackendError, match="different part"):
        world.download()


def test_interim_answers_are_passed_over(serve: Serve) -> None:
    interim = head(status="100 Continue") + head("Link: </x>", status="103 Early Hints")
    world = serve(interim * 3 + whole(BODY))
    world.download()
    assert world.target.read_bytes() == BODY


@pytest.mark.parametrize(
    "flood",
    [
        head(status="100 Continue"),
        head("Link: </x>", status="103 Early Hints"),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000,
        b"HTTP/1.1 200 OK\r\nX: y\r\nX: y\r\n"[:17] + b"X: y\r\n",
    ],
    ids=["continue", "hints", "line", "lines"],
)
def test_a_head_without_end_is_given_up(serve: Serve, flood: bytes) -> None:
    start, piece = (flood[:17], flood[17:]) if b" 200 " in flood else (b"", flood)

    def answer(_request: str) -> Iterator[bytes]:
        yield start
        yield from for_ever(piece * 100)

    world = serve(answer)
    with pytest.raises(UnreachableError):
        world.download(delay=never_again)


@pytest.mark.parametrize(
    "frame",
    [b"1;" + b"x" * 4000 + b"\r\n.\r\n", b"0\r\n" + b"X: y\r\n" * 20_000, b"f" * 5000],
    ids=["extensions", "trailers", "length"],
)
def test_endless_chunk_framing_is_given_up(serve: Serve, frame: bytes) -> None:
    def answer(_request: str) -> Iterator[bytes]:
        yield head(CHUNKED)
        yield from for_ever(frame)

    world = serve(answer)
    with pytest.raises(UnreachableError):
        world.download(delay=never_again)


def test_endless_chunks_stop_at_the_limit_of_the_bucket(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_file, "MOST_BYTES", 100_000)

    def answer(_request: str) -> Iterator[bytes]:
        yield head(CHUNKED)
        yield from for_ever(chunked(BODY)[:-5])

    world = serve(answer)
    with pytest.raises(IntegrityError, match="than the bucket takes"):
        world.download()
    assert list(world.directory.iterdir()) == []


def test_a_slow_response_is_retried_and_then_reported(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SLOW_SECONDS", 0.1)
    pause = threading.Event()

    def answer(_request: str) -> Iterator[bytes]:
        yield head("Content-Length: 1000", 'ETag: "e"')
        for byte in BODY:
            pause.wait(0.02)
            yield bytes([byte])

    world = serve(answer)
    with pytest.raises(UnreachableError, match="almost nothing"):
        world.download()
    assert 1 < len(requests_of(world)) < 6


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /file?token=t\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
        head(CHUNKED) + b"f" * 5000,
    ],
    ids=["redirect", "head", "chunk"],
)
def test_an_invalid_response_is_retried_a_few_times_only(serve: Serve, answer: bytes) -> None:
    world = serve(answer)
    with pytest.raises(UnreachableError) as caught:
        world.download()
    assert caught.value.remedy
    assert len(requests_of(world)) == 3


def test_a_connection_that_breaks_after_every_two_bytes_is_given_up(serve: Serve) -> None:
    def answer(request: str) -> Iterator[bytes]:
        start, _ = asked_range(request) or (0, -1)
        span = f"Content-Range: bytes {start}-999/1000"
        yield head(
            span, f"Content-Length: {1000 - start}", 'ETag: "e"', status="206 Partial Content"
        )
        yield BODY[start : start + 2]

    world = serve(answer)
    with pytest.raises(UnreachableError, match="ended in the middle"):
        world.download()
    assert len(requests_of(world)) < 100


@pytest.mark.parametrize("facts", [{}, {"size": 0}])
@pytest.mark.parametrize("refusal", ["416 Range Not Satisfiable", "500 Internal Server Error"])
def test_an_empty_file_is_downloaded_whatever_the_response_to_a_range(
    serve: Serve, refusal: str, facts: dict[str, int]
) -> None:
    def answer(request: str) -> Iterator[bytes]:
        if asked_range(request):
            body = b'{"statusCode":"500","code":"InternalError","error":"Internal"}'
            yield whole(body, "Content-Type: application/json", status=refusal)
        else:
            yield whole(b"", 'ETag: "d41d8cd98f00b204e9800998ecf8427e"')

    world = serve(answer, **facts)
    world.download()
    assert world.target.read_bytes() == b""
    assert len(requests_of(world)) == 2


def test_a_file_that_became_shorter_is_fetched_again_even_after_status_500(
    serve: Serve,
) -> None:
    """Of a range beyond the end S3 behind the storage makes an error of its own."""

    def answer(request: str) -> Iterator[bytes]:
        asked = asked_range(request)
        if len(requests_of(world)) == 1:
            line = f"Content-Range: bytes 0-{len(BODY) - 1}/{len(BODY)}"
            length = f"Content-Length: {len(BODY)}"
            yield head(line, length, 'ETag: "e"', status="206 Partial Content") + BODY[:600]
        elif asked and asked[0] >= 500:
            yield whole(b"{}", status="500 Internal Server Error")
        else:
            yield whole(BODY[:500], 'ETag: "f"')

    world = serve(answer)
    world.download()
    assert world.target.read_bytes() == BODY[:500]


def test_a_server_that_fails_for_a_while_is_waited_for(serve: Serve) -> None:
    def answer(_request: str) -> Iterator[bytes]:
        failed = len(requests_of(world)) < 5
        yield whole(b"{}", status="500 Internal Server Error") if failed else whole(BODY)

    world = serve(answer)
    world.download()
    assert world.target.read_bytes() == BODY


def test_an_error_holds_no_part_of_the_link(serve: Serve) -> None:
    world = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12")
    with pytest.raises(LoraTuiError) as caught:
        world.download()
    assert "token" not in f"{caught.value} {caught.value.details}"


def test_connections_that_get_no_bytes_are_closed_and_one_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers one connection at a time, and lets all others wait for their bytes."""
    monkeypatch.setattr(remote_file, "STEADY_SECONDS", 0.2)
    monkeypatch.setattr(remote_file, "WORTHWHILE_SECONDS", 0.1)
    content = bytes(6_000_000)
    server = FileServer(Behaviour(content=content, rate=4e6))
    server.behaviour.stall_after = lambda: 0 if server.open_now > 1 else None
    try:
        world = World(tmp_path / "world", server)
        world.download(stall_seconds=0.6)
        assert world.target.read_bytes() == content
        assert server.most_open > 2
        assert len(server.requests) < 20
    finally:
        server.close()


PAGE = b"<!DOCTYPE html><html><body>Sign in to the hotel's network</body></html>"
JSON_ERROR = b'{"statusCode":"404","error":"not_found","message":"Object not found"}'


@pytest.mark.parametrize("size", [None, 5_000_000])
@pytest.mark.parametrize(
    "answer",
    [
        whole(PAGE, "Content-Type: text/html; charset=utf-8"),
        whole(PAGE * 2000, "Content-Type: text/html"),
        head("Content-Type: text/html") + PAGE,
        head("Content-Type: text/html", CHUNKED) + chunked(PAGE),
        whole(b"Sign in, please", "Content-Type: text/html"),
    ],
    ids=["page", "long", "no length", "chunked", "no markup"],
)
def test_a_login_page_is_reported_as_one(serve: Serve, answer: bytes, size: int | None) -> None:
    world = serve(answer, size=size)
    with pytest.raises(UnreachableError, match="answered instead of the storage"):
        world.download()
    assert list(world.directory.iterdir()) == []


@pytest.mark.parametrize("body", [PAGE, JSON_ERROR, PAGE * 2000], ids=["page", "error", "long"])
def test_a_page_or_an_error_is_reported_before_a_wrong_size(serve: Serve, body: bytes) -> None:
    world = serve(whole(body), size=5_000_000)
    with pytest.raises(UnreachableError, match="answered instead of the storage"):
        world.download()


def test_an_html_file_is_accepted_by_its_name(serve: Serve) -> None:
    world = serve(whole(PAGE, "Content-Type: text/html"), name="report.html")
    world.download()
    assert world.target.read_bytes() == PAGE


@pytest.mark.parametrize(
    "body",
    [
        JSON_ERROR,
        b'{"statusCode":404,"message":"gone"}',
        b'{"code":"NoSuchKey","message":"The specified key does not exist."}',
        b'{"error":"not_found","message":"Object not found"}',
    ],
    ids=range(4),
)
def test_a_link_that_is_refused_because_there_is_no_object_is_not_tried_again(
    serve: Serve, body: bytes
) -> None:
    world = serve(whole(body, "Content-Type: application/json", status="400 Bad Request"))
    with pytest.raises(NotFoundError):
        world.download()
    assert len(requests_of(world)) == 1


def test_an_expired_link_is_signed_again(serve: Serve) -> None:
    expired = b'{"statusCode":"400","error":"InvalidJWT","message":"jwt expired"}'
    answers = iter([whole(expired, status="400 Bad Request"), whole(BODY)])
    world = serve(lambda _: [next(answers)])
    world.download()
    assert world.target.read_bytes() == BODY
