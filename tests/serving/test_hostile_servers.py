"""Whatever a server answers: one sentence, soon, in little memory, and never with the key in it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from lora_tui import errors
from lora_tui.config.servers import Server
from lora_tui.domain.servers import ServerKind
from lora_tui.gateway.retry import ONCE
from lora_tui.secret import Secret
from lora_tui.serving import requests
from lora_tui.serving.client import Client, Message
from lora_tui.serving.connect import connect, find_kind
from lora_tui.text import terminal_safe
from tests.raw_server import RawServer, head, whole

KEY = "sesame-opens-the-door"
HELLO = [Message("user", "Hi")]
JSON = "Content-Type: application/json"
STREAM = "Content-Type: text/event-stream"
KINDS = pytest.mark.parametrize("kind", list(ServerKind), ids=str)
Serve = Callable[[Callable[[str], Iterable[bytes]]], RawServer]

ODD = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"3",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"data": null, "choices": null, "tokens": null}',
    b'{"data": [null, 3, [], {"id": 5, "parent": {}}], "choices": [null], "tokens": [null]}',
    b'{"data": [{"id": "b", "parent": null}], "choices": [{"logprobs": {"token_logprobs": "x"}}]}',
    b'{"data": [{"id": "b", "parent": null}],'
    b' "choices": [{"logprobs": {"token_logprobs": [null, NaN, 1e999, true, "x"]}}]}',
    b'{"data": [{"id": "b"}], "tokens": [1, 2, 99999999999999999999999999], "choices": []}',
    b'{"error": {"message": ["x"]}}',
]


@pytest.fixture(autouse=True)
def _without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "SOON", ONCE)


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[RawServer] = []

    def start(answer: Callable[[str], Iterable[bytes]]) -> RawServer:
        servers.append(RawServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def client_of(server: RawServer, kind: ServerKind = ServerKind.VLLM) -> Client:
    return connect(Server("gpu-1", server.url, kind), Secret(KEY))


def refusals_of(client: Client) -> list[errors.LoraTuiError]:
    """What every call of a client that gets nonsense raises."""
    calls: list[Callable[[], object]] = [
        lambda: client.log_probabilities("a b c", None),
        lambda: client.log_probabilities("a b c", "x"),
        lambda: list(client.answer(HELLO, None, most_tokens=3)),
    ]
    found = []
    for call in calls:
        with pytest.raises(errors.LoraTuiError) as refused:
            call()
        found.append(refused.value)
    return found


def check(found: Iterable[errors.LoraTuiError]) -> None:
    for error in found:
        for text in (str(error), error.details or "", error.remedy or ""):
            assert text == terminal_safe(text)
            assert len(text) < 600
            assert KEY not in text


@KINDS
@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_json_of_another_form_is_one_sentence(serve: Serve, kind: ServerKind, body: bytes) -> None:
    server = serve(lambda _: [whole(body, JSON)])
    with client_of(server, kind) as client:
        state = client.state()
        assert state.answers or state.error
        check(refusals_of(client))


@KINDS
@pytest.mark.parametrize("status", ["401 No", "404 Gone", "500 Oops"])
def test_the_words_of_a_refusal_are_short_safe_and_without_the_key(
    serve: Serve, kind: ServerKind, status: str
) -> None:
    words = f"\x1b[2J{KEY} Bearer {KEY} \u202e{'xyz ' * 4000}\nX: y"
    bodies = [
        json.dumps({"error": {"message": words}}).encode(),
        json.dumps({"error": words}).encode(),
        json.dumps({"detail": words}).encode(),
        words.encode(),
    ]
    for body in bodies:
        server = serve(lambda _, body=body: [whole(body, status=status)])  # type: ignore[misc]
        with client_of(server, kind) as client:
            found = refusals_of(client)
            check(found)
            assert not any("\x1b" in (error.details or "") for error in found)


def test_a_web_page_and_a_server_that_still_loads_are_told_apart(serve: Serve) -> None:
    page = serve(
        lambda _: [whole(b"<html>Sign in</html>", "Content-Type: text/html", status="403 No")]
    )
    with client_of(page) as client:
        assert "web page" in client.state().error
    loading = b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'
    slow = serve(lambda _: [whole(loading, JSON, status="503 Service Unavailable")])
    with client_of(slow, ServerKind.LLAMA_CPP) as client:
        assert "not ready" in client.state().error
        assert "Loading model" in client.state().error
    with pytest.raises(errors.UnreachableError):
        find_kind(Server("gpu-1", slow.url))


def test_another_service_is_neither_vllm_nor_llama_server(serve: Serve) -> None:
    other = serve(lambda _: [whole(b'{"data": [{"id": "x", "owned_by": "me"}]}', JSON)])
    found = find_kind(Server("gpu-1", other.url))  # a proxy of vLLM may name another owner
    assert found is ServerKind.VLLM
    nothing = serve(lambda _: [whole(b'{"error": "no"}', JSON, status="404 Not Found")])
    with pytest.raises(errors.BackendError, match="neither vLLM nor llama-server"):
        find_kind(Server("gpu-1", nothing.url))


def streamed(serve: Serve, *pieces: bytes) -> errors.LoraTuiError | str:
    """What an answer of these bytes gives: its text, or the error."""
    server = serve(lambda _: [head(STREAM, "Connection: close"), *pieces])
    with client_of(server) as client:
        try:
            found = list(client.answer(HELLO, "x", most_tokens=3))
        except errors.LoraTuiError as error:
            check([error])
            return error
        return "".join(piece.text for piece in found)


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


def test_a_stream_is_read_as_any_server_writes_it(serve: Serve) -> None:
    done = b"data: [DONE]\n\n"
    assert streamed(serve, event("a"), b": still here\n\n", event("b"), done) == "ab"
    assert streamed(serve, event("a").replace(b"\n", b"\r\n"), done) == "a"
    halves = event("ab")
    assert streamed(serve, halves[:9], halves[9:], b'data:{"choices":[]}\n\n', done) == "ab"
    assert streamed(serve, event("a"), done, event("never read")) == "a"


@pytest.mark.parametrize(
    "pieces",
    [
        [event("a")],
        [event("a"), b"data: {"],
        [b"data: [DONE]\n\n"],
        [b"data: 3\n\n", b"data: [DONE]\n\n"],
        [b"data: nonsense\n\n"],
        [event("a"), b'data: {"error": {"message": "\\u001b[2J boom"}}\n\n'],
        [event("a"), b'error: {"message": "boom"}\n\n'],
        [b'data: {"choices": {"a": 1}}\n\n', b"data: [DONE]\n\n"],
    ],
    ids=["no end", "half", "nothing", "number", "words", "error", "old error", "object"],
)
def test_a_stream_that_is_wrong_is_one_sentence(serve: Serve, pieces: list[bytes]) -> None:
    assert isinstance(streamed(serve, *pieces), errors.BackendError)


def test_a_stream_without_end_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "LONGEST_LINE", 1 << 16)
    found = streamed(serve, b"data: ", *[b"x" * (1 << 14)] * 20)
    assert isinstance(found, errors.TooLargeAnswerError)
    monkeypatch.setattr(requests, "MOST_STREAMED", 1 << 16)
    found = streamed(serve, *[b": nothing\n" * 1000] * 20)
    assert isinstance(found, errors.TooLargeAnswerError)


def test_an_answer_of_megabytes_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_BYTES", 1 << 16)
    server = serve(lambda _: [whole(b'{"data": [' + b" " * (1 << 17) + b"]}", JSON)])
    with client_of(server) as client:
        assert "too large" in client.state().error


def test_closing_a_client_ends_an_answer_that_another_thread_waits_for(serve: Serve) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(_: str) -> Iterator[bytes]:
        yield head(STREAM, "Connection: close")
        yield event("a")
        ended.wait(20)

    client = client_of(serve(endless))
    found: list[object] = []

    def read() -> None:
        try:
            for piece in client.answer(HELLO, "x", most_tokens=3):
                found.append(piece.text)
                begun.set()
        except errors.LoraTuiError as error:
            found.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)
    client.close()
    thread.join(10)
    ended.set()
    assert not thread.is_alive()
    assert found[0] == "a"
    assert "cancelled" in str(found[-1])


def test_a_llama_server_in_the_place_of_a_vllm_is_told(serve: Serve) -> None:
    listed = {"data": [{"id": "base", "owned_by": "llamacpp"}]}
    server = serve(lambda _: [whole(json.dumps(listed).encode(), JSON)])

    state = client_of(server).state()

    assert not state.answers
    assert "llama-server runs there now" in state.error
