"""Odd machines: no home directory, an output that is not UTF-8, numbers that are none."""

from __future__ import annotations

import io
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cli.run import main
from lora_tui.reports.exports import escape_formula
from lora_tui.sandbox import Sandbox
from tests.conftest import Run, set_environment
from tests.front import Front
from tests.seeded import short_curves

COMMANDS = ("list", "sync", "whoami", "library", "config path", "cache info", "doctor", "show x")


@pytest.fixture
def homeless(home: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A user id that has no entry in passwd, and no HOME."""

    def nobody(_uid: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("LORA_TUI_HOME")
    monkeypatch.setenv("SUPABASE_URL", "https://project.example")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "key")
    return monkeypatch


@pytest.mark.parametrize("given", [None, "", "relative"])
def test_without_a_home_the_variables_that_help_are_named(
    homeless: pytest.MonkeyPatch, run: Run, given: str | None
) -> None:
    if given is not None:
        homeless.setenv("HOME", given)
    for command in (*COMMANDS, "login", "download x", "--harvest --once", "demo --serve-only"):
        ran = run(*command.split())
        assert ran.code == 2, (command, ran)
        assert "HOME" in ran.err
        assert "LORA_TUI_HOME" in ran.err
        assert ran.err.count("\n") == 1


def test_without_a_home_lora_tui_home_is_enough(
    homeless: pytest.MonkeyPatch, run: Run, tmp_path: Path, configured: Sandbox
) -> None:
    homeless.setenv("LORA_TUI_HOME", str(tmp_path / "here"))
    homeless.delenv("LORA_TUI_NO_KEYRING")
    assert run("sync").code == 0
    assert run("list").code == 0
    homeless.setenv("LORA_TUI_HOME", "~/here")
    ran = run("list")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "LORA_TUI_HOME" in ran.err


def test_without_home_the_entry_in_passwd_counts(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = pwd.struct_passwd(("me", "x", 1, 1, "", str(tmp_path / "mine"), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)
    for name in ("HOME", "LORA_TUI_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert run("config", "path").out.startswith(str(tmp_path / "mine"))
    monkeypatch.setenv("HOME", "")
    assert run("config", "path").out.startswith(str(tmp_path / "mine"))


@pytest.mark.parametrize("given", ["a file", "a directory that may not be entered"])
def test_a_home_that_can_not_be_used_is_said_in_a_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str
) -> None:
    place = tmp_path / "home-of-mine"
    place.write_text("")
    if given != "a file":
        place.unlink()
        place.mkdir()
        real = os.stat

        def refusing(path: Any, *arguments: Any, **options: Any) -> Any:
            if str(path).startswith(f"{place}/"):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr(os, "stat", refusing)
        monkeypatch.setattr("pathlib.os.stat", refusing)
    monkeypatch.setenv("LORA_TUI_HOME", str(place))
    monkeypatch.setenv("SUPABASE_URL", "https://project.example")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "key")
    for command in COMMANDS:
        ran = run(*command.split())
        assert "unexpected" not in ran.err, (command, ran)
        assert "Traceback" not in ran.err


# An output that is not UTF-8


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with short_curves(), Sandbox.start(models=8, waiting_jobs=1) as sandbox:
        yield sandbox


@pytest.fixture
def synced(shared: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run) -> str:
    """The id of a model in a cache that is full."""
    set_environment(shared, monkeypatch)
    assert run("sync").code == 0
    return str(run("list", "--json", "--limit", "1").data["models"][0]["id"])


def printed(monkeypatch: pytest.MonkeyPatch, encoding: str, *arguments: str) -> tuple[bytes, bytes]:
    """What a command writes to streams of this encoding."""
    out, err = io.BytesIO(), io.BytesIO()
    with monkeypatch.context() as patch:
        streams = [io.TextIOWrapper(raw, encoding=encoding, errors="strict") for raw in (out, err)]
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        with suppress(SystemExit):  # --help
            assert main(list(arguments)) in (0, 7)
        for stream in streams:
            stream.flush()
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_an_output_that_is_not_utf8_gets_a_drawing_in_ascii(
    synced: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    for arguments in (
        ["list", "--limit", "99"],
        ["list", "--csv", "--limit", "99"],
        ["show", synced],
        ["report", synced],
        ["report", synced, "--format", "html"],
        ["doctor", "--offline"],
        ["--help"],
        ["list", "--help"],
    ):
        out, err = printed(monkeypatch, encoding, *arguments)
        text = out.decode(encoding) + err.decode(encoding)
        assert text
        assert not set(text) & set("★☆…→●○│─\N{REPLACEMENT CHARACTER}")
        if encoding == "ascii" and arguments[:2] == ["list", "--limit"]:
            assert "*****" in text


def test_a_locale_without_utf8_ends_no_command(synced: str, tmp_path: Path) -> None:
    """In a process of its own: there Python takes names of files for ASCII, too."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    place = os.fsencode(tmp_path) + b"/mod\xc3\xa8le"
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "lora_tui",
            "download",
            synced,
            "adapter_config.json",
            "--to",
            place,
        ],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran
    assert (ran.stdout + ran.stderr).isascii()
    assert (tmp_path / "modèle" / "adapter_config.json").is_file()


def test_an_argument_that_is_no_text_ends_in_a_line(synced: str, run: Run) -> None:
    for arguments in (
        ("show", "\udcff"),
        ("list", "--search", "\udcff"),
        ("list", "--dataset=\udcff"),
    ):
        ran = run(*arguments)
        assert ran.code in (0, 2, 3), ran
        assert "unexpected" not in ran.err
        (ran.out + ran.err).encode()


# Numbers that are none


def strict(text: str) -> Any:
    """JSON as other parsers take it."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("token", [b"NaN", b"-Infinity", b"1e999"])
def test_numbers_that_are_none_leave_json_json(
    shared: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path, token: bytes
) -> None:
    set_environment(shared, monkeypatch)
    number = re.compile(
        rb'"(final_training_loss|final_loss|total_cost|overall_score|training_loss|final_cost'
        rb'|learning_rate|lora_alpha|progress|training_duration_hours|perplexity|duration)":'
        rb'\s*(?:"[-0-9.e]+"|[-0-9.e]+)'
    )
    with Front(shared.url) as front:
        front.rewrite = lambda path, body: (
            number.sub(rb'"\1": ' + token, body) if path.startswith("/rest/v1/") else body
        )
        monkeypatch.setenv("SUPABASE_URL", front.url)
        assert run("sync").code == 0
        models = strict(run("list", "--json").out)["data"]["models"]
        for arguments in (
            ["list", "--sort", "loss", "--search", "a", "--json"],
            ["show", models[0]["id"], "--json"],
            ["compare", models[0]["id"], models[1]["id"], "--json"],
            ["report", models[0]["id"], "--json"],
            ["library", "--json"],
            ["cache", "info", "--json"],
        ):
            ran = run(*arguments)
            assert ran.code == 0, ran
            strict(ran.out)
        for line in run("list", "--jsonl").out.splitlines():
            strict(line)
        for line in run("--harvest", "--once", "--dry-run", "--json").out.splitlines():
            strict(line)


@pytest.mark.parametrize("before", ["", " ", "\u00a0", "\u3000", "\ufeff", "\u200b ", "\t"])
def test_no_text_is_a_formula_to_a_spreadsheet(before: str) -> None:
    for first in "=+-@\t\r\n＝＋－＠﹢﹣﹦﹫⁼₊−":
        assert escape_formula(f"{before}{first}cmd|' /C calc'!A0").startswith("'")
    assert escape_formula("a=1") == "a=1"
    assert escape_formula(-1.5) == -1.5
