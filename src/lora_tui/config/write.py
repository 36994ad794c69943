"""Writes settings into the configuration file and keeps all else in it, comments included."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from lora_tui.config.kinds import Kind, Number, Written
from lora_tui.config.load import check_profile_name, is_of_demo, read_profiles
from lora_tui.config.servers import names_with_key
from lora_tui.config.setting import PROFILES, UI
from lora_tui.config.table import SECRET_KEYS, SERVERS, setting_of
from lora_tui.errors import ConfigError
from lora_tui.files import disk_error, make_private_directory, replacing_file
from lora_tui.locks.file_lock import locked_directory

_Changes = dict[tuple[str, ...], dict[str, Written | None] | None]
"""Table of the file → key → its new value, None to remove it; None to remove the whole table."""


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
    tables: dict[tuple[str, ...], dict[str, Written | None]] = {}
    for key, value in values.items():
        setting = setting_of(key)
        place = (PROFILES, profile) if setting.table == PROFILES else (UI,)
        text = value.strip()
        unset = (not text and not value) or text == setting.unset
        tables.setdefault(place, {})[key] = None if unset else _written(key, text)
    _edit(path, {**tables})


def write_server(
    path: Path, profile: str, server: str, values: Mapping[str, Written | None]
) -> None:
    """Write the keys of `[profiles.PROFILE.servers.SERVER]`; None removes a key.

    Like `set_values`; the values are those that config/servers.py accepts.
    """
    check_profile_name(profile)
    _edit(path, {(PROFILES, profile, SERVERS, server): dict(values)})


def remove_server(path: Path, profile: str, server: str) -> None:
    """Remove the table of a server; nothing happens where there is none. Raises like the others."""
    check_profile_name(profile)
    _edit(path, {(PROFILES, profile, SERVERS, server): None})


def _written(key: str, text: str) -> Written:
    if not text:
        raise ConfigError(f"{key} takes one line of text")
    kind = setting_of(key).kind
    try:
        return kind.to_file(text, key)
    except ConfigError as error:
        if error.remedy != ConfigError.default_remedy:  # which is about a value in the file
            raise
        allowed = f"set it to {_allowed(kind)}" if _allowed(kind) else "correct the value"
        raise ConfigError(str(error), details=error.details, remedy=allowed) from error


def _allowed(kind: Kind) -> str:
    return f"a number from {kind.least} to {kind.most}" if isinstance(kind, Number) else ""


def _edit(path: Path, changes: _Changes) -> None:
    target = Path(os.path.realpath(path))  # a link to the real file stays a link
    if target.exists() and not target.is_file():
        raise ConfigError("The configuration is no ordinary file", details=str(path))
    try:
        make_private_directory(target.parent)
        with locked_directory(target.parent):
            _refuse_demo(read_profiles(target), changes)
            _replace(target, _edited(target, changes))
    except OSError as error:
        raise disk_error(error, "The configuration can't be written", path) from error


def _refuse_demo(profiles: Mapping[str, Mapping[str, Any]], changes: _Changes) -> None:
    """Raise ConfigError where a table would be written that takes the name of the demo."""
    for (table, *names), values in changes.items():
        if values is None or table != PROFILES:
            continue
        for name in names[:1]:
            is_set = any(value is not None for value in values.values())
            if is_set and is_of_demo(name, profiles.get(name, {})):
                raise ConfigError(
                    f"The demo does not use {', '.join(values)}",
                    remedy="leave out `--profile`, or choose the name of another profile",
                )


def _edited(path: Path, changes: _Changes) -> str:
    import tomlkit  # late: only a change of the file needs it
    from tomlkit.exceptions import TOMLKitError
    from tomlkit.items import Table

    text = _text_of(path)
    has_dos_lines = 0 < text.count("\r\n") == text.count("\n")
    if has_dos_lines:
        text = text.replace("\r\n", "\n")
    if text and not text.endswith("\n"):
        text += "\n"
    try:
        for place, values in changes.items():
            if values is not None and any(value is not None for value in values.values()):
                text = _with_table(text, place)
        document = tomlkit.parse(text)
        for place, values in changes.items():
            if values is None:
                if _has_table(text, place):
                    _table_in(document, place[:-1]).pop(place[-1])
                    _remove_empty(document, place[:-1])
                continue
            if all(value is None for value in values.values()) and not _has_table(text, place):
                continue
            table = _table_in(document, place)
            for key, value in values.items():
                if value is None:
                    table.pop(key, None)
                elif key in table:
                    table[key] = value
                else:
                    _append(table, key, value)
            if isinstance(table, Table) and not table.as_string().strip():  # not even comments
                _remove_empty(document, place)
        edited = tomlkit.dumps(document)
    except (TOMLKitError, ValueError, RecursionError):
        # its message may quote the file, and with it a secret
        raise ConfigError("The configuration file is not valid TOML", details=str(path)) from None
    return edited.replace("\n", "\r\n") if has_dos_lines else edited


def _text_of(path: Path) -> str:
    """The file with its own line ends; empty where there is none."""
    if not path.exists():
        return ""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return file.read()


def _has_table(text: str, place: tuple[str, ...]) -> bool:
    table: Any = tomllib.loads(text)
    for name in place:
        table = table.get(name) if isinstance(table, dict) else None
    return isinstance(table, dict)


def _with_table(text: str, place: tuple[str, ...]) -> str:
    """The text with a heading for this table at its end, where it has none yet."""
    if _has_table(text, place):
        return text
    # the name of a profile may have dots in it
    heading = ".".join(f'"{name}"' if "." in name else name for name in place)
    longer = f"{text}\n[{heading}]\n" if text.strip() else f"{text}[{heading}]\n"
    try:
        tomllib.loads(longer)
    except ValueError:
        return text  # for example `profiles = {…}` in one line
    return longer


def _table_in(
    document: MutableMapping[str, Any], place: tuple[str, ...]
) -> MutableMapping[str, Any]:
    """The table of the document; a new one where it has none."""
    import tomlkit

    table = document
    for name in place:
        if name not in table:
            table[name] = tomlkit.table()
        table = table[name]
        assert isinstance(table, MutableMapping)
    return table


def _remove_empty(document: MutableMapping[str, Any], place: tuple[str, ...]) -> None:
    """Remove an empty table, and the tables above it that held nothing else."""
    parents = [document]
    for name in place[:-1]:
        parents.append(parents[-1][name])
    for name, parent in zip(reversed(place), reversed(parents), strict=True):
        if not parent[name]:
            del parent[name]


def _append(table: MutableMapping[str, Any], key: str, value: Written) -> None:
    """Add a key after the last key of a table; comments that follow belong to the next table."""
    import tomlkit
    from tomlkit.items import Table

    if not isinstance(table, Table):
        table[key] = value  # a table in one line
        return
    body = table.value.body
    keys = [place for place, (name, _) in enumerate(body) if name is not None]
    after = keys[-1] + 1 if keys else 0
    rest = body[after:]
    del body[after:]
    item = tomlkit.item(value)
    if keys:
        item.trivia.indent = body[-1][1].trivia.indent
    table.append(key, item)
    body.extend(rest)


def _replace(path: Path, text: str) -> None:
    with replacing_file(path, durable=True) as (file, partial):
        file.write(text)
        file.flush()
        tables = read_profiles(partial).values()  # what was written is what can be read
        has_secret = any(SECRET_KEYS & table.keys() or names_with_key(table) for table in tables)
        if path.exists() and not has_secret:
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
