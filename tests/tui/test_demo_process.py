"""The demo's backend, a process of its own: how it ends, and what is said of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.pseudo_terminal import ESCAPES, Terminal, left_as_found
from tests.tui.test_terminal import DEMO, colours, demo

pytestmark = pytest.mark.slow


def plain(terminal: Terminal) -> str:
    """What was written, without escape sequences."""
    return ESCAPES.sub(b"", bytes(terminal.written)).decode(errors="replace")


def is_backend(process: int) -> bool:
    """Whether it is the sandbox; the other child is the engine."""
    return b"lora_tui.tui.sandbox_process" in Path(f"/proc/{process}/cmdline").read_bytes()


def test_the_engine_and_the_backend_end_with_an_application_that_is_killed(tmp_path: Path) -> None:
    with demo(tmp_path, check_line=False) as terminal:
        terminal.wait_for("synced just now")
        assert len(terminal.children) == 2  # the backend and the engine
        terminal.process.kill()
        terminal.wait_for_children_to_end()


def test_the_models_of_the_demo_are_listed_beside_it_and_after_it_and_no_color_has_none(
    tmp_path: Path, run: Run
) -> None:
    listed = ("--profile", "demo", "list", "--json")
    with demo(tmp_path, COLORTERM="truecolor", NO_COLOR="1") as terminal:
        terminal.wait_for("synced just now")
        beside = run(*listed).data["models"]
        assert len(beside) == 5
        assert run("--profile", "demo", "sync").code == 0
        terminal.type("q")
        assert terminal.end() == 0
    assert left_as_found(bytes(terminal.written))
    assert not colours(bytes(terminal.written))
    after = run(*listed).data["models"]
    assert all(model in after for model in beside)  # the demo may have harvested others


def test_a_backend_that_dies_is_named_when_the_demo_is_left(tmp_path: Path) -> None:
    with demo(tmp_path) as terminal:
        terminal.wait_for("synced just now")
        [backend] = [child for child in terminal.children if is_backend(child)]
        os.kill(backend, signal.SIGKILL)
        terminal.children.intersection_update({backend})
        terminal.wait_for_children_to_end()
        terminal.type("q")
        assert terminal.end() == 5
    last = plain(terminal).strip().splitlines()[-1]
    assert "The demo's backend has ended before the demo (ended by SIGKILL)" in last
    assert "Traceback" not in plain(terminal)


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        ("damaged", 1, "can't be used"),
        ("a file in the way", 1, "can't store its data"),
        ("no package", 2, "'.[demo]'"),
        ("no module", 1, "did not start"),
    ],
)
def test_a_backend_that_can_not_start_is_one_line(
    tmp_path: Path, spoil: str, code: int, words: str
) -> None:
    state, environment = tmp_path / "home" / "state" / "demo", dict[str, str]()
    broken = tmp_path / "broken"
    broken.mkdir()
    if spoil == "damaged":
        state.mkdir(parents=True)
        (state / "sandbox.sqlite3").write_bytes(b"no database" * 999)
    elif spoil == "a file in the way":
        state.parent.mkdir(parents=True)
        state.write_text("in the way")
    else:
        module = "uvicorn" if spoil == "no package" else "sitecustomize"
        error = "ModuleNotFoundError('gone', name='uvicorn')"
        raised = error if spoil == "no package" else "SystemExit('broken installation')"
        guard = "import sys\nif 'lora_tui.tui.sandbox_process' in sys.orig_argv: "
        (broken / f"{module}.py").write_text(f"{guard}raise {raised}\n")
        environment = {"PYTHONPATH": str(broken)}
    with demo(tmp_path, DEMO, **environment) as terminal:
        assert terminal.end() == code
    written = plain(terminal).strip()
    assert words in written
    assert written.count("\n") == 0
