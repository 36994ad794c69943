"""An error that nobody foresaw: the application goes on, or ends with one line and a report."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.cache.connection import open_cache
from lora_tui.config.paths import find_paths
from lora_tui.engine.crash_reports import MOST_REPORTS, crash_reports
from lora_tui.engine.logs import engine_log
from lora_tui.errors import ExitCode
from lora_tui.screens.help import HelpScreen
from lora_tui.secret import Secret
from tests.pseudo_terminal import (
    PATIENCE,
    Terminal,
    open_terminal,
    put_back,
    said_at_the_end,
)
from tests.tui.conftest import Open, toasts, until
from tests.tui.library import FakeWriters, Library
from tests.tui.test_terminal import demo

PLANTED = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.planted"
ROOT = Path(__file__).parents[2]
HELD = "a-passphrase-in-plain-words"


def forgotten() -> None:
    """An error of the code, with secrets in a local variable and in its message."""
    url = "https://host.example/file?token=" + PLANTED
    raise ValueError(f"could not read {url} with {HELD}")


def raising(error: type[BaseException]) -> None:
    raise error


def endless() -> None:
    endless()


# A writer fails --------------------------------------------------------------------------------


async def test_an_error_that_nobody_foresaw_in_a_writer_is_shown_and_the_application_goes_on(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.fill(1)
    held = Secret(HELD)
    writers.on_sync = forgotten
    app = open_app()
    async with app.run_test(notifications=True) as pilot:
        app.sync()
        await until(pilot, lambda: bool(toasts(app)))
        (toast,) = toasts(app)
        assert "Something unexpected happened: ValueError" in toast
        assert "lora-tui doctor" in toast
        assert not app.is_syncing
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
    log = engine_log(find_paths().state_dir)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    written = log.read_text()
    assert "sync failed" in written
    assert "in forgotten" in written
    assert "ValueError: could not read https://host.example/file?" in written
    assert PLANTED not in written
    assert held.reveal() not in written
    assert not crash_reports(find_paths().state_dir)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        StopIteration,
        asyncio.CancelledError,
        asyncio.InvalidStateError,
        BaseException,
    ],
)
async def test_no_kind_of_exception_in_a_writer_ends_the_application(
    error: type[BaseException], library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.fill(1)
    writers.on_sync = lambda: raising(error)
    app = open_app()
    async with app.run_test(notifications=True) as pilot:
        app.sync()
        await until(pilot, lambda: bool(toasts(app)))
        assert f"Something unexpected happened: {error.__name__}" in toasts(app)[0]
        assert app.is_alive
        assert not app.is_syncing


async def test_text_that_is_no_json_is_not_taken_for_a_damaged_cache(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.fill(1)
    writers.on_sync = lambda: json.loads("{")
    app = open_app()
    async with app.run_test(notifications=True) as pilot:
        app.sync()
        await until(pilot, lambda: bool(toasts(app)) or app.damage is not None)
        assert app.damage is None
        assert "JSONDecodeError" in toasts(app)[0]


async def test_an_endless_recursion_in_a_writer_is_shown_too(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.fill(1)
    writers.on_sync = endless
    app = open_app()
    async with app.run_test(notifications=True) as pilot:
        app.sync()
        await until(pilot, lambda: bool(toasts(app)))
        assert "RecursionError" in toasts(app)[0]
    assert len(engine_log(find_paths().state_dir).read_text()) < 20_000


async def test_a_log_that_can_not_be_written_changes_nothing_of_that(
    library: Library, writers: FakeWriters, open_app: Open, home: Path
) -> None:
    library.fill(1)
    home.write_text("a file in place of the directory")
    writers.on_sync = forgotten
    app = open_app()
    async with app.run_test(notifications=True) as pilot:
        app.sync()
        await until(pilot, lambda: bool(toasts(app)))
        assert "ValueError" in toasts(app)[0]


async def test_where_no_thread_can_be_started_that_is_an_error_on_the_screen(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.fill(1)
    app = open_app()
    async with app.run_test(notifications=True) as pilot:
        await pilot.pause()
        with monkeypatch.context() as patch:
            patch.setattr("threading.Thread.start", lambda _: raising(RuntimeError))
            app.sync()
            await until(pilot, lambda: bool(toasts(app)))
        assert "RuntimeError" in toasts(app)[0]


# The application fails -------------------------------------------------------------------------

CRASHING = """
import asyncio, logging, os, signal, sys, threading
from lora_tui.cli.run import main
from lora_tui.engine import process
from lora_tui.screens.welcome import WelcomeScreen
from lora_tui.secret import Secret
from lora_tui.tui.base_app import BaseApp
from textual.drivers.linux_driver import LinuxDriver
from textual.widgets import Static
from tests.engine.in_process import FakeWork, in_process_channel

process.start_process = lambda _: in_process_channel(lambda *_: FakeWork())
held = Secret({held!r})

def fault(*_):
    url = "https://host.example/file?token=" + {planted!r}
    raise ValueError("could not read " + url + " with " + held.reveal())

async def later_fault():
    fault()

async def hang(*_):
    await asyncio.sleep(1_000)

def soon(call):
    WelcomeScreen.on_mount = lambda screen: screen.set_timer(0.1, call)

def end():
    soon(lambda: held_app[0].exit())

held_app = []
mount = BaseApp.on_mount
def remember(app):
    held_app.append(app)
    mount(app)
BaseApp.on_mount = remember

{how}
sys.exit(main([]))
"""

WAYS = {
    "before the first frame": "BaseApp.on_mount = fault",
    "in a timer": "soon(fault)",
    "while the terminal is taken": "LinuxDriver._request_terminal_sync_mode_support = fault",
    "while the terminal is given back": "LinuxDriver._enable_line_wrap = fault; end()",
    "in the thread of the keys": "LinuxDriver.process_message = fault",
    "and hangs while it ends": "soon(fault); BaseApp.on_unmount = hang",
    "and no more thread can be started": "threading.Timer.start = fault; soon(fault)",
}
"""Where the terminal, or the end of the process, may go wrong."""


@dataclass(frozen=True)
class Ended:
    """How a program on a terminal has ended."""

    code: int
    written: bytes
    terminal_as_before: bool

    @property
    def line(self) -> str:
        """What stands on the shell's screen."""
        return said_at_the_end(self.written)


def first_run(tmp_path: Path, how: str) -> Terminal:
    """The first run, with a fault, and with an engine that is no process."""
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING.format(how=how, planted=PLANTED, held=HELD))
    environment = {
        "PATH": os.environ["PATH"],
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "LORA_TUI_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
    }
    return open_terminal([sys.executable, str(script)], environment)


def run_on_terminal(tmp_path: Path, how: str, keys: str = "") -> Ended:
    """The first run, with a fault, until it ends."""
    terminal = first_run(tmp_path, how)
    before = termios.tcgetattr(terminal.master)
    try:
        while terminal.read():
            if keys and b"Choose" in terminal.written:
                terminal.type(keys)
                keys = ""
        code = terminal.process.wait(PATIENCE)
        same = termios.tcgetattr(terminal.master) == before
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
    written = bytes(terminal.written)
    return Ended(code, written, same and put_back(written))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_crash_puts_the_terminal_back_and_names_a_report_in_one_line(
    way: str, tmp_path: Path, home: Path
) -> None:
    ended = run_on_terminal(tmp_path, WAYS[way], keys="x")
    (report,) = crash_reports(find_paths().state_dir)
    assert ended.line == (
        f"lora-tui: The application crashed. The report is in {report};"
        " please send it to the project."
    )
    assert ended.code == ExitCode.UNEXPECTED
    assert ended.terminal_as_before
    assert PLANTED.encode() not in ended.written
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    assert stat.S_IMODE(report.parent.stat().st_mode) == 0o700
    text = report.read_text()
    assert len(text) < 20_000
    assert "Terminal:   a terminal, 80x24, TERM=xterm-256color" in text
    assert "Traceback (most recent call last):" in text
    assert not any(secret in text for secret in (PLANTED, HELD))


BEFORE = "BaseApp.on_load = lambda _: os.kill(os.getpid(), signal.{name})"
AFTER = "soon(lambda: os.kill(os.getpid(), signal.{name}))"
AS_TAKEN = "LinuxDriver._enable_bracketed_paste = lambda _: os.kill(os.getpid(), signal.{name})"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "name"),
    [(AS_TAKEN, "SIGTERM"), (BEFORE, "SIGINT"), (AFTER, "SIGHUP")],
    ids=["as the terminal is taken", "before that", "after the first frame"],
)
def test_asked_to_end_at_any_moment_it_leaves_the_terminal_as_before(
    how: str, name: str, tmp_path: Path, home: Path
) -> None:
    ended = run_on_terminal(tmp_path, how.format(name=name))
    assert ended.code == 128 + getattr(signal, name)
    assert ended.terminal_as_before
    assert ended.line == ("Interrupted." if name == "SIGINT" else f"lora-tui: Ended by {name}")
    assert not crash_reports(find_paths().state_dir)


GONE = """
def gone(*_):
    raise OSError(5, "Input/output error")
LinuxDriver.process_message = gone
"""


@pytest.mark.slow
def test_a_terminal_that_is_gone_while_a_key_is_read_is_no_crash(
    tmp_path: Path, home: Path
) -> None:
    ended = run_on_terminal(tmp_path, GONE, keys="x")
    assert ended.code == ExitCode.HANGUP
    assert not crash_reports(find_paths().state_dir)


@pytest.mark.slow
def test_a_terminal_that_is_closed_while_much_is_drawn_ends_the_application_in_order(
    tmp_path: Path, home: Path
) -> None:
    ring = "WelcomeScreen.on_mount = lambda s: s.set_interval(0.002, s.app.bell)"
    terminal = first_run(tmp_path, ring)
    try:
        terminal.wait_for("Choose")
        os.close(terminal.master)
        assert terminal.process.wait(PATIENCE) == ExitCode.HANGUP
    finally:
        terminal.process.kill()
        terminal.process.wait()
    assert not engine_log(find_paths().state_dir).exists()  # the application has written nothing
    assert not crash_reports(find_paths().state_dir)


CRASHES_AT_HELP = """
import sys
from lora_tui.app import LoraTuiApp

def fault(app):
    raise RuntimeError("the failure itself")

LoraTuiApp.action_help = fault
"""


@pytest.mark.slow
def test_a_crash_of_the_whole_application_leaves_no_engine_and_no_backend(
    tmp_path: Path, home: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(CRASHES_AT_HELP)
    with demo(tmp_path, PYTHONPATH=str(tmp_path)) as terminal:
        terminal.wait_for("synced just now")
        assert terminal.children
        terminal.type("?")
        assert terminal.end() == ExitCode.UNEXPECTED
        terminal.wait_for_children_to_end()
    (report,) = crash_reports(find_paths().state_dir)
    (line,) = said_at_the_end(bytes(terminal.written)).splitlines()
    assert line.startswith(f"lora-tui: The application crashed. The report is in {report};")
    assert "Actions:    LoraTuiApp.help" in report.read_text()


@pytest.mark.slow
def test_a_stray_thread_and_a_log_record_are_logged_and_not_drawn(
    tmp_path: Path, home: Path
) -> None:
    ended = run_on_terminal(
        tmp_path,
        "WelcomeScreen.on_mount = lambda s: (threading.Thread(target=fault).start(),"
        "logging.getLogger('odd').error('a record with %s', held.reveal()),"
        "s.set_timer(0.1, held_app[0].exit))",
    )
    assert ended.code == ExitCode.OK
    assert ended.line == ""
    assert b"could not read" not in ended.written
    assert b"a record" not in ended.written
    log = engine_log(find_paths().state_dir).read_text()
    assert "ERROR odd: a record with ••••••" in log
    assert "in fault" in log
    assert not any(secret in log for secret in (PLANTED, HELD))


WHOLE_APPLICATION = """
import sys
from lora_tui import cli
from lora_tui.app import LoraTuiApp
from lora_tui.tui.base_app import BaseApp

def crash(app):
    url = "https://host.example/file?token=" + "eyJ" + "planted"
    app.action_help()
    raise RuntimeError("the failure itself")

LoraTuiApp.on_ready = crash
from pathlib import Path
from lora_tui.engine.writers import Writers
path = Path(sys.argv[1])
app = LoraTuiApp(path, Writers(lambda: None, path.parent), profile="test", sync_on_start=False)
try:
    app.run(headless=True)
except Exception as error:
    sys.exit(f"{error} {error.remedy}")
"""


@pytest.mark.slow
def test_a_crash_shows_where_but_no_local_variable(tmp_path: Path, home: Path) -> None:
    script = tmp_path / "crashing.py"
    script.write_text(WHOLE_APPLICATION)
    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "cache.sqlite3")],
        capture_output=True,
        text=True,
        check=False,
    )
    (report,) = crash_reports(find_paths().state_dir)
    assert ended.stdout == ""
    assert ended.stderr == (
        f"The application crashed the report is in {report}; please send it to the project\n"
    )
    text = report.read_text()
    assert "RuntimeError: the failure itself" in text
    assert "in crash" in text
    assert "Screens:" in text
    assert "eyJplanted" not in text


async def crash(app: LoraTuiApp, *keys: str) -> None:
    """Type these keys, and then have the application crash."""

    async def run() -> None:
        async with app.run_test() as pilot:
            await pilot.press(*keys)
            await pilot.pause()
            app.call_later(forgotten)
            await pilot.pause()

    with pytest.raises(ValueError, match="could not read"):
        await run()


async def test_only_the_newest_reports_are_kept(
    library: Library, open_app: Open, home: Path
) -> None:
    directory = find_paths().state_dir / "crashes"
    directory.mkdir(parents=True)
    kept = directory / "crash of mine.txt"
    kept.touch()
    for number in range(30):
        (directory / f"crash-202001{number + 1:02}T000000Z-1.txt").touch()
    library.fill(1)
    app = open_app()
    await crash(app)
    reports = crash_reports(find_paths().state_dir)
    assert len(reports) == MOST_REPORTS
    assert "in forgotten" in reports[0].read_text()
    assert kept.exists()


async def test_a_report_names_actions_and_screens_and_nothing_that_was_typed(
    library: Library, open_app: Open, home: Path
) -> None:
    library.fill(3)
    app = open_app()
    await crash(app, "slash", *"hidden", "enter", "question_mark")
    (report,) = crash_reports(find_paths().state_dir)
    text = report.read_text()
    assert re.search(r"^Screens: .*ModelsScreen, HelpScreen$", text, re.M)
    assert re.search(r"^Actions: .*LoraTuiApp.help$", text, re.M)
    assert "hidden" not in text
    with open_cache(library.path) as db:
        (name,) = db.execute("SELECT name FROM models LIMIT 1").fetchone()
    assert name not in text
