"""Long output of a command on a terminal is shown in a pager, as git does it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.pseudo_terminal import ESCAPES, PATIENCE, Terminal, open_terminal

LONG = (
    "sql",
    "with recursive n(x) as (select 1 union all select x+1 from n limit 300) select x from n",
)


def start(
    *words: str, size: tuple[int, int] = (80, 24), controlling: bool = False, **variables: str
) -> Terminal:
    kept = {name: value for name, value in os.environ.items() if name not in ("LESS", "PAGER")}
    environment = {**kept, "TERM": "xterm-256color", **variables}
    command = [sys.executable, "-m", "lora_tui", *words]
    return open_terminal(command, environment, size=size, controlling=controlling)


def text_of(terminal: Terminal) -> str:
    return ESCAPES.sub(b"", bytes(terminal.written)).decode().replace("\r\n", "\n")


def test_less_shows_the_first_screen_and_q_ends_it_without_an_error(signed_in: Path) -> None:
    terminal = start(*LONG, controlling=True)
    terminal.wait_for("\r\n:")
    assert "\n 22\n" in text_of(terminal)
    assert " 30\n" not in text_of(terminal)
    assert "300 rows" not in text_of(terminal)
    terminal.type("q")
    assert terminal.end() == 0
    assert "300 rows" in text_of(terminal)  # after the pager
    assert "Traceback" not in text_of(terminal)


def test_ctrl_c_that_ends_the_pager_ends_the_command_with_130(signed_in: Path) -> None:
    terminal = start(*LONG, controlling=True, LORA_TUI_PAGER="echo ready; exec sleep 100")
    terminal.wait_for("ready")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "Traceback" not in text_of(terminal)


@pytest.mark.parametrize(
    "pager",
    ["cat", "", "/no/such/pager", "no-such-pager -x", "false", "exit 3", "cat >/dev/null; exit 1"],
)
def test_without_a_pager_that_works_all_is_printed(signed_in: Path, pager: str) -> None:
    terminal = start(*LONG, LORA_TUI_PAGER=pager)
    assert terminal.end() == 0
    assert "  1\n  2\n" in text_of(terminal)
    assert "300\n300 rows\n" in text_of(terminal)


def test_what_fits_the_screen_needs_no_pager(signed_in: Path) -> None:
    terminal = start("list", PAGER="echo paged")
    assert terminal.end() == 0
    assert "paged" not in text_of(terminal)
    terminal = start("list", size=(80, 5), PAGER="echo paged")
    assert terminal.end() == 0
    assert text_of(terminal).startswith("paged\n")
    assert "models, synced" in text_of(terminal)


def test_who_wants_none_gets_none(signed_in: Path) -> None:
    for words in (["--no-pager"], ["--json"], ["--csv"], ["--jsonl"]):
        terminal = start(*LONG, *words, PAGER="echo paged")
        assert terminal.end() == 0
        assert "paged" not in text_of(terminal)


def test_the_variable_is_before_the_setting_and_that_before_pager(signed_in: Path) -> None:
    (signed_in / "config.toml").write_text('[ui]\npager = "echo of the setting"\n')
    terminal = start(*LONG, PAGER="echo of PAGER", LORA_TUI_PAGER="echo of the variable")
    assert terminal.end() == 0
    assert text_of(terminal).startswith("of the variable\n")
    terminal = start(*LONG, PAGER="echo of PAGER")
    assert terminal.end() == 0
    assert text_of(terminal).startswith("of the setting\n")


def test_the_exit_code_and_the_error_of_the_command_stay(signed_in: Path) -> None:
    terminal = start("show", "nosuchmodel", PAGER="echo paged")
    assert terminal.end() == 3
    assert text_of(terminal).startswith("lora-tui: Model not found")
    assert terminal.process.wait(PATIENCE) == 3
