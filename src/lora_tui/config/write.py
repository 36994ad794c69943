"""Writes settings into the configuration file and keeps all else in it, comments included."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from lora_tui.config.kinds import Written
from lora_tui.config.load import check_profile_name, read_profiles
from lora_tui.config.table import PROFILES, SECRET_KEYS, UI, setting_of
from lora_tui.errors import ConfigError
from lora_tui.files import disk_error, locked_directory, make_private_directory, replacing_file

_Changes = dict[tuple[str, ...], dict[str, Written | None]]
"""Table of the file → key → its new value, None to remove it."""


def set_value(path: Path, profile: str, key: str, value: str) -> None:
    """Set one key; see `set_values`."""
    set_values(path, profile, {key: value})


def set_values(path: Path, profile: str, values: Mapping[str, str]) -> None:
    """Set these keys of `[profiles.PROFILE]` and `[ui]`, all or none; an empty text removes a key.

    The file is replaced in one step while other processes wait. A file that holds a secret can be
    read by its owner only. Raises ConfigError (unknown key, unusable value, broken file) and
    DiskError.
    """
    check_profile_name(profile)
    changes: _Changes = {}
    for key, value in values.items():
        setting = setting_of(key)
        place = (PROFILES, profile) if setting.table == PROFILES else (UI,)
        text = value.strip()
        unset = (not text and not value) or text == setting.unset
        changes.setdefault(place, {})[key] = None if unset else _written(key, text)
    _edit(path, changes)


def _written(key: str, text: str) -> Written:
    if not text:
        raise ConfigError(f"{key} takes one line of text")
    return setting_of(key).kind.written(text, key)


def _edit(path: Path, changes: _Changes) -> None:
    target = Path(os.path.realpath(path))  # a link to the real file stays a link
    if target.exists() and not target.is_file():
        raise ConfigError("The configuration is no ordinary file", details=str(path))
    try:
        make_private_directory(target.parent)
        with locked_directory(target.parent):
            read_profiles(target)
            _replace(target, _edited(target, changes))
    except OSError as error:
        raise disk_error(error, "The configuration can't be written", path) from error


def _edited(path: Path, changes: _Changes) -> str:
    import tomlkit  # late: only a change of the file needs it
    from tomlkit.exceptions import TOMLKitError

    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        document = tomlkit.parse(text)
        for place, values in changes.items():
            table: MutableMapping[str, Any] = document
            for depth, name in enumerate(place):
                if name not in table:
                    table[name] = tomlkit.table(is_super_table=depth < len(place) - 1)
                table = table[name]
                assert isinstance(table, MutableMapping)
            for key, value in values.items():
                if value is None:
                    table.pop(key, None)
                else:
                    table[key] = value
        return tomlkit.dumps(document)
    except TOMLKitError:
        # its message may quote the file, and with it a secret
        raise ConfigError("The configuration file is not valid TOML", details=str(path)) from None


def _replace(path: Path, text: str) -> None:
    with replacing_file(path, durable=True) as (file, partial):
        file.write(text)
        file.flush()
        tables = read_profiles(partial).values()  # what was written is what can be read
        if path.exists() and not any(SECRET_KEYS & table.keys() for table in tables):
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
