"""What the one HTTP client promises: what is repeated, what never leaks, what is said."""

from __future__ import annotations

import gzip
import json
import logging
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import httpx
import pytest

from lora_tui import errors
from lora_tui.gateway import Gateway, http, retry
from lora_tui.gateway.auth import KeyAuth, Session
from lora_tui.gateway.http import build_client
from lora_tui.gateway.responses import check, read_json
from lora_tui.gateway.retry import RETRY
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.gateway.conftest import AT_ONCE, Script

URL = "https://backend.example"


def client(script: Script, **options: object) -> httpx.Client:
    return build_client(URL, transport=script.transport, **{"retry": AT_ONCE, **options})


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_temporary_failure_is_retried(method: str, status: int) -> None:
    script = Script.of(httpx.Response(status), httpx.Response(status), httpx.Response(200))
    assert client(script).request(method, "/x").status_code == 200
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.ReadError("x")]
)
def test_a_broken_connection_is_tried_again(failure: httpx.HTTPError) -> None:
    script = Script.of(failure, httpx.Response(200))
    assert client(script).get("/x").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("failure", [httpx.Response(503), httpx.Response(429)])
def test_requests_that_change_data_are_never_sent_twice(
    method: str, failure: httpx.Response
) -> None:
    script = Script.of(failure, httpx.Response(200))
    assert client(script).request(method, "/x").status_code == failure.status_code
    assert len(script.requests) == 1


def test_a_post_is_not_repeated_after_a_lost_answer() -> None:
    script = Script.of(httpx.ReadError("gone"), httpx.Response(200))
    with pytest.raises(errors.UnreachableError):
        client(script).post("/x")
    assert len(script.requests) == 1


def test_a_post_that_only_asks_is_repeated() -> None:
    script = Script.of(httpx.Response(503), httpx.Response(200))
    assert client(script).post("/x", extensions=dict(http.REPEATABLE)).status_code == 200


def test_a_get_is_repeated_after_500_and_a_delete_is_not() -> None:
    script = Script.of(httpx.Response(500), httpx.Response(200))
    assert client(script).get("/x").status_code == 200
    script = Script.of(httpx.Response(500), httpx.Response(200))
    assert client(script).delete("/x").status_code == 500


def test_it_gives_up_after_five_attempts() -> None:
    script = Script.of(httpx.Response(503))
    assert client(script).get("/x").status_code == 503
    assert len(script.requests) == 5


def test_retry_after_is_respected(waits: list[float]) -> None:
    script = Script.of(httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200))
    assert client(script, retry=RETRY).get("/x").status_code == 200
    assert waits == [7.0]


def test_an_endless_retry_after_is_bounded(waits: list[float]) -> None:
    script = Script.of(httpx.Response(503, headers={"Retry-After": "86400"}))
    client(script, retry=RETRY).get("/x")
    assert max(waits) <= 20
    assert sum(waits) <= retry.TOTAL_SECONDS


def test_waits_are_random_and_their_bound_doubles(waits: list[float]) -> None:
    seen: list[list[float]] = []
    for _ in range(20):
        waits.clear()
        client(Script.of(httpx.Response(503)), retry=RETRY).get("/x")
        seen.append(list(waits))
    for position, bound in enumerate([0.5, 1.0, 2.0, 4.0]):
        drawn = [one[position] for one in seen]
        assert all(0 <= wait <= bound for wait in drawn)
        assert len(set(drawn)) > 10


def test_no_attempt_begins_after_thirty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    time = [0.0]
    for module in (http, retry):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: time[0]))

    def slow(request: httpx.Request) -> httpx.Response:
        time[0] += 20
        raise httpx.ReadTimeout("slow")

    script = Script(slow)
    with pytest.raises(errors.UnreachableError, match="in time"):
        client(script).get("/x")
    assert len(script.requests) == 2


def test_an_untrusted_certificate_is_reported_at_once() -> None:
    failure = httpx.ConnectError("certificate verify failed")
    failure.__cause__ = ssl.SSLCertVerificationError("self-signed")
    script = Script.of(failure)
    with pytest.raises(errors.UnreachableError, match="certificate") as caught:
        client(script).get("/x")
    assert len(script.requests) == 1
    assert "SSL_CERT_FILE" in str(caught.value.remedy)


def test_a_response_that_breaks_off_is_requested_again(sandbox: Sandbox, service: Gateway) -> None:
    sandbox.faults(drop_after=200, path="/rest/v1/datasets")
    assert service.rest.page("datasets", sandbox.user_id, after=None).rows
    sent = [r for r in sandbox.requests() if r["path"] == "/rest/v1/datasets"]
    assert [r["dropped"] for r in sent] == [True, False]


def test_a_dead_backend_is_unreachable_and_no_key_is_in_the_error() -> None:
    with (
        build_client("http://127.0.0.1:1", auth=KeyAuth("eyJsecret.a.b"), retry=AT_ONCE) as dead,
        pytest.raises(errors.UnreachableError, match=r"127\.0\.0\.1") as caught,
    ):
        dead.get("/x?token=topsecret")
    said = f"{caught.value} {caught.value.details} {caught.value.remedy}"
    assert "topsecret" not in said
    assert "eyJsecret" not in said
    assert caught.value.__suppress_context__


def test_a_key_never_follows_a_redirect() -> None:
    script = Script.of(httpx.Response(302, headers={"Location": "https://elsewhere.example/"}))
    response = client(script, auth=KeyAuth("sb_secret_k")).get("/x")
    with pytest.raises(errors.InterceptedError, match="another address"):
        check(response, "read it")
    assert [request.url.host for request in script.requests] == ["backend.example"]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {}, errors.AuthenticationError),
        (401, {"code": "PGRST303", "message": "JWT expired"}, errors.AuthenticationError),
        (400, {"statusCode": "403", "error": "Unauthorized", "message": '"exp" claim timestamp'
               " check failed"}, errors.AuthenticationError),
        (403, {"code": "42501"}, errors.DeniedError),
        (400, {"statusCode": "403", "error": "Unauthorized", "message": "violates row-level"
               " security policy"}, errors.DeniedError),
        (404, {"code": "PGRST205"}, errors.NotFoundError),
        (406, {"code": "PGRST116"}, errors.NotFoundError),
        (400, {"statusCode": "404", "error": "not_found"}, errors.NotFoundError),
        (400, {"error": "not_found", "message": "Object not found"}, errors.NotFoundError),
        (409, {"code": "23505"}, errors.ConflictError),
        (400, {"statusCode": "409", "error": "Duplicate"}, errors.ConflictError),
        (429, {}, errors.UnreachableError),
        (500, {}, errors.UnreachableError),
        (503, {}, errors.UnreachableError),
        (400, {"code": "22P02"}, errors.BackendError),
        (416, {}, errors.BackendError),
    ],
)  # fmt: skip
def test_each_refusal_is_an_error_that_a_user_can_act_on(
    status: int, body: dict[str, str], expected: type[errors.LoraTuiError]
) -> None:
    response = client(Script.of(httpx.Response(status, json=body))).get("/x")
    with pytest.raises(errors.LoraTuiError, match="read the models") as caught:
        check(response, "read the models")
    assert type(caught.value) is expected


def test_a_refused_key_is_told_from_a_refused_login(sandbox: Sandbox, session: Session) -> None:
    with (
        Gateway.for_service(sandbox.url, Secret("sb_secret_wrong")) as gateway,
        pytest.raises(errors.AuthenticationError, match="accept the key") as caught,
    ):
        gateway.rest.count("datasets", sandbox.user_id)
    assert "configuration" in str(caught.value.remedy)
    with build_client(sandbox.url, auth=KeyAuth(sandbox.anon_key)) as client:
        token = session.access_token.reveal()
        answer = client.get("/rest/v1/datasets", headers={"Authorization": f"Bearer {token}x.y"})
        with pytest.raises(errors.AuthenticationError, match="accept the login") as caught:
            check(answer, "read it")
    assert "lora-tui login" in str(caught.value.remedy)


def test_the_details_say_what_the_server_said() -> None:
    body = {"code": "22P02", "message": "bad uuid", "details": "column id", "hint": "quote it"}
    response = client(Script.of(httpx.Response(400, json=body))).get("/x")
    with pytest.raises(errors.BackendError) as caught:
        check(response, "read it")
    assert caught.value.details == "22P02; bad uuid; column id; quote it"


def test_hostile_texts_of_the_server_are_harmless_and_hold_no_secret() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    words = (
        f"\x1b[2J\x1b]0;owned\x07 \u202ebad Bearer abc.def {token} sb_secret_abcdef my-odd-key "
        f"https://h.example/storage/v1/object?token=qqq&x=1 password=hunter2 " + "x" * 5000
    )
    script = Script.of(httpx.Response(400, json={"message": words}))
    response = client(script, auth=KeyAuth("my-odd-key")).get("/x")
    with pytest.raises(errors.BackendError) as caught:
        check(response, "read it")
    details = caught.value.details or ""
    assert details.isprintable()
    assert "\u202e" not in details
    assert len(details) <= 500
    for secret in (token, "abc.def", "sb_secret_abcdef", "my-odd-key", "qqq", "hunter2"):
        assert secret not in details


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b'{"a":'])
def test_a_response_that_is_not_json_is_one_clear_error(content: bytes) -> None:
    response = client(Script.of(httpx.Response(200, content=content))).get("/x")
    with pytest.raises(errors.BackendError, match="not JSON"):
        read_json(response, "read it")


def test_a_small_answer_can_not_unpack_to_a_huge_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_RESPONSE_BYTES", 100_000)
    bomb = gzip.compress(b"0" * 1_000_000)
    script = Script(
        lambda _: httpx.Response(
            200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(bomb)
        )
    )
    with pytest.raises(errors.BackendError, match="too large"):
        client(script).get("/x")


def test_a_compressed_answer_is_read() -> None:
    packed = gzip.compress(json.dumps([1, 2]).encode())
    script = Script(
        lambda _: httpx.Response(
            200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(packed)
        )
    )
    assert read_json(client(script).get("/x"), "read it") == [1, 2]


def test_no_log_of_any_level_holds_a_key_or_a_signed_link(
    sandbox: Sandbox, user: Gateway, session: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.faults(fail_next=1, path="/rest/v1/model_artifacts")
    rows = user.rest.page("model_artifacts", sandbox.user_id, after=None, limit=1).rows
    link = user.storage.sign(next(iter(rows[0]["artifacts"].values())))
    with build_client(sandbox.url) as anyone:
        assert anyone.get(link).status_code == 200
    assert "/rest/v1/model_artifacts" in caplog.text
    for secret in (link.partition("token=")[2], sandbox.anon_key):
        assert secret not in caplog.text
    assert "token=" not in caplog.text
    assert "eyJ" not in caplog.text


def test_keys_show_in_no_repr(service: Gateway, user: Gateway, sandbox: Sandbox) -> None:
    shown = repr([service, user, service.rest, Secret(sandbox.service_key)])
    assert sandbox.service_key not in shown
    assert sandbox.anon_key not in shown


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy on loopback that answers everything itself, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_the_proxy_of_the_environment_is_used(
    proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy[0])
    monkeypatch.setenv("no_proxy", "direct.invalid")
    with build_client("http://backend.invalid", retry=AT_ONCE) as remote:
        assert remote.get("/x").status_code == 200
    assert proxy[1] == ["http://backend.invalid/x"]


def test_a_proxy_is_never_asked_for_this_machine(
    sandbox: Sandbox, proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy[0])
    monkeypatch.setenv("no_proxy", "")
    with Gateway.for_service(sandbox.url, Secret(sandbox.service_key)) as gateway:
        assert gateway.rest.count("model_artifacts", sandbox.user_id) == 15
    assert proxy[1] == []


def test_an_answer_that_only_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the whole would take days."""
    now = [0.0]
    monkeypatch.setattr(http.time, "monotonic", lambda: now[0])

    def trickle() -> Iterator[bytes]:
        while True:
            now[0] += 15
            yield b"x"

    script = Script(lambda _request: httpx.Response(200, content=trickle()))
    client = build_client("https://b.example", transport=script.transport, retry=AT_ONCE)
    with pytest.raises(errors.UnreachableError, match="does not answer in time"):
        client.get("/x")
    assert len(script.requests) == 1


def test_a_slow_line_is_not_a_trickle(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(http.time, "monotonic", lambda: now[0])

    def slow() -> Iterator[bytes]:
        for _ in range(100):
            now[0] += 2
            yield bytes(1_000)

    script = Script(lambda _request: httpx.Response(200, content=slow()))
    client = build_client("https://b.example", transport=script.transport, retry=AT_ONCE)
    assert len(client.get("/x").content) == 100_000
