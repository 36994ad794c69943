"""Writes settings into the configuration file and keeps all else in it, comments included."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final

from lora_tui.config.preferences import check_preference
from lora_tui.config.profile import KEYS, check_profile_name, check_setting, read_profiles
from lora_tui.errors import ConfigError
from lora_tui.files import disk_error, locked_directory, make_private_directory, replacing_file

Setting = str | bool | int | float | None

SECRET_KEYS: Final = frozenset({"service_key", "gpu_key", "password", "access_token"})


def set_value(path: Path, profile: str, key: str, value: str) -> None:
    """Set `key` of `[profiles.PROFILE]`; see `set_values`."""
    set_values(path, profile, {key: value})


def set_values(path: Path, profile: str, values: Mapping[str, str]) -> None:
    """Set all of these in `[profiles.PROFILE]`, or none; an empty value removes its key.

    The file is replaced in one step, other processes wait, and only its owner can read it from then
    on where it holds secrets. Raises ConfigError (unknown key, unusable value, broken file) and
    DiskError.
    """
    check_profile_name(profile)
    settings: dict[str, Setting] = {}
    for key, value in values.items():
        if key not in KEYS:
            raise ConfigError(
                f"There is no setting named {key!r}",
                remedy=f"known ones: {', '.join(sorted(KEYS))}",
            )
        settings[key] = check_setting(key, value) if value else None
    _edit(path, ("profiles", profile), settings)


def set_preference(path: Path, key: str, value: Setting) -> None:
    """Set `key` of `[ui]`; None removes it. Raises ConfigError and DiskError."""
    _edit(path, ("ui",), {key: None if value is None else check_preference(key, value)})


def _edit(path: Path, table: Sequence[str], settings: Mapping[str, Setting]) -> None:
    target = Path(os.path.realpath(path))  # a link to the real file stays a link
    if target.exists() and not target.is_file():
        raise ConfigError("The configuration is no ordinary file", details=str(path))
    try:
        make_private_directory(target.parent)
        with locked_directory(target.parent):
            read_profiles(target)
            _replace(target, _edited(target, table, settings))
    except OSError as error:
        raise disk_error(error, "The configuration can't be written", path) from error


def _edited(path: Path, place: Sequence[str], settings: Mapping[str, Setting]) -> str:
    import tomlkit  # late: only this command writes
    from tomlkit.exceptions import TOMLKitError

    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        document = tomlkit.parse(text)
        table: MutableMapping[str, Any] = document
        for depth, name in enumerate(place):
            if name not in table:
                table[name] = tomlkit.table(is_super_table=depth < len(place) - 1)
            table = table[name]
            assert isinstance(table, MutableMapping)
        for key, setting in settings.items():
            if setting is None:
                table.pop(key, None)
            else:
                table[key] = setting
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
