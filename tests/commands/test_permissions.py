"""What lora-tui writes is the user's own: nobody else can read it, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture(autouse=True, params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_nobody_else_reads_configuration_sessions_cache_or_the_harvests_state(
    configured: Sandbox, run: Run, home: Path
) -> None:
    assert run("config", "set", "email", configured.email).code == 0
    assert run("config", "set", "password", configured.password).code == 0
    for command in (["login"], ["sync"], ["--harvest", "--once"], ["sync"], ["library"]):
        assert run(*command).code == 0, command
    model = run("list", "--json").data["models"][0]["id"]
    assert run("download", model).code == 0
    open_to_others = {
        str(path.relative_to(home)): oct(mode)
        for path in [home, *home.rglob("*")]
        if "downloads" not in path.parts and (mode := mode_of(path)) & 0o077
    }
    assert open_to_others == {}
    written = {path.relative_to(home).parts[0] for path in home.rglob("*") if path.is_file()}
    assert written == {"config.toml", "state", "cache", "downloads"}


def mode_of(path: Path) -> int:
    """Its permissions; none of a log of SQLite that a thread has just closed."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0
