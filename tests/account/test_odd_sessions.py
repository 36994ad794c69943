"""Stored sessions, tokens and login answers of unexpected shapes."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.front import Front

USER = "11111111-2222-4333-8444-555555555555"
DEEP = "[" * 100_000


def token(payload: object) -> str:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return f"e30.{base64.urlsafe_b64encode(text.encode()).decode().rstrip('=')}.c2ln"


def account(user_id: object) -> dict[str, object]:
    """An account as Auth describes it."""
    return {
        "id": user_id,
        "aud": "authenticated",
        "email": "a@b.example",
        "app_metadata": {},
        "user_metadata": {},
        "created_at": "2026-11-23T09:16:55.59Z",
    }


def stored_in(home: Path) -> Path:
    [file] = (home / "state" / "sessions").glob("*.json")
    return file


def directory(path: Path) -> None:
    path.mkdir()
    (path / "kept").write_text("mine")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a pipe": os.mkfifo,
    "an empty directory": Path.mkdir,
    "a directory": directory,
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to(path.parent / "nothing"),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "deep JSON": lambda path: path.write_text(DEEP),
    "deep values": lambda path: path.write_text('{"user_id": ' + DEEP),
    "no JSON": lambda path: path.write_bytes(b"\xff\xfe\x00{"),
    "a large file": lambda path: path.write_text('{"a": "' + "x" * 5_000_000 + '"}'),
}


def without_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORA_TUI_EMAIL")
    monkeypatch.delenv("LORA_TUI_PASSWORD")


def test_anything_but_a_session_file_counts_as_no_session(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    file = stored_in(home)
    for kind, make in DAMAGE.items():
        file.unlink()
        make(file)
        with monkeypatch.context() as patch:
            without_password(patch)
            for command in (["whoami"], ["list"], ["list", "--json"], ["sync"]):
                ran = run(*command)
                assert ran.code == 4, (kind, ran)
                assert "Nobody is signed in" in ran.out + ran.err
            assert run("logout").code == 0, kind
            assert not os.path.lexists(file)
            assert run("logout").code == 4
        make(file)
        assert run("login").code == 0, kind
        assert run("list").code == 0
    assert len(list(file.parent.rglob("kept"))) == 2  # what is somebody's own is not removed


@pytest.mark.parametrize("kind", ["a pipe", "a link to itself", "a directory", "deep JSON"])
def test_doctor_and_cache_clear_need_no_session(
    kind: str, configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    file = stored_in(home)
    file.unlink()
    DAMAGE[kind](file)
    without_password(monkeypatch)
    verdicts = {
        check["check"]: check["verdict"] for check in run("doctor", "--json").data["checks"]
    }
    assert verdicts["session"] == verdicts["auth"] == "failed"
    assert verdicts["network"] == verdicts["worker"] == "ok"
    assert run("cache", "clear").err == "The cache was removed.\n"


FIELDS: dict[str, dict[str, object]] = {
    "a number": {"access_token": 5, "refresh_token": 7},
    "null": {"access_token": None},
    "no ASCII": {"access_token": "☃"},
    "two lines": {"access_token": "a\r\nX: b"},
    "empty": {"access_token": ""},
    "a project key": {"access_token": "sb_x"},
    "long": {"access_token": "a" * 100_000},
    "an odd refresh token": {"refresh_token": "☃"},
    "a long user": {"user_id": "a" * 100_000},
    "an odd user": {"user_id": "\x1b[31m\ud800"},
    "no user": {"user_id": [USER]},
    "another user": {"user_id": USER},
    "no time": {"expires_at": "never"},
    "a number as time": {"expires_at": 5},
}


def test_a_stored_session_with_a_damaged_value_counts_as_none(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sync").code == 0
    file = stored_in(home)
    sound = json.loads(file.read_text())
    without_password(monkeypatch)
    for kind, changed in FIELDS.items():
        file.write_text(json.dumps(sound | changed))
        for command in ("whoami", "list", "sync"):
            ran = run(command)
            assert (ran.code, "Nobody is signed in" in ran.err) == (4, True), (kind, command, ran)
        assert run("logout").code == 0
        assert not file.exists()
    file.write_text(json.dumps(sound))
    assert run("sync").code == 0


ANSWERS: dict[str, dict[str, object]] = {
    **{
        kind: changed
        for kind, changed in FIELDS.items()
        if not {"user_id", "expires_at"} & changed.keys()
    },
    "a long user": {"user": account("a" * 100_000)},
    "an odd user": {"user": account("\x1b[31m")},
    "half a character as user": {"user": account("\ud800")},
    "no user": {"user": [USER]},
    "a number as user": {"user": account(5)},
    "another user": {"user": account(USER[::-1])},
    "no time": {"expires_in": "soon", "access_token": token({"sub": USER})},
    "no time at all": {"expires_in": None, "access_token": "x.y.z"},
    "a deep token": {"expires_in": [], "access_token": token(DEEP)[:60_000]},
}


def test_a_login_answer_of_an_odd_shape_holds_no_session_and_is_not_stored(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {
        "access_token": token({"sub": USER, "exp": 4e9}),
        "refresh_token": "r",
        "expires_in": 3600,
        "user": account(USER),
    }
    with Front(configured.url) as front:
        monkeypatch.setenv("SUPABASE_URL", front.url)
        for kind, changed in ANSWERS.items():
            front.rules.clear()
            front.say("/auth/v1/token", 200, answer | changed)
            ran = run("login")
            assert ran.code == 1, kind
            assert "Could not sign in: the answer holds no session" in ran.err
    assert not list(home.rglob("*.json"))


def test_a_login_answer_may_give_its_time_as_text(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rewrite(path: str, body: bytes) -> bytes:
        if not path.startswith("/auth/v1/token"):
            return body
        return json.dumps(json.loads(body) | {"expires_in": "3600"}).encode()

    with Front(configured.url, rewrite=rewrite) as front:
        monkeypatch.setenv("SUPABASE_URL", front.url)
        assert run("login").code == 0
        assert run("sync").code == 0


def test_logout_deletes_the_session_whatever_the_server_answers(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Front(configured.url) as front:
        monkeypatch.setenv("SUPABASE_URL", front.url)
        for status in (200, 401, 500):
            front.rules.clear()
            assert run("login").code == 0
            front.say("/auth/v1/logout", status, DEEP.encode())
            assert run("logout").code == 0
            assert not list(home.rglob("*.json"))


TOKENS = (
    "xx",
    "a..c",
    token(DEEP)[:60_000],
    token({"sub": USER, "exp": "x"}),
    token({"sub": USER, "exp": True}),
    token({"sub": "a" * 10_000, "exp": 4e9}),
    token({"sub": "\x1b[31m☃", "exp": 4e9}),
    token('{"sub": "u", "exp": 1e999}'),
)


def test_an_invalid_token_is_reported_in_a_sentence_and_doctor_continues(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in TOKENS:
        monkeypatch.setenv("LORA_TUI_ACCESS_TOKEN", given)
        for command in ("whoami", "list", "sync"):
            ran = run(command)
            assert ran.code == 4
            assert "LORA_TUI_ACCESS_TOKEN is not an access token" in ran.err
    monkeypatch.setenv("LORA_TUI_ACCESS_TOKEN", TOKENS[2])
    verdicts = {c["check"]: c["verdict"] for c in run("doctor", "--json").data["checks"]}
    assert verdicts["session"] == verdicts["auth"] == "failed"
    assert verdicts["network"] == verdicts["worker"] == "ok"
