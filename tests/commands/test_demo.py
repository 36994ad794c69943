"""The demo's models on the command line: while it runs, after it, and after it starts anew."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from lora_tui.config.demo import note_backend
from lora_tui.config.load import load_profile
from lora_tui.config.paths import find_paths
from lora_tui.errors import DiskError, ExitCode
from lora_tui.sandbox import Sandbox
from lora_tui.tui.sandbox_process import explained
from tests.conftest import Ran, Run

_BELIEVABLE = re.compile(r"[A-Z][\w ]+ - \d{4}-\d{2}-\d{2}", re.ASCII)


_NAMES = (
    *("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "GPU_CLUSTER_API_URL"),
    *("GPU_CLUSTER_API_KEY", "LORA_TUI_EMAIL", "LORA_TUI_PASSWORD"),
)
NUMBERS = json.dumps(dict.fromkeys(_NAMES, 1))
ELSEWHERE = json.dumps(dict.fromkeys(_NAMES, "https://elsewhere.example"))


@contextmanager
def serving(*options: str) -> Iterator[dict[str, str]]:
    """`lora-tui demo --serve-only`; yields the settings that it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "demo", "--serve-only", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ,
    ) as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, b"")
            text = b""
            for line in lines:
                text += line
                if line.startswith(b"}"):
                    break
            yield json.loads(text)["data"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def names(ran: Ran) -> list[str]:
    return [model["name"] for model in ran.data["models"]]


def test_the_demo_is_read_on_the_command_line_while_it_runs_and_after_it_ended(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")  # of another project
    monkeypatch.setenv("SUPABASE_ANON_KEY", "anon")

    def demo(*words: str) -> Ran:
        return run("--profile", "demo", *words)

    with serving("--models", "6") as settings:
        assert demo("sync").code == ExitCode.OK
        before = names(demo("list", "--json"))
        assert len(before) == 6
        assert demo("whoami", "--json").data["email"] == settings["LORA_TUI_EMAIL"]
        server = load_profile(name="demo").servers["demo"]
        assert server == {"url": settings["LORA_TUI_DEMO_SERVER"], "kind": "vllm"}
        with httpx.Client(trust_env=False, verify=False) as http:
            assert http.get(f"{server['url']}/health").status_code == 200
        assert demo("download", before[0]).code == ExitCode.OK

    after = demo("list", "--json")
    assert names(after) == before
    first, second = (model["id"] for model in after.data["models"][:2])
    assert demo("show", first).code == ExitCode.OK
    assert demo("compare", first, second).code == ExitCode.OK
    assert demo("report", first, "--output", str(tmp_path / "report.md")).code == ExitCode.OK
    assert before[0] in demo("library").out
    assert demo("whoami").out.strip() == settings["LORA_TUI_EMAIL"]


@pytest.mark.parametrize(
    "command", ["sync", "download x", "urls x", "--harvest --once", "login", "inspect x", "whoami"]
)
def test_what_needs_the_backend_of_a_demo_that_ended_says_so(run: Run, command: str) -> None:
    with Sandbox.start(models=0) as sandbox:
        note_backend(find_paths(), "demo", sandbox.environment())
    ran = run("--profile", "demo", *command.split())
    assert ran.code == ExitCode.UNREACHABLE
    assert "The demo is not running" in ran.err
    assert "Start `lora-tui demo` in another terminal" in ran.err


def test_doctor_names_the_demo_and_says_that_it_does_not_run(run: Run) -> None:
    with Sandbox.start(models=0) as sandbox:
        note_backend(find_paths(), "demo", sandbox.environment())
    ran = run("--profile", "demo", "doctor")
    assert ran.code == ExitCode.PARTLY_FAILED
    assert "profile demo from the demo" in ran.out
    assert ran.out.count("FAILED") == 1
    assert "The demo is not running" in ran.out


@pytest.mark.parametrize("profile", ["demo", "demo-hostile"])
@pytest.mark.parametrize("command", ["list", "show x", "whoami", "sync"])
def test_a_demo_that_never_ran_is_named(run: Run, profile: str, command: str) -> None:
    ran = run("--profile", profile, *command.split())
    assert ran.code == ExitCode.USAGE
    assert "The demo has not run here yet" in ran.err
    assert "Run `lora-tui demo" in ran.err


@pytest.mark.parametrize(
    "note",
    ["", "[]", "{}", NUMBERS, ELSEWHERE, "[" * 100_000, "\xff", None],
    ids=["empty", "list", "nothing", "numbers", "elsewhere", "nested", "no UTF-8", "directory"],
)
def test_a_damaged_note_of_the_backend_counts_as_none(
    run: Run, home: Path, note: str | None
) -> None:
    path = home / "state" / "demo" / "backend.json"
    if note is None:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True)
        path.write_text(note, encoding="latin-1")
    ran = run("--profile", "demo", "list")
    assert ran.code == ExitCode.USAGE
    assert "The demo has not run here yet" in ran.err


def test_a_profile_of_the_configuration_that_is_named_demo_comes_first(
    run: Run, home: Path
) -> None:
    home.mkdir()
    url = "https://project.example"
    (home / "config.toml").write_text(f'[profiles.demo]\nurl = "{url}"\nanon_key = "anon"\n')
    assert url in run("--profile", "demo", "doctor", "--offline").out


def test_a_table_of_the_demo_without_a_url_does_not_break_it(run: Run, home: Path) -> None:
    with serving("--models", "3"):
        (home / "config.toml").write_text('[profiles.demo]\nlimit_rate = "5M"\n')
        ran = run("--profile", "demo", "sync")
        assert ran.code == 0, ran.err
        assert "the demo does not use limit_rate" in ran.err


def test_a_reset_starts_with_new_data_and_leaves_other_profiles_alone(run: Run, home: Path) -> None:
    other = home / "cache" / "demo-two-0123abcd-0123456789ab.sqlite3"
    other.parent.mkdir(parents=True)
    other.touch()
    with serving("--models", "2"):
        assert run("--profile", "demo", "sync").code == ExitCode.OK
        first = run("--profile", "demo", "list", "--json").data["models"][0]["id"]
        assert run("--profile", "demo", "download", first).code == ExitCode.OK
    with serving("--models", "3", "--reset"):
        assert run("--profile", "demo", "list").code != ExitCode.OK
        assert run("--profile", "demo", "sync").code == ExitCode.OK
        assert len(names(run("--profile", "demo", "list", "--json"))) == 3
    assert other.exists()


@pytest.mark.slow
def test_a_second_demo_of_a_home_is_refused_and_harms_nothing(run: Run, home: Path) -> None:
    with serving():
        run("--profile", "demo", "sync")
        for options in ((), ("--reset",)):
            second = run("demo", "--serve-only", *options)
            assert second.code == ExitCode.UNEXPECTED
            assert "This demo is running already" in second.err
        assert len(names(run("--profile", "demo", "list", "--json"))) > 1
        assert run("--profile", "demo", "sync").code == ExitCode.OK


def test_suggested_commands_name_the_profile_that_was_named(run: Run, home: Path) -> None:
    note_backend(find_paths(), "demo", dict.fromkeys(_NAMES, "http://127.0.0.1:9"))
    refused = run("--profile", "demo", "list")
    assert "`lora-tui --profile demo " in refused.err
    assert not re.search(r"`lora-tui (?!--profile demo )", refused.err)
    offline = run("--profile", "demo", "--offline", "sync")
    assert "Start `lora-tui demo`" in offline.err


def test_the_names_of_the_demo_are_believable_and_the_hostile_ones_have_a_demo_of_their_own(
    run: Run,
) -> None:
    found = []
    for profile, flags in (("demo-hostile", ["--hostile"]), ("demo", [])):
        with serving("--models", "28", *flags):
            assert run("--profile", profile, "sync").code == ExitCode.OK
        found.append(names(run("--profile", profile, "list", "--json", "--limit", "99")))
    hostile, believable = found
    assert len(hostile) == len(believable) == 28
    assert all(_BELIEVABLE.fullmatch(name) for name in believable)
    assert sum(_BELIEVABLE.fullmatch(name) is None for name in hostile) == 8


def test_a_full_disk_asks_for_space_and_not_for_new_data(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(DiskError, match="the disk is full") as raised, explained(tmp_path):
            db.execute("CREATE TABLE larger_than_the_disk (id)")
    remedy = raised.value.remedy or ""
    assert "free some space" in remedy
    assert "--reset" not in remedy
    with pytest.raises(DiskError, match="the disk is full") as raised, explained(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "free some space" in (raised.value.remedy or "")
