"""What a user's session promises: it stays alive, is renewed once, and ends with a clear word."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from lora_tui import clock, errors
from lora_tui.gateway import Gateway, auth
from lora_tui.gateway.auth import KeyAuth, Session, SessionAuth
from lora_tui.gateway.http import build_client
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.gateway.conftest import AT_ONCE, Script

ACCOUNT: dict[str, Any] = {
    "id": "u",
    "aud": "authenticated",
    "app_metadata": {},
    "user_metadata": {},
    "created_at": "2026-11-23T09:16:55.59Z",
}


def refreshes(sandbox: Sandbox) -> int:
    return sum("refresh_token" in request["query"] for request in sandbox.requests())


def nearly_over(session: Session) -> Session:
    return session._replace(expires_at=clock.now() + timedelta(seconds=30))


def count_models(sandbox: Sandbox, auth_: SessionAuth) -> int:
    with Gateway.of(sandbox.url, auth_) as gateway:
        return gateway.rest.count("model_artifacts", sandbox.user_id)


def test_signing_in_gives_a_session_of_the_account(sandbox: Sandbox) -> None:
    session = auth.sign_in(sandbox.url, sandbox.anon_key, sandbox.email, Secret(sandbox.password))
    assert (session.user_id, session.email) == (sandbox.user_id, sandbox.email)
    assert timedelta(minutes=55) < session.expires_at - clock.now() < timedelta(minutes=65)
    who = auth.fetch_user(sandbox.url, sandbox.anon_key, session.access_token)
    assert who == (sandbox.user_id, sandbox.email)
    assert session.access_token.reveal() not in repr(session)
    assert session.refresh_token.reveal() not in f"{session}"


def test_a_wrong_password_is_reported_and_not_shown(sandbox: Sandbox) -> None:
    with pytest.raises(errors.AuthenticationError, match="Wrong e-mail") as caught:
        auth.sign_in(sandbox.url, sandbox.anon_key, sandbox.email, Secret("hunter2"))
    assert "hunter2" not in f"{caught.value} {caught.value.details} {caught.value.remedy}"


def test_a_wrong_project_key_is_told_from_a_wrong_password(sandbox: Sandbox) -> None:
    with pytest.raises(errors.ConfigError, match="does not accept its key"):
        auth.sign_in(sandbox.url, "sb_publishable_no", sandbox.email, Secret(sandbox.password))


def test_signing_in_reports_an_unreachable_server() -> None:
    with pytest.raises(errors.UnreachableError, match="can't be reached"):
        auth.sign_in("http://127.0.0.1:1", "key", "a@b.example", Secret("x"))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"access_token": 5, "refresh_token": "x"}),
        httpx.Response(200, json={"access_token": "a.b.c", "refresh_token": "x"}),
        httpx.Response(200, content=b"<html>"),
    ],
)
def test_an_answer_without_a_session_is_refused(answer: httpx.Response) -> None:
    client = build_client("https://b.example", transport=Script.of(answer).transport)
    with pytest.raises((errors.BackendError, errors.InterceptedError)):
        auth.sign_in("https://b.example", "key", "a@b.example", Secret("x"), client=client)


def test_a_session_is_renewed_before_it_ends(sandbox: Sandbox, session: Session) -> None:
    kept: list[Session] = []
    signed_in = SessionAuth(
        sandbox.url, sandbox.anon_key, nearly_over(session), on_refresh=kept.append
    )
    assert count_models(sandbox, signed_in) == 15
    assert refreshes(sandbox) == 1
    assert [request["status"] for request in sandbox.requests()] == [200, 206]
    assert kept == [signed_in.session]
    assert kept[0].access_token != session.access_token
    assert kept[0].user_id == session.user_id


def test_a_session_that_the_server_refuses_is_renewed_once(
    sandbox: Sandbox, session: Session
) -> None:
    sandbox.faults(clock_offset=7200)
    signed_in = SessionAuth(sandbox.url, sandbox.anon_key, session)
    assert count_models(sandbox, signed_in) == 15
    assert [request["status"] for request in sandbox.requests()] == [401, 200, 206]


def test_the_bucket_renews_the_session_too_though_it_refuses_otherwise(
    sandbox: Sandbox, service: Gateway, session: Session
) -> None:
    rows = service.rest.page("model_artifacts", sandbox.user_id, after=None, limit=1).rows
    sandbox.forget_requests()
    sandbox.faults(clock_offset=7200)
    signed_in = SessionAuth(sandbox.url, sandbox.anon_key, session)
    with Gateway.of(sandbox.url, signed_in) as gateway:
        assert "token=" in gateway.storage.sign(next(iter(rows[0]["artifacts"].values())))
    assert [request["status"] for request in sandbox.requests()] == [400, 200, 200]


def test_a_session_that_is_never_accepted_is_renewed_only_once(session: Session) -> None:
    fresh = {"access_token": "a.b.c", "refresh_token": "r2", "expires_in": 3600}
    fresh |= {"token_type": "bearer", "user": ACCOUNT}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/v1/token":
            return httpx.Response(200, json=fresh)
        return httpx.Response(401, json={"code": "PGRST301", "message": "no"})

    script = Script(answer)
    signed_in = SessionAuth(
        "https://b.example",
        "key",
        session,
        client=build_client("https://b.example", transport=script.transport),
    )
    client = build_client(
        "https://b.example", auth=signed_in, transport=script.transport, retry=AT_ONCE
    )
    assert client.get("/rest/v1/x").status_code == 401
    paths = [r.url.path for r in script.requests]
    assert paths[:3] == ["/rest/v1/x", "/auth/v1/token", "/rest/v1/x"]
    assert paths.count("/auth/v1/token") == 1
    assert len(paths) <= 5


def test_threads_that_find_the_session_over_renew_it_once(
    sandbox: Sandbox, session: Session
) -> None:
    sandbox.faults(clock_offset=7200)
    kept: list[Session] = []
    signed_in = SessionAuth(sandbox.url, sandbox.anon_key, session, on_refresh=kept.append)
    together = threading.Barrier(6)
    with Gateway.of(sandbox.url, signed_in) as gateway, ThreadPoolExecutor(6) as pool:

        def ask() -> int:
            together.wait(timeout=30)
            return gateway.rest.count("model_artifacts", sandbox.user_id)

        assert [f.result() for f in [pool.submit(ask) for _ in range(6)]] == [15] * 6
    assert refreshes(sandbox) == 1
    assert len(kept) == 1


def test_a_session_that_another_process_renewed_is_taken_over(
    sandbox: Sandbox, session: Session
) -> None:
    stored = auth.refresh(sandbox.url, sandbox.anon_key, session)
    sandbox.forget_requests()
    signed_in = SessionAuth(
        sandbox.url, sandbox.anon_key, nearly_over(session), reload=lambda: stored
    )
    assert count_models(sandbox, signed_in) == 15
    assert refreshes(sandbox) == 0
    assert signed_in.session == stored


def test_a_stored_session_that_is_over_too_is_renewed_by_its_own_token(
    sandbox: Sandbox, session: Session
) -> None:
    stored = auth.refresh(sandbox.url, sandbox.anon_key, session)
    sandbox.forget_requests()
    signed_in = SessionAuth(
        sandbox.url,
        sandbox.anon_key,
        session._replace(expires_at=clock.now(), refresh_token=Secret("used up")),
        reload=lambda: nearly_over(stored),
    )
    assert count_models(sandbox, signed_in) == 15
    assert refreshes(sandbox) == 1


def test_what_another_process_renewed_is_taken_over_whatever_its_clock_said(
    sandbox: Sandbox, session: Session
) -> None:
    """This process signed in while the machine's clock was a day ahead."""
    ours = session._replace(expires_at=session.expires_at + timedelta(days=1))
    stored = auth.refresh(sandbox.url, sandbox.anon_key, session)
    sandbox.forget_requests()
    sandbox.faults(fail_next=1, status=401, path="/rest/v1/")
    signed_in = SessionAuth(sandbox.url, sandbox.anon_key, ours, reload=lambda: stored)
    assert count_models(sandbox, signed_in) == 15
    assert refreshes(sandbox) == 0
    assert signed_in.session == stored


def test_a_renewed_session_that_could_not_be_kept_is_not_lost(
    sandbox: Sandbox, session: Session
) -> None:
    def full(_session: Session) -> None:
        raise errors.DiskError("The session can't be stored")

    signed_in = SessionAuth(
        sandbox.url,
        sandbox.anon_key,
        nearly_over(session),
        on_refresh=full,
        reload=lambda: nearly_over(session),
    )
    with pytest.raises(errors.DiskError):
        count_models(sandbox, signed_in)
    assert count_models(sandbox, signed_in) == 15
    assert refreshes(sandbox) == 1


@pytest.mark.parametrize("seconds", ["1e999", "-1e999", "1e18", "NaN"])
def test_an_answer_whose_session_ends_at_no_time_is_refused_or_read_from_its_token(
    seconds: str,
) -> None:
    body = f'{{"access_token": "a.b.c", "refresh_token": "x", "expires_in": {seconds},'
    user = json.dumps(ACCOUNT)
    answer = httpx.Response(200, content=f'{body} "token_type": "x", "user": {user}}}'.encode())
    client = build_client("https://b.example", transport=Script.of(answer).transport)
    with pytest.raises(errors.LoraTuiError):
        auth.sign_in("https://b.example", "key", "a@b.example", Secret("x"), client=client)


def test_the_session_of_somebody_else_is_not_taken_over(sandbox: Sandbox, session: Session) -> None:
    other = auth.sign_in(
        sandbox.url, sandbox.anon_key, sandbox.other_email, Secret(sandbox.other_password)
    )
    signed_in = SessionAuth(
        sandbox.url, sandbox.anon_key, nearly_over(session), reload=lambda: other
    )
    assert count_models(sandbox, signed_in) == 15
    assert signed_in.session.user_id == sandbox.user_id


def test_a_session_is_renewed_under_the_lock_between_processes(
    sandbox: Sandbox, session: Session
) -> None:
    events: list[str] = []

    @contextmanager
    def lock() -> Iterator[None]:
        events.append("locked")
        yield
        events.append("unlocked")

    signed_in = SessionAuth(
        sandbox.url,
        sandbox.anon_key,
        nearly_over(session),
        lock=lock,
        reload=lambda: events.append("reloaded"),
        on_refresh=lambda _session: events.append("kept"),
    )
    count_models(sandbox, signed_in)
    assert events == ["locked", "reloaded", "kept", "unlocked"]


def test_a_session_that_was_ended_asks_for_a_new_login(sandbox: Sandbox, session: Session) -> None:
    auth.sign_out(sandbox.url, sandbox.anon_key, session)
    with pytest.raises(errors.AuthenticationError, match="The session has ended") as caught:
        count_models(sandbox, SessionAuth(sandbox.url, sandbox.anon_key, nearly_over(session)))
    assert caught.value.remedy == "run `lora-tui login`"
    auth.sign_out(sandbox.url, sandbox.anon_key, session)  # twice is no error


def test_an_access_token_alone_serves_until_it_ends(sandbox: Sandbox, session: Session) -> None:
    alone = nearly_over(session)._replace(refresh_token=Secret(""))
    signed_in = SessionAuth(sandbox.url, sandbox.anon_key, alone)
    assert count_models(sandbox, signed_in) == 15
    sandbox.faults(clock_offset=7200)
    with pytest.raises(errors.AuthenticationError, match="The session has ended"):
        count_models(sandbox, signed_in)
    assert refreshes(sandbox) == 0


def test_a_lost_answer_does_not_lose_the_session(sandbox: Sandbox, session: Session) -> None:
    sandbox.faults(drop_after=0, path="/auth/v1/token")
    renewed = auth.refresh(sandbox.url, sandbox.anon_key, session)
    assert refreshes(sandbox) == 2
    assert count_models(sandbox, SessionAuth(sandbox.url, sandbox.anon_key, renewed)) == 15


def test_tokens_made_elsewhere_are_checked(sandbox: Sandbox, session: Session) -> None:
    made = auth.session_from_tokens(
        sandbox.url, sandbox.anon_key, session.access_token, session.refresh_token
    )
    assert (made.user_id, made.email) == (sandbox.user_id, sandbox.email)
    head, claims, signature = session.access_token.reveal().split(".")
    forged = Secret(f"{head}.{claims}.{signature[::-1]}")
    with pytest.raises(errors.AuthenticationError):
        auth.session_from_tokens(sandbox.url, sandbox.anon_key, forged, session.refresh_token)


def test_a_user_sends_the_project_key_and_the_own_token(sandbox: Sandbox, user: Gateway) -> None:
    user.rest.count("model_artifacts", sandbox.user_id)
    sent = sandbox.requests()[-1]
    assert (sent["apikey"], sent["bearer"]) == ("anon", "user")


@pytest.mark.parametrize(
    ("key", "bearer"),
    [("eyJh.eyJi.sig", "Bearer eyJh.eyJi.sig"), ("sb_secret_abc", None), ("sb_secret_a.b.c", None)],
)
def test_a_key_is_a_bearer_only_where_it_is_a_jwt(key: str, bearer: str | None) -> None:
    script = Script.of(httpx.Response(200))
    build_client(
        "https://b.example", auth=KeyAuth(Secret(key)), transport=script.transport, retry=AT_ONCE
    ).get("/x")
    assert script.requests[0].headers["apikey"] == key
    assert script.requests[0].headers.get("Authorization") == bearer


def test_a_project_key_in_place_of_a_session_is_never_sent_as_one(session: Session) -> None:
    script = Script.of(httpx.Response(200))
    mistaken = session._replace(access_token=Secret("sb_secret_abc"))
    client = build_client(
        "https://b.example",
        auth=SessionAuth("https://b.example", "key", mistaken),
        transport=script.transport,
    )
    with pytest.raises(errors.AuthenticationError, match="no access token"):
        client.get("/x")
    assert script.requests == []


def test_a_session_that_can_not_be_renewed_yet_serves_until_it_ends(
    sandbox: Sandbox, session: Session, waits: list[float]
) -> None:
    sandbox.faults(fail_next=9, status=503, path="/auth/v1/token")
    assert count_models(sandbox, SessionAuth(sandbox.url, sandbox.anon_key, nearly_over(session)))
    assert waits
