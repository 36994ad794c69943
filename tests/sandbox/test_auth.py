"""Sessions of the sandbox behave like those of Supabase Auth."""

from __future__ import annotations

from pathlib import Path

import httpx

from lora_tui.sandbox import Sandbox
from tests.sandbox.client import Client, clients, sign_in


def refresh(client: Client, token: str) -> httpx.Response:
    return client.http.post(
        "/auth/v1/token?grant_type=refresh_token",
        headers={"apikey": client.sandbox.anon_key},
        json={"refresh_token": token},
    )


def session(client: Client) -> dict[str, str]:
    sandbox = client.sandbox
    answer = sign_in(sandbox, client.http, sandbox.email, sandbox.password)
    found: dict[str, str] = answer.json()
    return found


def get_user(client: Client, access_token: str) -> httpx.Response:
    headers = {"apikey": client.sandbox.anon_key, "Authorization": f"Bearer {access_token}"}
    return client.http.get("/auth/v1/user", headers=headers)


def test_signing_in_gives_a_session_for_the_right_account(user: Client) -> None:
    found = session(user)
    assert found["token_type"] == "bearer"
    assert found["expires_in"] == 3600
    assert get_user(user, found["access_token"]).json()["id"] == user.sandbox.user_id


def test_a_wrong_password_and_an_unknown_account_look_the_same(user: Client) -> None:
    sandbox = user.sandbox
    for email, password in ((sandbox.email, "wrong"), ("nobody@lora-tui.example", "wrong")):
        answer = sign_in(sandbox, user.http, email, password)
        assert answer.status_code == 400
        assert answer.json() == {
            "code": 400,
            "error_code": "invalid_credentials",
            "msg": "Invalid login credentials",
        }


def test_refreshing_rotates_the_refresh_token(user: Client) -> None:
    first = session(user)["refresh_token"]
    second = refresh(user, first).json()["refresh_token"]
    third = refresh(user, second).json()["refresh_token"]
    assert len({first, second, third}) == 3


def test_two_refreshes_at_once_get_the_same_successor(user: Client) -> None:
    first = session(user)["refresh_token"]
    answers = [refresh(user, first).json() for _ in range(2)]
    assert answers[0]["refresh_token"] == answers[1]["refresh_token"]
    assert answers[0]["access_token"] != answers[1]["access_token"]


def test_a_refresh_whose_answer_was_lost_is_repeated_however_late(
    sandbox: Sandbox, user: Client
) -> None:
    first = session(user)["refresh_token"]
    second = refresh(user, first).json()["refresh_token"]
    sandbox.faults(clock_offset=3_600)
    assert refresh(user, first).json()["refresh_token"] == second


def test_an_old_refresh_token_ends_the_whole_session(sandbox: Sandbox, user: Client) -> None:
    first = session(user)["refresh_token"]
    second = refresh(user, first).json()["refresh_token"]
    third = refresh(user, second).json()["refresh_token"]
    assert refresh(user, first).status_code == 200  # soon enough after its use
    sandbox.faults(clock_offset=11)
    refused = refresh(user, first)
    assert refused.status_code == 400
    assert refused.json()["error_code"] == "refresh_token_already_used"
    assert refresh(user, third).status_code == 400


def test_an_access_token_expires(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(access_token_seconds=60)
    found = session(user)
    assert get_user(user, found["access_token"]).status_code == 200
    sandbox.faults(clock_offset=61)
    assert get_user(user, found["access_token"]).json()["error_code"] == "bad_jwt"
    headers = {"Authorization": f"Bearer {found['access_token']}"}
    answer = user.rest("GET", "datasets", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "PGRST303")
    assert refresh(user, found["refresh_token"]).status_code == 200


def test_after_logout_the_session_cannot_be_refreshed(user: Client) -> None:
    found = session(user)
    headers = {
        "apikey": user.sandbox.anon_key,
        "Authorization": f"Bearer {found['access_token']}",
    }
    assert user.http.post("/auth/v1/logout", headers=headers).status_code == 204
    assert refresh(user, found["refresh_token"]).status_code == 400
    assert get_user(user, found["access_token"]).json()["error_code"] == "session_not_found"


def test_every_request_needs_one_of_the_project_keys(reader: Client) -> None:
    for headers in ({}, {"apikey": "sb_publishable_of_another_project"}):
        answer = reader.http.get("/rest/v1/datasets", headers=headers)
        assert answer.status_code == 401
        assert "message" in answer.json()


def test_a_key_is_refused_as_bearer_beside_another_key(reader: Client) -> None:
    keys = (reader.sandbox.anon_key, reader.sandbox.service_key)
    for key, bearer in (keys, keys[::-1]):
        headers = {"apikey": key, "Authorization": f"Bearer {bearer}"}
        answer = reader.http.get("/rest/v1/datasets", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "PGRST301")


def test_errors_come_in_the_version_that_is_asked_for(user: Client) -> None:
    headers = {"apikey": user.sandbox.anon_key}
    for asked, keys in (
        (None, {"code", "error_code", "msg"}),
        ("2023-01-01", {"code", "error_code", "msg"}),
        ("2024-01-01", {"code", "message"}),
        ("2026-05-05", {"code", "message"}),
        ("nonsense", {"code", "error_code", "msg"}),
    ):
        version = {} if asked is None else {"X-Supabase-Api-Version": asked}
        answer = user.http.get("/auth/v1/user", headers=headers | version)
        assert answer.status_code == 403
        assert answer.json().keys() == keys
        assert answer.headers["x-sb-error-code"] == "bad_jwt"


def test_a_token_signed_by_somebody_else_is_refused(reader: Client) -> None:
    head, body, signature = session(reader)["access_token"].split(".")
    forged = f"{head}.{body}.{signature[::-1]}"
    assert get_user(reader, forged).status_code == 403


def test_a_session_outlives_a_restart_on_the_same_directory(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Sandbox.start(state, models=1) as first, clients(first) as (user, *_):
        token = session(user)["refresh_token"]
    with Sandbox.start(state, models=1) as second, clients(second) as (user, *_):
        assert refresh(user, token).status_code == 200


def test_after_a_new_secret_old_sessions_are_forged_ones(sandbox: Sandbox, user: Client) -> None:
    old = session(user)
    sandbox.faults(session_secret="the secret after a rotation")
    headers = {"Authorization": f"Bearer {old['access_token']}"}
    assert user.rest("GET", "datasets", headers=headers).status_code == 401
    answer = user.storage("POST", "object/list/lora-models", headers=headers, json={"prefix": ""})
    assert answer.json()["message"] == "signature verification failed"
    renewed = refresh(user, old["refresh_token"]).json()
    headers = {"Authorization": f"Bearer {renewed['access_token']}"}
    assert user.rest("GET", "datasets", headers=headers).status_code == 200


def test_a_session_can_be_from_the_future(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(session_starts_after=60)
    headers = {"Authorization": f"Bearer {session(user)['access_token']}"}
    answer = user.rest("GET", "datasets", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "PGRST303")
    answer = user.storage("POST", "object/list/lora-models", headers=headers, json={"prefix": ""})
    assert answer.json()["message"] == '"nbf" claim timestamp check failed'
    sandbox.faults(clock_offset=61)
    assert user.rest("GET", "datasets", headers=headers).status_code == 200
