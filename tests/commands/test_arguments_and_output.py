"""Arguments are checked before the network is asked; output that can't be written is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lora_tui.cli.run import main
from lora_tui.errors import ExitCode
from lora_tui.sandbox import Sandbox
from tests.conftest import Run


def test_arguments_are_checked_before_the_network_is_asked(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = run("list", "--json").data["models"][0]["id"]
    configured.stop()
    (tmp_path / "file").touch()
    assert run("push", str(tmp_path / "nothing")).code == 3
    assert run("--offline", "push", str(tmp_path / "nothing")).code == 3
    ran = run("download", model, "--to", str(tmp_path / "file"))
    assert ran.code == 1
    assert "--to" in ran.err
    assert run("download", model, "--to", "").code == 2


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("list", "--help")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_that_can_not_be_written_is_exit_code_1(
    words: tuple[str, ...], unbuffered: str
) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ran = subprocess.run(
            [sys.executable, "-m", "lora_tui", *words],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr == "lora-tui: The output can't be written: No space left on device.\n"


def test_an_error_keeps_its_exit_code_where_its_line_can_not_be_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w", buffering=1) as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["list"]) == ExitCode.USAGE  # nothing is configured
        monkeypatch.undo()
    assert not home.exists()


@pytest.mark.parametrize("verbose", [False, True])
def test_a_warning_is_a_plain_sentence_unless_v_is_given(
    verbose: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "import logging\n"
        "from lora_tui.engine.logs import log_to_stderr\n"
        f"log_to_stderr(logging.{'INFO' if verbose else 'WARNING'})\n"
        "logging.getLogger('lora_tui.account').warning('The keyring is locked')\n"
        "logging.getLogger('other').warning('odd')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stderr.splitlines()
    plain = "lora-tui: The keyring is locked."
    assert ran == [
        "WARNING lora_tui.account: The keyring is locked" if verbose else plain,
        "WARNING other: odd",
    ]
