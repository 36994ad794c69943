"""`config`: show the configuration in force, and change it."""

from __future__ import annotations

import getpass
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lora_tui import formats
from lora_tui.commands.context import Context
from lora_tui.commands.prose import wrapped
from lora_tui.config.keys import DEFAULT_KEYS, Keymap, keys_of, spelled
from lora_tui.config.load import (
    IGNORED,
    load_preferences,
    load_profile,
    read_document,
    read_profiles,
    unknown_names,
)
from lora_tui.config.paths import find_paths
from lora_tui.config.setting import PROFILES, Setting
from lora_tui.config.table import PROFILE_SETTINGS, UI_SETTINGS, Profile, setting_of, variables
from lora_tui.errors import ConfigError, IncompleteConfigError, UsageError
from lora_tui.secret import MASK

_VALUE_WIDTH = 28
_MIN_ROOM = 24


def config(context: Context) -> None:
    """Print the path of the file, the settings in force, or names; or set a value."""
    arguments = context.arguments
    path = find_paths(config_file=arguments.config).config_file
    if arguments.action != "show":  # which loads the profile, and that warns
        _warn_of_unknown_names(context, path)
    if arguments.action == "set":
        _set(context, path)
        return
    if arguments.key is not None:
        raise UsageError(
            f"`config {arguments.action}` takes no key", remedy=f"leave out {arguments.key!r}"
        )
    if arguments.action == "path":
        if context.json:
            context.print_data({"path": str(path)})
        else:
            context.out.write(f"{path}\n")
    elif arguments.action == "profiles":
        names = sorted(read_profiles(path))
        if context.json:
            context.print_data({"profiles": names})
        else:
            context.out.writelines(f"{name}\n" for name in names)
            if not names:
                context.say(f"No profiles are configured in {path}. The demo needs none.")
    elif arguments.action == "keys":
        _print_keys(context, load_preferences(path).keys)
    else:
        _show(context, path)


def _show(context: Context, path: Path) -> None:
    """Print the settings in force, secrets masked, and the keys that were moved."""
    preferences, profile = load_preferences(path), _profile(context)
    shown: dict[str, Any] = {"profile": profile.name}
    lines = [("profile", profile.name, "")]
    for settings, values in ((PROFILE_SETTINGS, profile), (UI_SETTINGS, preferences)):
        for setting in settings:
            # scripts read where adapters lie, also where the directory is the default
            is_directory = setting.field == "downloads"
            value = profile.downloads_dir if is_directory else getattr(values, setting.field)
            value = str(value) if isinstance(value, Path) else value
            shown[setting.key] = MASK if setting.masked and value else value
            lines.append((setting.key, _in_file(setting, value), setting.help.replace("`", "")))
    moved = {name: _keys_written(name, preferences.keys) for name in preferences.keys}
    servers = {
        name: {key: MASK if key == "key" else value for key, value in table.items()}
        for name, table in profile.servers.items()
        if isinstance(table, dict)
    }
    if context.json:
        context.print_data({**shown, "keys": moved, "servers": servers})
        return
    lines += [
        (f"servers.{name}", ", ".join(f"{key} = {table[key]}" for key in table), "")
        for name, table in servers.items()
    ]
    lines += [(name, keys, "") for name, keys in moved.items()]
    width = shutil.get_terminal_size().columns if context.out.isatty() else None
    context.out.writelines(f"{line}\n" for line in setting_lines(lines, width))


def _profile(context: Context) -> Profile:
    """The profile in force; what an incomplete one lacks is empty, and said."""
    try:
        return context.profile
    except IncompleteConfigError as error:
        context.say(f"{error}: {error.remedy}.")
        arguments = context.arguments
        return load_profile(name=arguments.profile, config_file=arguments.config, complete=False)


def setting_lines(lines: Iterable[tuple[str, str, str]], width: int | None) -> Iterator[str]:
    """Lines of key, value and explanation, which wraps to a terminal of `width` columns."""
    for key, value, explanation in lines:
        line = f"{key:<20} {value:<{_VALUE_WIDTH}}  "
        if width is None or len(line) + len(explanation) <= width:
            yield f"{line}{explanation}".rstrip()
            continue
        room = width - len(line)
        if room < _MIN_ROOM:  # below the value
            yield line.rstrip()
            line, room = " " * 21, max(_MIN_ROOM, width - 21)
        first, *more = wrapped(explanation, room)
        yield f"{line}{first}"
        yield from (" " * len(line) + rest for rest in more)


def _in_file(setting: Setting, value: Any) -> str:
    """A value as the file has it, without quotes; secrets masked."""
    if value in (None, ""):
        return setting.unset or formats.NO_VALUE
    return MASK if setting.masked else setting.kind.file_text(value)


def _warn_of_unknown_names(context: Context, path: Path) -> None:
    try:
        unknown = unknown_names(read_document(path))
    except ConfigError:  # a command that needs the file reports it
        return
    for name in unknown:
        context.say(f"{IGNORED}: {name}.")


def _print_keys(context: Context, moved: Keymap) -> None:
    """Print all actions that can be moved to other keys, with the keys that they have."""
    if context.json:
        context.print_data({name: _keys_written(name, moved) for name in DEFAULT_KEYS})
        return
    for name in DEFAULT_KEYS:
        mark = "   (moved)" if name in moved else ""
        context.out.write(f"{name:<24} {_keys_written(name, moved)}{mark}\n")


def _keys_written(name: str, moved: Keymap) -> str:
    """The keys of an action as the configuration file has them."""
    return ",".join("comma" if key == "comma" else spelled(key) for key in keys_of(name, moved))


def _set(context: Context, path: Path) -> None:
    from lora_tui.config.write import set_value  # late: most calls of `config` only read

    arguments = context.arguments
    key, value = arguments.key, arguments.value
    if key is None:
        raise UsageError(
            "A key and a value are needed", remedy="write `lora-tui config set url https://host`"
        )
    setting = setting_of(key)
    if value is None and not setting.secret:
        raise UsageError(
            f"A value for {key} is needed", remedy=f"write `lora-tui config set {key} VALUE`"
        )
    if value in (None, "-"):
        value = _asked_for(key)
    elif value and setting.secret:
        context.say(
            f"Other users can see this value in the list of processes, and your shell may store it:"
            f" next time use `lora-tui config set {key} -`, which asks for it."
        )
    profile = arguments.profile if arguments.profile is not None else variables().profile
    set_value(path, profile, key, value)
    if context.json:
        context.print_data({"path": str(path), "profile": profile, "key": key})
        return
    where = f"of profile {profile}" if setting.table == PROFILES else "for all profiles"
    context.say(f"{'Set' if value else 'Removed'} {key} {where} in {path}")


def _asked_for(key: str) -> str:
    """The value that is typed, or that stdin holds. Raises UsageError where there is none."""
    try:
        value = getpass.getpass(f"{key}: ") if sys.stdin.isatty() else sys.stdin.readline()
    except UnicodeDecodeError:
        raise UsageError(f"The value for {key} is not UTF-8 text") from None
    except EOFError:
        value = ""
    if not value.strip():
        raise UsageError(
            f"No value for {key} was given, and nothing was changed",
            remedy=f"write it to stdin, or run `lora-tui config set {key} ''` to remove it",
        )
    return value.rstrip("\n")
