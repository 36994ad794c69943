"""If the application fails, what it prints holds no secret that a variable held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CRASHING = """
import sys
from pathlib import Path
from lora_tui.app import LoraTuiApp
from lora_tui.errors import UnreachableError
from lora_tui.offline import OfflineWriters

def crash(app):
    url = "https://host.example/file?token=" + "eyJ" + "planted"
    raise RuntimeError("the failure itself")

LoraTuiApp.on_ready = crash
writers = OfflineWriters(UnreachableError("no network"))
LoraTuiApp(Path(sys.argv[1]), writers, profile="test", sync_on_start=False).run(headless=True)
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
