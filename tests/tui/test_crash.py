"""If the application fails, what it prints holds no secret that a variable held."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lora_tui.errors import ExitCode
from tests.tui.library import USER

pytestmark = pytest.mark.slow

_CLAIMS = json.dumps({"sub": USER, "email": "a@b.example", "exp": 4102444800}).encode()
ACCESS_TOKEN = f"e30.{base64.urlsafe_b64encode(_CLAIMS).decode().rstrip('=')}.x"

CRASHING = """
import sys
from pathlib import Path
from lora_tui.app import LoraTuiApp
from lora_tui.engine.writers import Writers

def crash(app):
    url = "https://host.example/file?token=" + "eyJ" + "planted"
    raise RuntimeError("the failure itself")

LoraTuiApp.on_ready = crash
path = Path(sys.argv[1])
writers = Writers(path, path.parent)
LoraTuiApp(path, writers, profile="test", sync_on_start=False).run(headless=True)
"""


def test_a_crash_shows_where_but_no_local_variable(tmp_path: Path) -> None:
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING)
    ended = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "cache.sqlite3")],
        capture_output=True,
        text=True,
        check=False,
    )
    printed = ended.stdout + ended.stderr
    assert "the failure itself" in printed
    assert "eyJplanted" not in printed


FAILING_THREAD = """
import sys
from lora_tui import cli
from lora_tui.tui.base_app import BaseApp
from lora_tui.commands import interactive
from lora_tui.engine.writers import Writers

def crash(*_):
    url = "https://host.example/file?token=" + "eyJ" + "planted"
    raise RuntimeError("the failure itself")

Writers.check_downloads = crash
interactive.require_terminal = lambda: None
run = BaseApp.run
BaseApp.run = lambda self, **options: run(self, headless=True, **options)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_an_error_that_nobody_foresaw_in_a_thread_ends_the_command_with_a_sentence_and_1(
    tmp_path: Path,
) -> None:
    script = tmp_path / "crashing.py"
    script.write_text(FAILING_THREAD)
    ended = subprocess.run(
        [sys.executable, str(script), "--offline"],
        env={
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LORA_TUI_HOME": str(tmp_path / "home"),
            "SUPABASE_URL": "http://127.0.0.1:9",
            "SUPABASE_ANON_KEY": "anon",
            "LORA_TUI_ACCESS_TOKEN": ACCESS_TOKEN,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == ExitCode.UNEXPECTED
    printed = ended.stdout + ended.stderr
    assert "the failure itself" in printed
    assert "lora-tui: The application crashed" in printed
    assert "eyJplanted" not in printed
