"""Odd configuration files and values: one line that names the source, and the same everywhere."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run

PROJECT = '[profiles.default]\nurl = "https://one.example"\nanon_key = "sb_publishable_x"\n'


def write(home: Path, text: str, encoding: str = "utf-8") -> Path:
    home.mkdir(exist_ok=True)
    path = home / "config.toml"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 20_000,
        "a = " + "9" * 5_000,
        PROJECT + "limit_rate = 0x" + "f" * 5_000,
        PROJECT + "parallel_downloads = 0x" + "f" * 5_000,
        "[keys]\n" + ".".join("a" * 3_000) + " = 1\n",
        PROJECT + 'limit_rate = "' + "9" * 400 + '"',
    ],
    ids=["deep", "long number", "hexadecimal rate", "hexadecimal count", "deep keys", "large rate"],
)
def test_an_odd_file_is_refused_in_one_line(run: Run, home: Path, text: str) -> None:
    path = write(home, text)
    for words in (("config", "show"), ("config", "set", "email", "me@example.com")):
        ran = run(*words)
        assert ran.code == 2 or (words[1] == "set" and ran.code == 0), ran
        assert "unexpected" not in ran.err
        assert ran.err.count("\n") == 1
    if "a = " in text[:4]:
        assert str(path) in run("config", "show").err


def test_a_byte_order_mark_is_no_part_of_a_file_or_a_secret(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(home, PROJECT, "utf-8-sig")
    assert run("config", "show").code == 0
    assert run("config", "set", "email", "me@example.com").code == 0
    assert 'email = "me@example.com"' in path.read_text()
    secret = tmp_path / "key"
    secret.write_text("sb_publishable_y\n", encoding="utf-8-sig")
    monkeypatch.setenv("SUPABASE_ANON_KEY_FILE", str(secret))
    assert run("config", "show").code == 0


@pytest.mark.parametrize("words", [("password", "-"), ("password",), ("email", "-")])
@pytest.mark.parametrize("typed", ["", "\n", "  \n"])
def test_an_empty_value_on_stdin_removes_nothing(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], typed: str
) -> None:
    path = write(home, PROJECT + 'email = "me@example.com"\npassword = "hunter2-hunter2"\n')
    before = path.read_text()
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    ran = run("config", "set", *words)
    assert ran.code == 2
    assert "''" in ran.err
    assert path.read_text() == before


@pytest.mark.parametrize("value", ["a\\nb", "a\\u0000b", "a\\u2028b", "a\\u00a0b"])
@pytest.mark.parametrize("key", ["email", "password"])
def test_the_file_and_config_set_take_the_same_values(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    write(home, PROJECT)
    plain = value.encode().decode("unicode_escape")
    by_command = run("config", "set", key, plain).code
    write(home, f'{PROJECT}{key} = "{value}"\n')
    assert run("config", "show").code == by_command
    assert by_command == (0 if value == "a\\u00a0b" else 2)


@pytest.mark.parametrize(
    ("words", "variable", "value", "named"),
    [
        (("config", "show"), "SUPABASE_URL", "https://me:secret@one.example", "SUPABASE_URL"),
        (("config", "show"), "LORA_TUI_EMAIL", "a\nb", "LORA_TUI_EMAIL"),
        (("config", "show"), "SUPABASE_ANON_KEY_FILE", "latin-1", "SUPABASE_ANON_KEY_FILE"),
        (("config", "show"), "LORA_TUI_PROFILE", "a/b", "LORA_TUI_PROFILE"),
        (("config", "set", "email", "a\nb"), "", "", "email"),
        (("config", "set", "url", "https://me:secret@one.example"), "", "", "url"),
    ],
)
def test_a_value_that_is_in_no_file_is_not_looked_for_in_one(
    run: Run,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    variable: str,
    value: str,
    named: str,
) -> None:
    write(home, PROJECT)
    if value == "latin-1":
        file = tmp_path / "key"
        file.write_bytes(b"\xff\xfe")
        value = str(file)
    if variable:
        monkeypatch.setenv(variable, value)
    ran = run(*words)
    assert ran.code == 2
    assert named in ran.err
    assert "config path" not in ran.err


@pytest.mark.parametrize("words", [("list",), ("config", "show"), ("config", "set", "email", "x")])
def test_an_empty_profile_name_is_not_the_default(
    run: Run, home: Path, words: tuple[str, ...]
) -> None:
    write(home, PROJECT)
    ran = run(*words, "--profile", "")
    assert ran.code == 2
    assert "--profile" in ran.err


@pytest.mark.parametrize("variable", ["LORA_TUI_HOME", "HOME"])
def test_a_home_whose_name_is_not_utf_8_is_one_clear_line(tmp_path: Path, variable: str) -> None:
    home = os.fsencode(tmp_path) + b"/h\xff"
    kept = {
        name: value
        for name, value in os.environb.items()
        if not name.startswith((b"XDG_", b"LORA_TUI_"))
    }
    ran = subprocess.run(
        [sys.executable, "-m", "lora_tui", "list"],
        env={**kept, variable.encode(): home, b"SUPABASE_URL": b"https://one.example"},
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 2
    assert b"not UTF-8" in ran.stderr
    assert b"LORA_TUI_HOME to a directory" in ran.stderr
    assert b"damaged" not in ran.stderr
    assert ran.stderr.count(b"\n") == 1
