"""Calls of the vendor's clients: their errors become ours, and nothing that they quote gets out."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from lora_tui import errors
from lora_tui.gateway import auth
from lora_tui.gateway.auth import KeyAuth, Session
from lora_tui.gateway.http import build_client
from lora_tui.gateway.storage import Storage
from lora_tui.secret import Secret
from tests.gateway.conftest import AT_ONCE, Script

URL = "https://backend.example"
KEY = "sb_publishable_k"
PASSWORD = "correct-horse-battery"
SOON = datetime(2030, 1, 1, tzinfo=UTC)
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl"


def over(script: Script) -> httpx.Client:
    return build_client(URL, auth=KeyAuth(KEY), transport=script.transport, retry=AT_ONCE)


def sign_in(script: Script) -> object:
    return auth.sign_in(URL, KEY, "a@b.example", Secret(PASSWORD), client=over(script))


def refresh(script: Script) -> object:
    session = Session(Secret(TOKEN), Secret("refresh-me"), SOON, "u", "a@b.example")
    return auth.refresh(URL, KEY, session, client=over(script))


def fetch_user(script: Script) -> object:
    return auth.fetch_user(URL, KEY, Secret(TOKEN), client=over(script))


def storage(script: Script) -> Storage:
    return Storage(URL, KeyAuth(KEY), client=over(script), retry=AT_ONCE)


CALLS: dict[str, Callable[[Script], Any]] = {
    "sign in": sign_in,
    "refresh": refresh,
    "user": fetch_user,
    "sign": lambda script: storage(script).sign("u/a/f"),
    "sign many": lambda script: storage(script).sign_many(["u/a/f", "u/a/g"]),
    "info": lambda script: storage(script).info("u/a/f"),
    "list": lambda script: list(storage(script).list("u/a")),
    "visible": lambda script: storage(script).has_visible_objects("u/a"),
    "delete": lambda script: storage(script).delete(["u/a/f"]),
}
BODIES: dict[str, httpx.Response] = {
    "a list of secrets": httpx.Response(200, json=[TOKEN, PASSWORD]),
    "half a session": httpx.Response(200, json={"access_token": TOKEN, "refresh_token": 5}),
    "deep JSON": httpx.Response(200, content=b"[" * 100_000),
    "a long number": httpx.Response(200, content=b"[" + b"9" * 10_000 + b"]"),
    "no JSON": httpx.Response(200, content=b"\xff\xfe{"),
    "an odd refusal": httpx.Response(400, json={"message": {"a": TOKEN}, "error": [PASSWORD]}),
    "a refusal in text": httpx.Response(418, text=f"no {TOKEN}"),
    "a refused password": httpx.Response(422, json={"code": "weak_password", "message": "x"}),
    "a redirection": httpx.Response(302, headers={"Location": "https://evil.example/"}),
    "a server error": httpx.Response(500, json={"statusCode": 7, "error": None}),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_the_vendors_code_can_not_read_is_an_error_of_ours_without_secrets(
    call: str, body: str, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    script = Script.of(BODIES[body])
    with caplog.at_level(logging.DEBUG):
        try:
            CALLS[call](script)
        except errors.LoraTuiError as error:
            shown = "".join(traceback.format_exception(error))
            shown += f"{error} {error.details} {error.remedy}"
        else:
            shown = ""
    for secret in (TOKEN, PASSWORD, "refresh-me"):
        assert secret not in shown
        assert secret not in caplog.text
    assert all(request.url.host == "backend.example" for request in script.requests)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [200, 403, 404, 503])
def test_a_page_in_place_of_the_service_is_told_from_its_answer(
    call: str, status: int, waits: list[float]
) -> None:
    page = httpx.Response(status, html="<html>Sign in to the network</html>")
    with pytest.raises(errors.InterceptedError):
        CALLS[call](Script.of(page))


@pytest.mark.parametrize("call", ["refresh", "user", "sign", "sign many", "info", "list", "delete"])
def test_a_call_that_may_be_repeated_is_repeated(call: str, waits: list[float]) -> None:
    script = Script.of(httpx.Response(503, json={"code": "x", "message": "busy"}))
    with pytest.raises(errors.UnreachableError):
        CALLS[call](script)
    assert len(script.requests) >= 5


def test_a_sign_in_is_not_repeated_by_itself(waits: list[float]) -> None:
    script = Script.of(httpx.Response(503, json={"code": "x", "message": "busy"}))
    with pytest.raises(errors.UnreachableError):
        sign_in(script)
    assert len(script.requests) == 1


def test_an_answer_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_tui.gateway.http.MOST_RESPONSE_BYTES", 1000)
    large = httpx.Response(200, json=["x" * 2000])
    for call, act in CALLS.items():
        with pytest.raises(errors.TooLargeAnswerError):
            act(Script.of(large))
        assert call


def test_the_services_are_not_told_which_system_this_is(waits: list[float]) -> None:
    for act in CALLS.values():
        script = Script.of(httpx.Response(404, json={"code": "x", "message": "no"}))
        with suppress(errors.LoraTuiError):
            act(script)
        headers = " ".join(script.requests[0].headers.values())
        assert "platform" not in headers
        assert "python" not in headers.lower()


@pytest.mark.parametrize(("email", "password"), [("", "x"), ("a@b.example", "")])
def test_an_empty_address_or_password_is_not_asked_about(email: str, password: str) -> None:
    script = Script.of(httpx.Response(500))
    with pytest.raises(errors.WrongPasswordError):
        auth.sign_in(URL, KEY, email, Secret(password), client=over(script))
    assert script.requests == []


@pytest.mark.parametrize("name", ["100%25.bin", "a%2Fb.bin", "%41.bin"])
def test_a_percent_sign_in_a_name_stays_one(name: str) -> None:
    script = Script.of(httpx.Response(200, json={"size": 7}))
    assert storage(script).info(f"u/a/{name}").path == f"u/a/{name}"
    assert script.requests[0].url.path == f"/storage/v1/object/info/lora-models/u/a/{name}"


@pytest.mark.parametrize("half", [b'"\\ud800"', b'"\\uD800"', b'"\xed\xa0\x80"'])
def test_half_a_character_in_an_answer_is_replaced_and_loses_nothing_else(half: bytes) -> None:
    account = b'"id":"u","aud":"a","app_metadata":{},"user_metadata":{"name":' + half + b"}"
    answer = b"{" + account + b',"created_at":"2026-11-23T09:16:55Z","email":"a@b.example"}'
    script = Script.of(httpx.Response(200, content=answer))
    assert fetch_user(script) == ("u", "a@b.example")
    listed = Script.of(httpx.Response(200, content=b'[{"id":"1","name":' + half + b"}]"))
    [found] = storage(listed).list("u/a")
    assert found.path.encode()


def test_signing_in_leaves_no_thread_that_renews_the_session() -> None:
    account: dict[str, Any] = {"id": "u", "aud": "a", "app_metadata": {}, "user_metadata": {}}
    answer = {
        "access_token": TOKEN,
        "refresh_token": "r",
        "token_type": "bearer",
        "expires_in": 3600,
        "user": account | {"created_at": "2026-11-23T09:16:55.59Z"},
    }
    before = threading.active_count()
    assert sign_in(Script.of(httpx.Response(200, json=answer)))
    assert threading.active_count() == before
