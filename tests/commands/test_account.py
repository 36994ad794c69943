"""The account commands and the environment of a sandbox, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run


def test_the_session_is_kept_private_and_ends_with_logout(
    configured: Sandbox, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("login").code == 0
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    assert run("whoami").out == f"{configured.email}\n"
    kept = [file for file in home.rglob("*") if file.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in kept} == {0o600}
    assert run("sync").code == 0
    assert run("logout", "--clear-cache").code == 0
    assert run("whoami").code == 4
    assert not list(home.rglob("*.sqlite3"))


def test_an_access_token_from_the_environment_is_enough(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    answer = httpx.post(
        f"{configured.url}/auth/v1/token",
        params={"grant_type": "password"},
        headers={"apikey": configured.anon_key},
        json={"email": configured.email, "password": configured.password},
    ).raise_for_status()
    monkeypatch.delenv("LORA_TUI_EMAIL")
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    monkeypatch.setenv("LORA_TUI_ACCESS_TOKEN", answer.json()["access_token"])
    assert run("sync").code == 0
    assert len(run("list", "--json").data["models"]) == 6
    monkeypatch.setenv("LORA_TUI_ACCESS_TOKEN", "not.a.token")
    assert run("list").code == 4


def test_an_expired_session_is_renewed_without_a_word(configured: Sandbox, run: Run) -> None:
    configured.faults(access_token_seconds=1)
    assert run("login").code == 0
    configured.clear_faults()
    ran = run("sync")
    assert ran.code == 0
    assert "expired" not in ran.err


def test_the_served_sandbox_tells_another_shell_how_to_reach_it(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "demo", "--serve-only", "--json", "--models", "6"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            text = ""
            while not text.endswith("}\n}\n"):
                text += server.stdout.readline()
            settings = json.loads(text)["data"]
            listed = subprocess.run(
                [sys.executable, "-m", "lora_tui", "sync", "--json"],
                env={**os.environ, **settings},
                capture_output=True,
                text=True,
                check=True,
            )
            assert json.loads(listed.stdout)["data"]["written"]["model_artifacts"] == 6
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
