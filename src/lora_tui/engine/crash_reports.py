"""The files that tell what happened when the application crashed; the newest ones are kept."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from lora_tui import clock
from lora_tui.files import write_private_file

MOST_REPORTS: Final = 10
MOST_CHARACTERS: Final = 60_000
_NAME: Final = re.compile(r"crash-\d{8}T\d{6}Z-\d+\.txt")


def write_report(state_dir: Path, text: str) -> Path:
    """Write a private file with the report, and remove the oldest ones. Raises OSError."""
    name = f"crash-{clock.now():%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    path = state_dir / "crashes" / name
    if len(text) > MOST_CHARACTERS:
        text = text[:MOST_CHARACTERS] + "\n… (the rest is left out)\n"
    write_private_file(path, text)
    for old in crash_reports(state_dir)[MOST_REPORTS:]:
        with suppress(OSError):
            old.unlink()
    return path


def crash_reports(state_dir: Path) -> list[Path]:
    """The reports, the newest first; empty where they can't be read."""
    with suppress(OSError):
        found = [path for path in (state_dir / "crashes").iterdir() if _is_report(path)]
        return sorted(found, key=lambda path: path.name, reverse=True)
    return []


def _is_report(path: Path) -> bool:
    with suppress(OSError):
        return bool(_NAME.fullmatch(path.name)) and stat.S_ISREG(path.lstat().st_mode)
    return False
