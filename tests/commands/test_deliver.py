"""`sync`, `download`, `urls` and the account commands, from the line that a user types."""

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

from lora_tui.domain import Model
from lora_tui.sandbox import Sandbox
from lora_tui.transfers.download import choose_files
from tests.conftest import Run


def whole_model(run: Run) -> str:
    for model in run("list", "--json", "--sort", "quality").data["models"]:
        if len(model["artifacts"]) == 6:
            return str(model["id"])
    raise AssertionError("the sandbox has no whole model")


def test_a_download_prints_where_the_files_are(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    ran = run("download", model[:8], "--to", str(tmp_path / "here"))
    assert ran.code == 0
    assert ran.out == f"{tmp_path / 'here'}\n"
    assert ran.err.count("verified") == 6
    json.loads((tmp_path / "here" / "adapter_config.json").read_text())


def test_one_file_by_name(configured: Sandbox, run: Run, tmp_path: Path) -> None:
    run("sync")
    directory = tmp_path / "one"
    run("download", whole_model(run), "adapter_config.json", "--to", str(directory))
    assert {file.name for file in directory.iterdir()} == {"adapter_config.json", "lora-tui.json"}


def test_a_pattern_means_the_files_that_fit_it(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    every = set(run("show", model, "--json").data["artifacts"])
    wanted = {name for name in every if name.endswith(".json")}
    assert 1 < len(wanted) < len(every)
    ran = run("download", model, "*.json", "tokenizer*", "--to", str(tmp_path / "x"), "--json")
    assert set(ran.data["files"]) == wanted
    assert set(run("urls", model, "*.json", "--json").data["download_urls"]) == wanted
    for command in ("download", "urls"):
        ran = run(command, model, "*.gguf", "--json")
        assert ran.code == 3
        assert all(name in ran.error["details"] for name in every)
        assert run(command, model, "[").code == 3


def test_a_file_that_is_called_like_a_pattern_is_meant_itself() -> None:
    names = ["*.json", "a.json", "b[1].bin", "b1.bin"]
    model = Model.from_row({"id": "m", "artifacts": {name: f"u/m/{name}" for name in names}})
    assert [file.name for file in choose_files(model, ["*.json"])] == ["*.json"]
    assert [file.name for file in choose_files(model, ["b[1].bin"])] == ["b[1].bin"]
    assert [file.name for file in choose_files(model, ["?.json"])] == ["*.json", "a.json"]
    assert [file.name for file in choose_files(model, ["b[0-9]*"])] == ["b1.bin"]


def test_a_directory_that_can_not_be_made_is_explained(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    (tmp_path / "file").touch()
    ran = run("download", whole_model(run), "--to", str(tmp_path / "file" / "below"))
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("lora-tui: ")
    assert "Traceback" not in ran.err


def test_urls_can_be_fetched_by_anyone_who_has_them(configured: Sandbox, run: Run) -> None:
    run("sync")
    data = run("urls", whole_model(run), "--json").data
    assert data["expires_in_seconds"] == 3600
    assert len(data["download_urls"]) == 6
    with httpx.Client() as client:
        config = client.get(data["download_urls"]["adapter_config.json"]).raise_for_status()
    assert config.json()["peft_type"] == "LORA"


def test_sync_says_what_it_wrote(configured: Sandbox, run: Run) -> None:
    data = run("sync", "--json").data
    assert data["written"]["model_artifacts"] == 6
    assert run("sync", "--json").data["written"]["model_artifacts"] == 0


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
        assert server.wait(20) == 0


def test_links_for_some_of_the_files_are_half_a_success(configured: Sandbox, run: Run) -> None:
    run("sync")
    model = whole_model(run)
    path = run("show", model, "--json").data["artifacts"]["tokenizer.json"]
    httpx.request(
        "DELETE",
        f"{configured.url}/storage/v1/object/lora-models",
        headers={"apikey": configured.service_key},
        json={"prefixes": [path]},
    ).raise_for_status()
    ran = run("urls", model, "--json")
    assert ran.code == 7
    assert len(ran.data["download_urls"]) == 5
    assert "tokenizer.json" in ran.err
