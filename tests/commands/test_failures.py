"""What goes wrong ends in one clear line with a remedy, and in the designed exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lora_tui.account.sessions import load_session
from lora_tui.config.table import Profile
from lora_tui.sandbox import Sandbox
from tests.conftest import Ran, Run


def assert_one_line(ran: Ran, code: int) -> None:
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.startswith("lora-tui: ")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_nothing_configured(run: Run) -> None:
    ran = run("list")
    assert_one_line(ran, 2)
    assert "lora-tui demo" in ran.err


def test_a_wrong_option(run: Run) -> None:
    assert_one_line(run("list", "--sort", "luck"), 2)
    assert_one_line(run("list", "--page", "0"), 2)
    assert_one_line(run("frobnicate"), 2)
    assert_one_line(run("lst"), 2)
    assert "did you mean `lora-tui list`?" in run("--json", "lst").out.replace("Did", "did")
    assert_one_line(run("--once", "--limit=2"), 2)
    assert "--harvest" in run("--once").err
    assert_one_line(run("--harvest", "list"), 2)


def test_a_quality_that_does_not_exist(configured: Sandbox, run: Run) -> None:
    run("login")
    assert_one_line(run("list", "--quality", "superb"), 2)


def test_an_unknown_model(configured: Sandbox, run: Run) -> None:
    run("sync")
    ran = run("show", "nosuchmodel")
    assert_one_line(ran, 3)
    assert "Model not found or access denied" in ran.err
    assert run("show", "nosuchmodel", "--json").error["error"] == "Model not found or access denied"


def test_another_users_model_looks_like_a_missing_one(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("sync")
    mine = run("list", "--json").data["models"][0]["id"]
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("LORA_TUI_EMAIL", configured.other_email)
    monkeypatch.setenv("LORA_TUI_PASSWORD", configured.other_password)
    run("sync")
    assert_one_line(run("show", mine), 3)
    assert_one_line(run("download", mine), 3)


def test_an_ambiguous_model_names_the_candidates(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import set_environment

    with Sandbox.start(hostile=True) as sandbox:
        set_environment(sandbox, monkeypatch)
        run("sync")
        beginnings = [
            model["id"][0] for model in run("list", "--json", "--limit", "99").data["models"]
        ]
        shared = next(letter for letter in beginnings if beginnings.count(letter) > 1)
        ran = run("show", shared)
    assert_one_line(ran, 2)
    assert "models match" in ran.err


def test_nobody_signed_in(configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    for command in ("list", "sync", "whoami"):
        ran = run(command)
        assert_one_line(ran, 4)
        assert "lora-tui login" in ran.err


def test_a_wrong_password(configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_PASSWORD", "wr0ng-and-secret")
    ran = run("login")
    assert_one_line(ran, 4)
    assert "wr0ng-and-secret" not in ran.err


def test_a_backend_that_is_down(configured: Sandbox, run: Run) -> None:
    configured.stop()
    assert_one_line(run("login"), 5)


def test_a_host_name_that_does_not_exist(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://nowhere.invalid")
    assert_one_line(run("login"), 5)


def test_a_damaged_cache_file(configured: Sandbox, run: Run, profile: Profile) -> None:
    run("sync")
    session = load_session(profile)
    assert session is not None
    path = profile.cache_path(session.user_id)
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)
    path.write_bytes(b"\x00garbage" * 4096)
    ran = run("list")
    assert_one_line(ran, 1)
    assert "damaged-1" in ran.err
    assert "lora-tui sync" in ran.err
    assert run("sync").code == 0
    assert len(run("list", "--json").data["models"]) == 6


def test_offline_forbids_the_network_and_says_so(configured: Sandbox, run: Run) -> None:
    run("login")
    before = len(configured.requests())
    assert_one_line(run("--offline", "sync"), 5)
    assert len(configured.requests()) == before


def test_the_application_without_a_terminal(configured: Sandbox, run: Run) -> None:
    assert_one_line(run(), 2)
    assert_one_line(run("demo"), 2)


def test_a_reader_that_has_seen_enough_is_no_error(configured: Sandbox, run: Run) -> None:
    run("sync")
    command = f"{sys.executable} -m lora_tui list --json --limit 99 | head -c 10"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_behind_stdout_is_one_line(configured: Sandbox, run: Run) -> None:
    run("sync")
    for words in ("list", "list --search a", "schema"):
        command = f"{sys.executable} -m lora_tui {words} >/dev/full"
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        said = "lora-tui: The output can't be written: No space left on device.\n"
        assert ended.returncode == 1, words
        assert said in ended.stderr
        assert "unexpected" not in ended.stderr


def test_closed_streams_are_no_error_and_talk_never_becomes_data(
    configured: Sandbox, run: Run
) -> None:
    run("sync")
    for closed, said in ((">&-", ""), ("2>&-", "out"), ("<&-", "out")):
        command = f"{sys.executable} -m lora_tui list --csv {closed}"
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, ""), closed
        assert len(ended.stdout.splitlines()) == (7 if said else 0)
    command = f"{sys.executable} -m lora_tui list --limit 0 2>&-"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize("planted", ["password", "service_key", "gpu_key"])
def test_secrets_are_masked_in_what_config_shows(
    configured: Sandbox, run: Run, planted: str
) -> None:
    secret = getattr(configured, planted)
    for flags in ((), ("--json",)):
        shown = run("config", "show", *flags)
        assert shown.code == 0
        assert secret not in shown.out + shown.err
