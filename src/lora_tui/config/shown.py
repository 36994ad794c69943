"""The settings as the Settings screen shows them: the value, where it comes from, and a change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from lora_tui.config.load import load_preferences, read_document
from lora_tui.config.setting import PROFILES, UI, Setting
from lora_tui.config.table import PROFILE_SETTINGS, UI_SETTINGS, Preferences, Profile

FLAG, FILE, DEFAULT = "--no-color", "file", "default"
"""Sources of a value, beside the name of an environment variable."""
_NO_COLOR: Final = "NO_COLOR"


class SettingLine(NamedTuple):
    """One line of the Settings screen."""

    key: str
    label: str
    value: str
    source: str = ""
    """FLAG, FILE, DEFAULT, or the name of an environment variable; may be empty."""
    explanation: str = ""
    choices: tuple[str, ...] = ()
    """All values, where they can be listed; else the value is typed."""
    typed: str = ""
    """What the line for typing begins with."""
    at_once: bool = True
    """Whether a change needs no restart."""
    is_changeable: bool = False
    is_secret: bool = False
    """Whether what is typed must not be seen."""


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
        """`no_color`: whether a flag (and not the user's environment) has set NO_COLOR."""
        self.profile = profile
        self.cache_path = cache_path
        self._no_color_flag = no_color
        self._environment = environment
        self.file = profile.paths.config_file

    def preferences(self) -> Preferences:
        """The preferences in force. Raises ConfigError."""
        return load_preferences(self.file, self._environment)

    def all(self) -> list[SettingLine]:
        """In the order of the screen. Raises ConfigError where the file can't be read."""
        now = self.preferences()
        document = read_document(self.file)
        ui = document.get(UI, {})
        profile = document.get(PROFILES, {}).get(self.profile.name, {})
        return [
            *(self._preference(s, ui, getattr(now, s.field)) for s in UI_SETTINGS if s.label),
            *(self._of_profile(s, profile) for s in PROFILE_SETTINGS if s.label),
        ]

    def change(self, key: str, value: str) -> None:
        """Write a setting into the file; an empty text goes back to the default.

        Raises ConfigError where the value can't be used, and DiskError.
        """
        from lora_tui.config.write import set_value

        set_value(self.file, self.profile.name, key, value.strip())

    def _preference(self, setting: Setting, table: Mapping[str, Any], value: Any) -> SettingLine:
        line = self._line(setting, table, value, setting.text_in(self._environment)[1])
        if setting.field != "theme" or _NO_COLOR not in self._environment:
            return line
        source = FLAG if self._no_color_flag else _NO_COLOR
        return line._replace(value="mono", source=source, is_changeable=False)

    def _of_profile(self, setting: Setting, table: Mapping[str, Any]) -> SettingLine:
        # the demo's profile comes from neither the environment nor the file
        is_demo = bool(self.profile.identity)
        text, variable = ("", "") if is_demo else setting.text_in(self._environment)
        value = setting.kind.to_file(text, variable) if text else table.get(setting.key)
        if value is None or value == "":
            is_directory = setting.field == "downloads"
            value = self.profile.paths.downloads_dir if is_directory else setting.default
        line = self._line(setting, table, value, variable)
        return line._replace(is_changeable=False) if is_demo else line

    def _line(
        self, setting: Setting, table: Mapping[str, Any], value: Any, variable: str
    ) -> SettingLine:
        return SettingLine(
            key=setting.key,
            label=setting.label,
            value=setting.unset if value is None else setting.kind.display(value),
            source=variable or (FILE if setting.key in table else DEFAULT),
            explanation=setting.hint,
            choices=setting.kind.choices,
            typed="" if value is None else setting.kind.edit_text(value),
            at_once=setting.at_once,
            is_changeable=not variable,
            is_secret=setting.secret,
        )
