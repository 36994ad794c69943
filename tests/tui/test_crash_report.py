"""Wherever the application crashes, it ends in one line that names a report without secrets.

What happens to the terminal meanwhile is in test_crash.py, with the real program.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Static

from lora_tui.config.paths import find_paths
from lora_tui.config.table import Preferences
from lora_tui.engine.crash_reports import crash_reports
from lora_tui.errors import ExitCode, LoraTuiError
from lora_tui.first_run import FirstRunApp
from lora_tui.screens.welcome import WelcomeScreen
from lora_tui.secret import Secret
from lora_tui.tui.base_app import BaseApp
from tests.tui.accounts import fake_writers
from tests.tui.test_crash import HELD, PLANTED, endless, forgotten, raising

Patch = pytest.MonkeyPatch


def soon(patch: Patch, call: Callable[..., object]) -> None:
    def on_mount(screen: WelcomeScreen) -> None:
        screen.set_timer(0.01, call)

    patch.setattr(WelcomeScreen, "on_mount", on_mount, raising=False)


def end(patch: Patch) -> None:
    def on_mount(screen: WelcomeScreen) -> None:
        screen.set_timer(0.01, screen.app.exit)

    patch.setattr(WelcomeScreen, "on_mount", on_mount, raising=False)


def fault(*_: object) -> None:
    forgotten()


async def later_fault() -> None:
    forgotten()


def fault_as(patch: Patch, owner: type, name: str) -> None:
    patch.setattr(owner, name, fault, raising=False)


def fault_at_the_end(patch: Patch) -> None:
    fault_as(patch, BaseApp, "on_unmount")
    end(patch)


def fault_twice(patch: Patch) -> None:
    fault_as(patch, BaseApp, "on_unmount")
    soon(patch, fault)


INSIDE: dict[str, Callable[[Patch], None]] = {
    "while a screen is made": lambda patch: fault_as(patch, WelcomeScreen, "compose"),
    "as a screen opens": lambda patch: fault_as(patch, WelcomeScreen, "on_mount"),
    "in a widget's render": lambda patch: fault_as(patch, Static, "render"),
    "in a message handler": lambda patch: fault_as(patch, WelcomeScreen, "on_resize"),
    "in an async worker": lambda patch: patch.setattr(
        WelcomeScreen, "on_mount", lambda s: s.run_worker(later_fault()), raising=False
    ),
    "an endless recursion": lambda patch: soon(patch, endless),
    "no memory": lambda patch: soon(patch, lambda: raising(MemoryError)),
    "at the end": fault_at_the_end,
    "again while it ends": fault_twice,
    "a call of sys.exit": lambda patch: soon(patch, lambda: sys.exit(0)),
    "a style sheet": lambda patch: patch.setattr(BaseApp, "CSS", "here is no style"),
}


def run_until_it_crashes() -> LoraTuiError:
    """The first run without a terminal; the error that the command would print."""
    app = FirstRunApp(Preferences(), "default", find_paths(), fake_writers())
    held = Secret(HELD)  # while it is held it is masked
    root = logging.getLogger()
    handlers, excepthook = root.handlers[:], threading.excepthook
    try:
        with pytest.raises(LoraTuiError) as raised:
            app.run(headless=True, size=(80, 24))
    finally:  # after a crash the log stays where the program left it
        root.handlers[:], threading.excepthook = handlers, excepthook
    del held
    return raised.value


@pytest.mark.parametrize("way", INSIDE)
def test_a_crash_ends_in_one_line_that_names_a_report(
    way: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    INSIDE[way](monkeypatch)
    error = run_until_it_crashes()
    (report,) = crash_reports(find_paths().state_dir)
    assert str(error) == "The application crashed"
    assert error.details is None
    assert error.remedy == f"the report is in {report}; please send it to the project"
    assert error.exit_code == ExitCode.UNEXPECTED
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    text = report.read_text()
    assert len(text) < 20_000
    assert "Traceback (most recent call last):" in text
    assert not any(secret in text for secret in (PLANTED, HELD))


def test_a_crash_that_can_not_be_reported_is_one_line_with_its_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "state").write_text("a file in place of the directory")
    soon(monkeypatch, lambda: raising(MemoryError))
    error = run_until_it_crashes()
    assert str(error).startswith("The application crashed: MemoryError")
    assert "the report can't be written: a part of its path is a file" in str(error.details)
    assert "\n" not in f"{error}{error.details}{error.remedy}"


def test_a_disk_without_room_for_the_report_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr("lora_tui.tui.crash.write_report", no_room)
    soon(monkeypatch, lambda: raising(MemoryError))
    error = run_until_it_crashes()
    said = "the report can't be written: the file gets larger than is allowed here"
    assert said in str(error.details)
    assert "\n" not in f"{error}{error.details}{error.remedy}"
    assert not crash_reports(find_paths().state_dir)
