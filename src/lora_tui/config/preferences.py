"""What the user prefers whatever the project is: `[ui]` and `[keys]` of the configuration file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from lora_tui.config.keys import Keymap, keymap_of
from lora_tui.config.profile import read_document, switch_of
from lora_tui.errors import ConfigError

THEME_NAMES: Final = ("dark", "light", "high-contrast", "ansi", "mono")
LEAST_INTERVAL: Final = 15
MOST_INTERVAL: Final = 86_400
_SWITCHES: Final = ("ascii", "bell", "mouse")
PREFERENCES: Final = ("theme", "ascii", "bell", "mouse", "sync_interval")


@dataclass(frozen=True)
class Preferences:
    """How the application looks, sounds and is operated."""

    theme: str | None = None
    """None for what suits the terminal."""
    ascii_only: bool = False
    bell: bool = True
    """Whether it sounds when a download has ended."""
    mouse: bool = True
    """Whether clicks and the wheel act; without it the terminal itself selects text."""
    sync_interval: float = 60.0
    """Seconds between two syncs."""
    keys: Keymap = field(default_factory=dict)
    """The actions that are on other keys than by default."""


def load_preferences(path: Path, environment: Mapping[str, str] = os.environ) -> Preferences:
    """Of this file; the environment overrides. Raises ConfigError where one can't be."""
    document = read_document(path)
    table = document.get("ui", {})
    if not isinstance(table, dict):
        raise ConfigError("[ui] must be a table", details=str(path))
    values = {key: check_preference(key, value) for key, value in table.items()}
    ascii_only = switch_of("LORA_TUI_ASCII", environment)
    if ascii_only is None:
        ascii_only = values.get("ascii", False)
    return Preferences(
        theme=values.get("theme"),
        ascii_only=ascii_only or not writes_unicode(sys.stdout),
        bell=values.get("bell", True),
        mouse=values.get("mouse", True),
        sync_interval=values.get("sync_interval", 60.0),
        keys=keymap_of(document),
    )


def writes_unicode(stream: TextIO) -> bool:
    """Whether every character can be written there as it is.

    While the application runs stdout is an object of Textual's, without an encoding: then the
    process's own one counts.
    """
    encoding = getattr(stream, "encoding", None) or getattr(sys.__stdout__, "encoding", None)
    return "utf" in (encoding or "ascii").lower()


def check_preference(key: str, value: object) -> Any:
    """The value as it counts. Raises ConfigError where there is no such thing or it can't be."""
    if key == "theme":
        if value not in THEME_NAMES:
            raise ConfigError(
                "theme of [ui] is none that there is", remedy=f"one of {', '.join(THEME_NAMES)}"
            )
        return value
    if key in _SWITCHES:
        if not isinstance(value, bool):
            raise ConfigError(f"{key} of [ui] is true or false, without quotes")
        return value
    if key == "sync_interval":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not LEAST_INTERVAL <= float(value) <= MOST_INTERVAL:  # type: ignore[arg-type]
            raise ConfigError(
                f"sync_interval of [ui] is a number of seconds from {LEAST_INTERVAL}"
                f" to {MOST_INTERVAL:,}"
            )
        return value
    raise ConfigError(
        f"[ui] has a key that is not known: {key}",
        remedy=f"known keys: {', '.join(PREFERENCES)}",
    )
