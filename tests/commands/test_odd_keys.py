"""Keys that can't be sent are refused when they are read, and are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_tui.account.login import Login, check_project
from lora_tui.cli.run import main
from lora_tui.config.load import load_profile
from lora_tui.errors import ConfigError, UnreachableError
from lora_tui.gateway.http import build_client
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.conftest import Run

ODD = ("sb_secret_PART1\nPART2", "eyJh.PART1\r\n PART2.c2ln", "PART1\x00PART2", "PART1ä☃PART2")
VARIABLES = (
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "GPU_CLUSTER_API_KEY",
    "LORA_TUI_ACCESS_TOKEN",
)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_key_that_no_header_can_hold_is_refused_by_name_and_never_shown(
    variable: str, configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number, value in enumerate(ODD):
        if "\0" in value:
            monkeypatch.delenv(variable, raising=False)
            file = tmp_path / str(number)
            file.write_text(value + "\n")
            monkeypatch.setenv(f"{variable}_FILE", str(file))
        else:
            monkeypatch.setenv(variable, value)
        for command in (["list"], ["sync"], ["doctor", "--json"], ["doctor"]):
            ran = run(*command)
            assert "PART" not in ran.out + ran.err
            assert variable in ran.out + ran.err
            assert ran.code == (7 if command[0] == "doctor" else 2)


def test_a_key_may_stand_between_blank_lines(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_ANON_KEY", f"\n {configured.anon_key}\r\n")
    assert run("sync").code == 0


def test_a_key_of_the_file_that_no_header_can_hold_is_refused_by_name(run: Run, home: Path) -> None:
    home.mkdir()
    text = '[profiles.default]\nurl = "https://x.example"\nanon_key = "PART1\\nPART2"\n'
    (home / "config.toml").write_text(text)
    ran = run("sync")
    assert ran.code == 2
    assert "anon_key of profile default" in ran.err
    assert "PART" not in ran.err
    assert main(["config", "set", "gpu_key", "PART1☃"]) == 2


def test_an_error_of_the_http_library_never_quotes_a_header(small_sandbox: Sandbox) -> None:
    with (
        build_client(small_sandbox.url, headers={"apikey": "PART1\nPART2"}) as client,
        pytest.raises(UnreachableError) as raised,
    ):
        client.get("/rest/v1/")
    assert raised.value.details == "LocalProtocolError"


def test_a_form_checks_its_values_like_settings(configured: Sandbox) -> None:
    with pytest.raises(ConfigError, match="public key") as key:
        check_project(configured.url, "PART1☃PART2")
    with pytest.raises(ConfigError, match="access token") as token:
        Login(load_profile()).with_token(Secret("PART1☃.PART2.x"))
    assert "PART" not in f"{key.value} {key.value.details} {token.value} {token.value.details}"
