"""What can be set from within the application: each setting's value, where it is from, a change.

Order of precedence: flag, environment, file, default; what the first two say can't be changed here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lora_tui.account import sessions
from lora_tui.config.preferences import PREFERENCES, THEME_NAMES, Preferences, load_preferences
from lora_tui.config.profile import Profile, read_document

ACCOUNT: Final = "account"
FLAG, FILE, DEFAULT = "flag", "file", "default"
_AUTOMATIC: Final = "automatic"
_ON, _OFF = "on", "off"
_ENVIRONMENT: Final = {"ascii": "LORA_TUI_ASCII", "limit_rate": "LORA_TUI_LIMIT_RATE"}


@dataclass(frozen=True)
class Setting:
    """One line of the Settings screen."""

    key: str
    label: str
    value: str
    source: str
    """FLAG, FILE, DEFAULT, or the name of an environment variable."""
    explanation: str
    choices: tuple[str, ...] = ()
    """All values there are, where they can be counted; else it is typed."""
    typed: str | None = None
    """What the line for typing begins with, where that is not the value as shown."""
    at_once: bool = True
    """Whether a change counts at once, or from the next start on."""
    is_changeable: bool = True


class Settings:
    """The settings of one profile and of the user, in one file."""

    def __init__(
        self,
        profile: Profile,
        cache_path: Path,
        *,
        no_color: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.profile = profile
        self._cache_path = cache_path
        self._no_color_flag = no_color
        self._environment = environment
        self.file = profile.paths.config_file

    def preferences(self) -> Preferences:
        """What counts now. Raises ConfigError."""
        return load_preferences(self.file, self._environment)

    def all(self) -> list[Setting]:
        """In the order of the screen. Raises ConfigError where the file can't be read."""
        return [*self._preferences(), *self._of_the_profile()]

    def change(self, key: str, value: str) -> None:
        """Write it into the file; an empty value goes back to the default.

        Raises ConfigError where the value can't be, and DiskError.
        """
        from lora_tui.config.file import set_preference, set_value

        value = value.strip()
        if key in PREFERENCES:
            set_preference(self.file, key, _typed(key, value))
        elif key == "background_harvest":
            set_value(self.file, self.profile.name, key, "true" if value == _ON else "false")
        else:
            set_value(self.file, self.profile.name, key, value)

    def _preferences(self) -> list[Setting]:
        now = self.preferences()
        table = read_document(self.file).get("ui", {})
        theme_source = self._source("theme", table)
        if "NO_COLOR" in self._environment:
            theme_source = FLAG if self._no_color_flag else "NO_COLOR"
        return [
            Setting(
                "theme",
                "Colours",
                "mono" if theme_source in (FLAG, "NO_COLOR") else now.theme or _AUTOMATIC,
                theme_source,
                "automatic suits the terminal; ansi: its 16; mono: none",
                (_AUTOMATIC, *THEME_NAMES),
                is_changeable=theme_source not in (FLAG, "NO_COLOR"),
            ),
            Setting(
                "ascii",
                "Only ASCII",
                _ON if now.ascii_only else _OFF,
                self._source("ascii", table),
                "for terminals and fonts without stars, dots and lines",
                (_OFF, _ON),
                at_once=False,
                is_changeable=not self._environment.get("LORA_TUI_ASCII"),
            ),
            Setting(
                "bell",
                "Bell",
                _ON if now.bell else _OFF,
                self._source("bell", table),
                "when a download has ended",
                (_ON, _OFF),
            ),
            Setting(
                "sync_interval",
                "Sync every",
                f"{now.sync_interval:g} s",
                self._source("sync_interval", table),
                "seconds, 15 at least; less often while offline",
            ),
            Setting(
                "mouse",
                "Mouse",
                _ON if now.mouse else _OFF,
                self._source("mouse", table),
                "off: the terminal selects text as it does elsewhere",
                (_ON, _OFF),
                at_once=False,
            ),
        ]

    def _of_the_profile(self) -> list[Setting]:
        document = read_document(self.file)
        table = document.get("profiles", {}).get(self.profile.name, {})
        rate = self._environment.get("LORA_TUI_LIMIT_RATE") or table.get("limit_rate")
        at_start = table.get("background_harvest") is True
        changeable = not self.profile.identity
        return [
            Setting(
                "downloads",
                "Downloads",
                str(table.get("downloads") or self.profile.paths.downloads_dir),
                self._source("downloads", table),
                "the directory for adapters",
                at_once=False,
                is_changeable=changeable,
            ),
            Setting(
                "parallel_downloads",
                "Files at once",
                str(table.get("parallel_downloads") or self.profile.parallel_downloads),
                self._source("parallel_downloads", table),
                "1 to 16; each may use several connections",
                at_once=False,
                is_changeable=changeable,
            ),
            Setting(
                "limit_rate",
                "Bandwidth",
                f"{rate} a second" if rate else "no limit",
                self._source("limit_rate", table),
                "bytes a second of all downloads: 800K, 5M; empty: none",
                typed=str(rate or ""),
                at_once=False,
                is_changeable=changeable and not self._environment.get("LORA_TUI_LIMIT_RATE"),
            ),
            Setting(
                "background_harvest",
                "Harvest",
                _ON if at_start else _OFF,
                self._source("background_harvest", table),
                "from the start on; its own screen starts it for now",
                (_OFF, _ON),
                at_once=False,
                is_changeable=changeable,
            ),
            *self._account(),
            Setting("file", "Configuration", str(self.file), "", "", is_changeable=False),
            Setting("cache", "Cache", str(self._cache_path), "", "", is_changeable=False),
        ]

    def _account(self) -> list[Setting]:
        signed_in = sessions.account_of(self.profile)
        if signed_in is None:
            return []
        who = signed_in.email or signed_in.user_id
        return [Setting(ACCOUNT, "Account", who, "", "choosing it signs out", is_changeable=False)]

    def _source(self, key: str, table: Mapping[str, object]) -> str:
        variable = _ENVIRONMENT.get(key)
        if variable and self._environment.get(variable):
            return variable
        return FILE if key in table else DEFAULT


def _typed(key: str, value: str) -> str | bool | float | None:
    """A preference's text as the file has it."""
    if not value or value == _AUTOMATIC:
        return None
    if value in (_ON, _OFF):
        return value == _ON
    if key == "sync_interval":
        try:
            number = float(value.removesuffix("s").strip())
        except ValueError:
            return value
        return int(number) if number.is_integer() else number
    return value
