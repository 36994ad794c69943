"""The real program on a real terminal (a pty): it is used, it quits, the terminal is as before."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from lora_tui.config.paths import find_paths
from lora_tui.errors import ExitCode
from tests.pseudo_terminal import PATIENCE, Terminal, left_as_found, open_terminal

pytestmark = pytest.mark.slow

SGR = re.compile(rb"\x1b\[([\d;]*)m")
DEMO = (sys.executable, "-m", "lora_tui", "demo", "--models", "5")


def start_demo(
    tmp_path: Path,
    command: Sequence[str] = DEMO,
    *,
    controlling: bool = False,
    **environment: str,
) -> Terminal:
    """`lora-tui demo` on 80 x 24."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return open_terminal(
        command,
        {
            **kept,
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LORA_TUI_HOME": str(tmp_path / "home"),
            **environment,
        },
        controlling=controlling,
    )


SHOWS_MODULES = """
import atexit, sys
from pathlib import Path
from lora_tui.cli.run import main
atexit.register(lambda: Path(sys.argv.pop()).write_text("\\n".join(sys.modules)))
sys.exit(main(["demo", "--models", "5"]))
"""


@contextmanager
def shell(tmp_path: Path, **environment: str) -> Iterator[Terminal]:
    """An interactive bash, which controls the jobs of its terminal."""
    command = ["bash", "--norc", "--noprofile", "-i"]
    terminal = start_demo(tmp_path, command, controlling=True, PS1="> ", **environment)
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


@contextmanager
def demo(
    tmp_path: Path, command: Sequence[str] = DEMO, *, check_line: bool = True, **environment: str
) -> Iterator[Terminal]:
    """`lora-tui demo`, which leaves the line discipline as it was, and no process."""
    terminal = start_demo(tmp_path, command, **environment)
    before = termios.tcgetattr(terminal.master)
    try:
        yield terminal
        after = termios.tcgetattr(terminal.master)
        assert after == before or not check_line, "the line discipline is not what it was"
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
        terminal.wait_for_children_to_end()


def colours(written: bytes) -> set[str]:
    """The kinds of colours that were asked for."""
    found = set()
    for codes in SGR.findall(written):
        numbers = codes.split(b";")
        if b"38" in numbers or b"48" in numbers:
            found.add("truecolor" if b"2" in numbers[1:2] + numbers[-4:-3] else "palette")
        elif any(re.fullmatch(rb"[349][0-7]|10[0-7]", number) for number in numbers):
            found.add("sixteen")
    return found


def test_the_demo_is_opened_searched_by_slow_and_fast_keys_and_left_with_the_terminal_as_before(
    tmp_path: Path,
) -> None:
    modules = tmp_path / "modules"
    command = [sys.executable, "-c", SHOWS_MODULES, str(modules)]
    with demo(tmp_path, command, COLORTERM="truecolor") as terminal:
        terminal.wait_for("synced just now")
        lines = sorted(
            Path(f"/proc/{child}/cmdline").read_text().lower().replace("_", "-")
            for child in terminal.children
        )
        assert len(lines) == 2
        assert "lora-tui.engine" in lines[0]
        assert "sandbox-process" in lines[1]
        assert "make-believe" not in "".join(lines)  # which every secret of the demo says
        terminal.type("\x1a")  # ctrl+z: there is no shell that could let it go on
        terminal.wait_for("Not suspended")
        terminal.type("/")
        terminal.wait_for("name, dataset")
        terminal.type("\x03")
        terminal.wait_for("to quit")
        terminal.type("zzzz")
        terminal.wait_for("No matching models")
        terminal.type("\x1b")
        terminal.wait_for("★")
        terminal.type("\r")
        terminal.wait_for("Mark")  # a key of the list, which has the focus again
        terminal.type("/qdtnqSq")  # in one burst: each is a key of the list, where q quits
        terminal.wait_for("No matching models")
        terminal.type("\x1b")
        terminal.wait_for("★")
        terminal.type("\r")
        terminal.wait_for("Mark")
        terminal.type("\r")
        terminal.wait_for("Training loss")
        terminal.type("q")
        assert terminal.end() == 0
        assert left_as_found(bytes(terminal.written))
        assert "truecolor" in colours(bytes(terminal.written))
    loaded = set(modules.read_text().split())
    assert "lora_tui.app" in loaded
    assert loaded & {"starlette", "uvicorn", "lora_tui.sandbox"} == set()


def test_a_terminal_of_sixteen_colours_gets_no_more_its_own_size_counts_and_it_keeps_the_mouse(
    tmp_path: Path,
) -> None:
    file = find_paths({"LORA_TUI_HOME": str(tmp_path / "home")}).config_file
    file.parent.mkdir(parents=True)
    file.write_text("[ui]\nmouse = false\n")
    with demo(tmp_path, TERM="xterm-16color", COLUMNS="44", LINES="12") as terminal:
        terminal.wait_for("Curve")  # at 44 cells there is no room for it
        terminal.type("q")
        assert terminal.end() == 0
    written = bytes(terminal.written)
    assert left_as_found(written)
    assert colours(written) == {"sixteen"}
    assert not re.search(rb"\x1b\[\?(1000|1003|1006|1015)h", written)


@pytest.mark.parametrize("words", ["2>/dev/null", "2>&-"])
def test_where_stderr_is_no_terminal_nothing_runs_unseen(tmp_path: Path, words: str) -> None:
    """Textual draws there: the application ran, showed nothing, and took no key."""
    line = f"{shlex.join(DEMO)} {words}; echo ended with $?"
    terminal = start_demo(tmp_path, ["sh", "-c", line])
    terminal.wait_for("ended with 2")
    assert terminal.end() == 0
    os.close(terminal.master)


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_without_a_screen_gets_a_sentence(tmp_path: Path, term: str) -> None:
    with demo(tmp_path, TERM=term) as terminal:
        assert terminal.end() == 2
        said = bytes(terminal.written)
    assert f"TERM is {term}" in said.decode()
    assert said.decode().replace("\r\n", "\n").count("\n") == 1
    assert b"\x1b" not in said


def test_ctrl_z_goes_back_to_the_shell_and_fg_returns_to_the_same_screen(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        # of two in one group, as under `make`, both have to stop
        terminal.type(f"(:; {sys.executable} -m lora_tui demo --models 5; echo left=$?)\n")
        terminal.wait_for("synced just now")
        terminal.type("\r")
        terminal.wait_for("Training loss")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.type("echo the $((6 * 7))\n")
        terminal.wait_for("the 42")
        terminal.type("fg\n")
        terminal.wait_for("Training loss")
        terminal.type("q")
        terminal.wait_for("left=0")
        terminal.type("exit\n")
        assert terminal.end() == 0


def test_on_a_console_with_ascii_wanted_nothing_else_is_written(tmp_path: Path) -> None:
    with demo(tmp_path, TERM="linux", LORA_TUI_ASCII="1") as terminal:
        terminal.wait_for("synced just now")
        terminal.type("\r")
        terminal.wait_for("Training loss")
        terminal.type("q")
        assert terminal.end() == 0
        assert bytes(terminal.written).isascii()
        assert colours(bytes(terminal.written)) <= {"sixteen"}


@pytest.mark.parametrize(
    ("number", "line"),
    [(signal.SIGINT, "Interrupted."), (signal.SIGTERM, "lora-tui: Ended by SIGTERM")],
)
def test_a_signal_ends_it_with_its_exit_code_its_children_too_and_the_terminal_as_before(
    tmp_path: Path, number: int, line: str
) -> None:
    """SIGHUP, which differs in its code alone, is in test_crash.py."""
    with demo(tmp_path) as terminal:
        terminal.wait_for("synced just now")
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number
        assert len(terminal.children) == 2  # the engine and the sandbox
        terminal.wait_for_children_to_end()
    assert left_as_found(bytes(terminal.written), line)


def test_it_ends_with_its_terminal_though_no_signal_says_so(tmp_path: Path) -> None:
    """As behind a broken SSH connection, where `make` stood between the shell and the program."""
    terminal = start_demo(tmp_path)
    try:
        terminal.wait_for("synced just now")
        os.close(terminal.master)
        assert terminal.process.wait(PATIENCE) == ExitCode.HANGUP
        assert terminal.children
        terminal.wait_for_children_to_end()
    finally:
        terminal.process.kill()
        terminal.process.wait()


def test_signing_out_in_the_middle_of_a_download_leaves_no_cache_behind(tmp_path: Path) -> None:
    with demo(tmp_path, LORA_TUI_LIMIT_RATE="20K") as terminal:
        terminal.wait_for("synced just now")
        terminal.type("d")
        terminal.wait_for("%")
        terminal.type("\x0c")
        terminal.wait_for("Sign out on this machine?")
        terminal.type("y")
        terminal.wait_for("Remove this account's cache")
        terminal.type("y")
        assert terminal.end() == 0
    # What the demo's harvest has in hand is not the account's: a folder of its own.
    left = [path for path in (tmp_path / "home" / "cache").iterdir() if path.is_file()]
    assert {path.suffix for path in left} <= {".leader", ".lock"}
