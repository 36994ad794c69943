"""Loads the configuration: the profile and the preferences in force.

The first of these that sets a value counts: command-line flag, environment (NAME, or the file that
NAME_FILE names), the configuration file, the default. Nothing here prints a secret.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from lora_tui.config.paths import find_paths
from lora_tui.config.setting import PROFILES, UI, Setting
from lora_tui.config.table import (
    DEMO_PROFILES,
    PROFILE_SETTINGS,
    SERVERS,
    UI_SETTINGS,
    Preferences,
    Profile,
    Variables,
    setting_of,
    variables,
)
from lora_tui.config.text_file import read_text_file
from lora_tui.errors import ConfigError, IncompleteConfigError, NotConfiguredError
from lora_tui.text import terminal_safe

DEFAULT_PROFILE: Final = Variables().profile
IGNORED: Final = "The configuration file has an unknown name, which is ignored"
_TABLES: Final = (PROFILES, UI, "keys")


def load_profile(
    *,
    name: str | None = None,
    config_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    warn: Callable[[str], None] | None = None,
    complete: bool = True,
) -> Profile:
    """The profile to work with. Raises ConfigError where none is configured or one is wrong.

    `warn` gets a sentence for each name in the file that is not known, and for a table of the demo,
    which is ignored. Without `complete`, required values that are missing are empty; else raises
    IncompleteConfigError.
    """
    paths = find_paths(environment, config_file)
    document = read_document(paths.config_file, required=config_file is not None)
    if warn is not None:
        for warning in unknown_names(document):
            warn(f"{IGNORED}: {warning}.")
    tables = _profiles_of(document, paths.config_file)
    profiles = {name: table for name, table in tables.items() if not is_of_demo(name, table)}
    chosen = variables(environment).profile if name is None else name
    check_profile_name(chosen, source="LORA_TUI_PROFILE" if name is None else "--profile")
    if chosen in DEMO_PROFILES and chosen not in profiles:
        from lora_tui.config.demo import profile_from_note  # late: only the demo needs it

        if tables.get(chosen) and warn is not None:
            ignored = ", ".join(sorted(tables[chosen]))
            warn(
                f"[{PROFILES}.{chosen}] has no url and is ignored; the demo does not use {ignored}."
            )
        return profile_from_note(paths, chosen)
    has_url = bool(setting_of("url").text_in(environment)[0])
    if chosen not in profiles and (chosen != DEFAULT_PROFILE or not has_url):
        if name or profiles:
            known = ", ".join(sorted(profiles)) or "none"
            raise ConfigError(
                f"There is no profile named {chosen}",
                details=f"profiles in {paths.config_file}: {known}",
                remedy=f"name one of them, or run `lora-tui config set url https://… --profile"
                f" {chosen}`",
            )
        raise NotConfiguredError(
            "Nothing is configured yet",
            remedy="try `lora-tui demo`, or set SUPABASE_URL and SUPABASE_ANON_KEY,"
            " or run `lora-tui config set url https://…` and `lora-tui config set anon_key …`",
        )
    table = profiles.get(chosen, {})
    place = f"profile {chosen}"
    found = {s.field: s.value_and_source(table, place, environment) for s in PROFILE_SETTINGS}
    values = {field: value for field, (value, _) in found.items() if value is not None}
    for setting in PROFILE_SETTINGS:
        if setting.field not in values and setting.field not in Profile._field_defaults:
            if not complete:
                values[setting.field] = ""
                continue
            raise IncompleteConfigError(
                f"{setting.variable} is not set",
                remedy=f"set {setting.variable}, or {setting.key} in [profiles.{chosen}]"
                f" of {paths.config_file}",
            )
    sources = {field: source for field, (_, source) in found.items() if source}
    servers = table.get(SERVERS, {})
    if not isinstance(servers, dict):
        raise ConfigError(
            f"{SERVERS} of {place} must be tables: [{PROFILES}.{chosen}.{SERVERS}.NAME]",
            details=str(paths.config_file),
        )
    return Profile(name=chosen, paths=paths, sources=sources, servers=servers, **values)


def load_preferences(path: Path, environment: Mapping[str, str] = os.environ) -> Preferences:
    """The preferences of this file; the environment overrides it. Raises ConfigError."""
    from lora_tui.config.keys import keymap_of  # late: no command but `config` needs it

    document = read_document(path)
    table = document.get(UI, {})
    if not isinstance(table, dict):
        raise ConfigError("[ui] must be a table", details=str(path))
    unknown = sorted(set(table) - {setting.key for setting in UI_SETTINGS})
    if unknown:
        raise ConfigError(
            f"[ui] has a key that is not known: {unknown[0]}",
            remedy=f"known keys: {', '.join(setting.key for setting in UI_SETTINGS)}",
        )
    preferences = Preferences(
        **_values(UI_SETTINGS, table, "[ui]", environment), keys=keymap_of(document)
    )
    if not writes_unicode(sys.stdout):
        preferences = preferences._replace(ascii_only=True)
    return preferences


def writes_unicode(stream: TextIO) -> bool:
    """Whether every character can be written to a stream.

    While the application runs, stdout is an object of Textual's without an encoding; then the
    process's own stdout counts.
    """
    encoding = getattr(stream, "encoding", None) or getattr(sys.__stdout__, "encoding", None)
    return "utf" in (encoding or "ascii").lower()


def read_document(path: Path, *, required: bool = False) -> dict[str, Any]:
    """The whole file; empty where there is none. Raises ConfigError where it can't be read."""
    try:
        text = read_text_file(path, "The configuration file")
    except FileNotFoundError:
        if required:
            raise ConfigError(
                "The configuration file does not exist",
                details=str(path),
                remedy="check the path after --config",
            ) from None
        return {}
    import tomllib  # late: without a file its parser is not needed

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # the parser's message names line and column, never the value, which may be a secret
        reason = "a number in it is too long"
        if isinstance(error, tomllib.TOMLDecodeError):
            reason = str(error)
        elif isinstance(error, RecursionError):
            reason = "it is nested too deeply"
        raise ConfigError(
            f"The configuration file is not valid TOML: {reason}", details=str(path)
        ) from None


def read_profiles(path: Path) -> dict[str, dict[str, Any]]:
    """The `[profiles.NAME]` tables of the file; empty where there is no file."""
    return _profiles_of(read_document(path), path)


def is_of_demo(name: str, table: Mapping[str, Any]) -> bool:
    """Whether a table names a demo. With a url it is a project of the user instead."""
    url = table.get("url")
    return name in DEMO_PROFILES and (url is None or not str(url).strip())


def unknown_names(document: Mapping[str, Any]) -> list[str]:
    """Each unknown name at the top of the file, with the nearest known one."""
    unknown = [name for name in document if name not in _TABLES]
    if not unknown:
        return []
    from difflib import get_close_matches

    places = {s.key: f"[{PROFILES}.{DEFAULT_PROFILE}]" for s in PROFILE_SETTINGS}
    places |= {setting.key: f"[{UI}]" for setting in UI_SETTINGS}
    found = []
    for name in unknown:
        is_table = isinstance(document[name], dict)
        near = get_close_matches(name.lower(), _TABLES if is_table else places, n=1)
        hint = ""
        if not is_table and name in places:
            hint = f" (it belongs in {places[name]})"
        elif near:
            known = f"[{near[0]}]" if is_table else f"{near[0]} in {places[near[0]]}"
            hint = f" (do you mean {known}?)"
        shown = terminal_safe(name, limit=60)
        found.append(f"{f'[{shown}]' if is_table else shown}{hint}")
    return found


def _profiles_of(document: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    profiles = document.get(PROFILES, {})
    if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
        raise ConfigError("Each profile is a table: [profiles.NAME]", details=str(path))
    known = sorted(setting.key for setting in PROFILE_SETTINGS)
    for name, table in profiles.items():
        check_profile_name(name, path)
        unknown = sorted(set(table).difference(known, [SERVERS]))
        if unknown:
            raise ConfigError(
                f"Profile {name} has a key that is not known: {unknown[0]}",
                details=str(path),
                remedy=f"known keys: {', '.join(known)}",
            )
    return profiles


def check_profile_name(name: str, path: Path | None = None, *, source: str = "--profile") -> None:
    """Raise ConfigError where this can't be a profile's name, which becomes part of file names.

    `path` is the file that has the name; None where the user gave it, as the option or the variable
    `source`.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", name):
        raise ConfigError(
            "A profile's name is made of letters, digits, dots, hyphens and underscores",
            details=None if path is None else f"{name!r} in {path}",
            remedy=f"choose another {source}" if path is None else "rename it in the file",
        )


def _values(
    settings: Iterable[Setting],
    table: Mapping[str, Any],
    place: str,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """The values that are set, by the names of the fields."""
    found = {s.field: s.value(table, place, environment) for s in settings}
    return {field: value for field, value in found.items() if value is not None}
