"""Where values come from: files and pipes that NAME_FILE names, and the source that errors name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lora_tui.config import table, text_file
from lora_tui.config.load import load_preferences, load_profile
from lora_tui.errors import ConfigError
from lora_tui.sandbox import Sandbox
from tests.conftest import Run

KEYS = {"SUPABASE_URL": "https://project.example", "SUPABASE_ANON_KEY": "sb_publishable_x"}


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For pipes that nobody writes to; the others are waited for as long as a user waits."""
    monkeypatch.setattr(text_file, "UNOPENED_PIPE_SECONDS", 0.1)
    monkeypatch.setattr(text_file, "PIPE_SECONDS", 0.2)


def pipe(directory: Path) -> Path:
    path = directory / "pipe"
    os.mkfifo(path)
    return path


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def password_of(directory: Path, file: Path | str) -> str | None:
    environment = {
        **KEYS,
        "LORA_TUI_HOME": str(directory / "home"),
        "LORA_TUI_PASSWORD_FILE": str(file),
    }
    password = load_profile(environment=environment).password
    return None if password is None else password.reveal()


def test_a_pipe_with_a_writer_is_read_once_for_all_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "UNOPENED_PIPE_SECONDS", 60.0)
    path = pipe(tmp_path)
    writer = in_thread(lambda: path.write_text("hunter2-hunter2\n"))
    assert password_of(tmp_path, path) == "hunter2-hunter2"
    assert password_of(tmp_path, path) == "hunter2-hunter2"
    writer.join()


def test_a_pipe_whose_writer_has_ended_is_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"hunter2-hunter2\n")
    os.close(writer)
    assert password_of(tmp_path, f"/dev/fd/{reader}") == "hunter2-hunter2"
    os.close(reader)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("case", ["no writer", "silent writer", "directory", "zero", "large"])
def test_anything_else_is_one_line_that_names_variable_and_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    descriptor = None
    file = tmp_path / "file"
    if case in ("no writer", "silent writer"):
        file = pipe(tmp_path)
        if case == "silent writer":
            descriptor = os.open(file, os.O_RDWR)
    elif case == "directory":
        file.mkdir()
    elif case == "zero":
        file = Path("/dev/zero")
    else:
        file.write_bytes(b"a" * (2 << 20))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LORA_TUI_PASSWORD_FILE", str(file))
    ran = run("list")
    assert ran.code == 2
    assert ran.err.startswith("lora-tui: LORA_TUI_PASSWORD_FILE can't be read: ")
    assert {
        "no writer": "no program has written it to this pipe within 0.1 s",
        "silent writer": "no program has written it to this pipe within 0.2 s",
        "directory": "there is a directory of that name",
        "zero": "it is neither a file nor a pipe",
        "large": "it is larger than 1 MiB",
    }[case] in ran.err
    assert str(file) in ran.err
    assert ran.err.count("\n") == 1
    if descriptor is not None:
        os.close(descriptor)


def test_an_empty_device_sets_nothing(tmp_path: Path) -> None:
    assert password_of(tmp_path, os.devnull) is None


@pytest.mark.usefixtures("impatience")
def test_a_configuration_file_may_be_a_pipe_too(tmp_path: Path) -> None:
    path = pipe(tmp_path)
    with pytest.raises(ConfigError, match="The configuration file can't be read: no program"):
        load_preferences(path, {})


def test_process_substitution_of_a_shell_works(configured: Sandbox, home: Path) -> None:
    password = os.environ.pop("LORA_TUI_PASSWORD")
    script = f"LORA_TUI_PASSWORD_FILE=<(echo {password}) {sys.executable} -m lora_tui whoami --json"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["data"]["email"] == configured.email


BAD = {
    "url": ("ftp://x", "is not a URL"),
    "anon_key": ("two\nlines", "can't be a key"),
    "access_token": ("not-a-token", "is not an access token"),
    "limit_rate": ("fast", "is not a rate"),
    "gpu_url": ("ftp://x", "is not a URL"),
}


@pytest.mark.parametrize("source", ["variable", "file of a variable", "configuration file"])
@pytest.mark.parametrize("field", BAD)
def test_an_error_names_the_source_of_the_value(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, source: str
) -> None:
    value, sentence = BAD[field]
    variable = table.setting_of(field).variable
    for name, good in KEYS.items():
        if name != variable:
            monkeypatch.setenv(name, good)
    file = tmp_path / "value"
    if source == "variable":
        monkeypatch.setenv(variable, value)
        expected = variable
    elif source == "file of a variable":
        file.write_text(value)
        monkeypatch.setenv(f"{variable}_FILE", str(file))
        expected = f"{variable}_FILE ({file})"
    else:
        home.mkdir()
        written = json.dumps(value)
        (home / "config.toml").write_text(f"[profiles.default]\n{field} = {written}\n")
        if field == "url":
            monkeypatch.setenv("LORA_TUI_PROFILE", "default")
        expected = f"{field} of profile default"
    ran = run("whoami")
    assert ran.code in (2, 4)
    assert ran.err.startswith(f"lora-tui: {expected} {sentence}"), ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("source", ["variable", "file of a variable", "configuration file"])
def test_a_wrong_password_names_where_it_and_the_e_mail_address_are_set(
    configured: Sandbox,
    run: Run,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    file = tmp_path / "value"
    if source == "variable":
        monkeypatch.setenv("LORA_TUI_PASSWORD", "wr0ng-and-secret")
        expected = "LORA_TUI_PASSWORD"
    elif source == "file of a variable":
        file.write_text("wr0ng-and-secret")
        monkeypatch.setenv("LORA_TUI_PASSWORD_FILE", str(file))
        expected = f"LORA_TUI_PASSWORD_FILE ({file})"
    else:
        home.mkdir()
        (home / "config.toml").write_text('[profiles.default]\npassword = "wr0ng-and-secret"\n')
        expected = "password of profile default"
    for words in (("whoami",), ("sync",), ("login",)):
        ran = run(*words)
        assert ran.code == 4
        assert f"Check LORA_TUI_EMAIL and {expected}." in ran.err
        assert "wr0ng-and-secret" not in ran.err
