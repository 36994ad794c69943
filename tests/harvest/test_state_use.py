"""Several harvesters with one home: of one machine, one service among them; others are told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lora_tui import cli
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.engine.harvest import BackgroundHarvest
from lora_tui.errors import InUseError
from lora_tui.harvest.ledger import ledger_path, presence_directory
from lora_tui.harvest.state_use import using_state
from lora_tui.locks.presence import Presence
from lora_tui.processes import new_identity

_ENVIRONMENT = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_ANON_KEY": "sb_publishable_x",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x",
    "GPU_CLUSTER_API_URL": "http://127.0.0.1:9/v2/x",
    "GPU_CLUSTER_API_KEY": "x",
}


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Of the commands that this process runs; nobody answers at its addresses."""
    for name, value in _ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return load_profile()


@pytest.fixture
def on_another_machine(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> Iterator[Presence]:
    """The presence of a harvester that shares the home over the network."""
    with monkeypatch.context() as patch:
        patch.setattr("lora_tui.processes.read_machine", lambda: "aaaaaaaaaaaa-1-")
        patch.setattr("lora_tui.processes.host_name", lambda: "pod-2")
        presence = Presence(presence_directory(ledger_path(profile)), new_identity())
    yield presence
    with suppress(OSError):
        presence.close()


@pytest.mark.parametrize("options", [(), ("--once",)], ids=["service", "once"])
def test_a_home_in_use_on_another_machine_is_refused_with_its_name_and_process(
    on_another_machine: Presence, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--harvest", *options]) == 1
    said = capsys.readouterr().err
    assert f"process {os.getpid()} on pod-2" in said
    assert "its own LORA_TUI_HOME" in said
    assert said.count("\n") == 1


def test_the_harvest_of_an_application_is_refused_such_a_home_too(
    profile: Profile, on_another_machine: Presence
) -> None:
    background = BackgroundHarvest(profile, lambda _name, _state: None)
    with pytest.raises(InUseError):
        background.start()


def test_a_home_is_free_when_the_harvester_of_the_other_machine_has_ended(
    profile: Profile, on_another_machine: Presence
) -> None:
    on_another_machine.close()
    with using_state(profile, service=True):
        pass


def test_a_second_service_on_one_home_is_refused_and_one_cycle_beside_it_is_not(
    profile: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    with using_state(profile, service=True):
        assert cli.main(["--harvest"]) == 1
        said = capsys.readouterr().err
        assert f"process {os.getpid()}" in said
        assert "its own LORA_TUI_HOME" in said
        assert said.count("\n") == 1
        with using_state(profile, service=False):
            pass
    with using_state(profile, service=True):
        pass


def test_a_service_that_was_killed_leaves_the_home_free_at_once(profile: Profile) -> None:
    code = (
        "import os\n"
        "from lora_tui.config.load import load_profile\n"
        "from lora_tui.harvest.state_use import using_state\n"
        "with using_state(load_profile(), service=True): os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    (left,) = presence_directory(ledger_path(profile)).iterdir()
    with using_state(profile, service=True):
        assert not left.exists()
