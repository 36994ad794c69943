"""`config`, `cache` and `schema`: what is set up here, and what can be thrown away."""

from __future__ import annotations

import getpass
import os
import sqlite3
import sys
from importlib import resources
from pathlib import Path

from lora_tui import clock, formats
from lora_tui.cache import metadata
from lora_tui.cache.integrity import QUICKLY_READ, check_integrity
from lora_tui.cache.metadata import Owner
from lora_tui.cache.rebuild import clear_cache
from lora_tui.commands.context import Context
from lora_tui.config.keys import DEFAULT_KEYS, Keymap, keys_of, spelled
from lora_tui.config.preferences import load_preferences
from lora_tui.config.profile import DEFAULT_PROFILE, find_paths, read_profiles
from lora_tui.errors import AuthenticationError, DiskError, LoraTuiError, UsageError
from lora_tui.secret import MASK


def config(context: Context) -> None:
    """Print the path of the configuration, the profile in force, or all names; set a value."""
    arguments = context.arguments
    paths = find_paths(config_file=arguments.config)
    if arguments.action == "set":
        _set(context, paths.config_file)
        return
    if arguments.key is not None:
        raise UsageError(f"`config {arguments.action}` takes no key")
    if arguments.action == "path":
        if context.json:
            context.print_data({"path": str(paths.config_file)})
        else:
            context.out.write(f"{paths.config_file}\n")
        return
    if arguments.action == "profiles":
        names = sorted(read_profiles(paths.config_file))
        if context.json:
            context.print_data({"profiles": names})
        else:
            context.out.writelines(f"{name}\n" for name in names)
        return
    preferences = load_preferences(paths.config_file)
    if arguments.action == "keys":
        _keys(context, preferences.keys)
        return
    profile = context.profile
    shown = {
        "profile": profile.name,
        "url": profile.url,
        "anon_key": MASK,
        "service_key": MASK if profile.service_key else None,
        "gpu_url": profile.gpu_url,
        "gpu_key": MASK if profile.gpu_key else None,
        "email": profile.email,
        "password": MASK if profile.password else None,
        "access_token": MASK if profile.access_token else None,
        "downloads": str(profile.downloads_dir),
        "allow_private_urls": profile.allow_private_urls,
    }
    moved = {name: _spelled(name, preferences.keys) for name in preferences.keys}
    if context.json:
        context.print_data({**shown, "keys": moved})
        return
    for key, value in {**shown, **moved}.items():
        context.out.write(f"{key:<20} {formats.NO_VALUE if value is None else value}\n")


def _keys(context: Context, moved: Keymap) -> None:
    """All actions that can be moved to other keys, with the keys that they have."""
    if context.json:
        context.print_data({name: _spelled(name, moved) for name in DEFAULT_KEYS})
        return
    for name in DEFAULT_KEYS:
        mark = "   (moved)" if name in moved else ""
        context.out.write(f"{name:<24} {_spelled(name, moved)}{mark}\n")


def _spelled(name: str, moved: Keymap) -> str:
    return ",".join("comma" if key == "comma" else spelled(key) for key in keys_of(name, moved))


def _set(context: Context, path: Path) -> None:
    from lora_tui.config.file import SECRET_KEYS, set_value

    arguments = context.arguments
    key, value = arguments.key, arguments.value
    if key is None or (value is None and key not in SECRET_KEYS):
        raise UsageError(
            "A key and a value are needed", remedy="like this: lora-tui config set url https://host"
        )
    if value in (None, "-"):
        if sys.stdin.isatty():
            value = getpass.getpass(f"{key}: ")
        else:
            value = sys.stdin.readline().rstrip("\n")
    elif value and key in SECRET_KEYS:
        context.say(
            f"Other users could read that in the list of processes, and your shell remembers it:"
            f" next time `lora-tui config set {key} -` asks for it."
        )
    profile = arguments.profile or os.environ.get("LORA_TUI_PROFILE") or DEFAULT_PROFILE
    set_value(path, profile, key, value)
    if context.json:
        context.print_data({"path": str(path), "profile": profile, "key": key})
    else:
        context.say(f"{'Set' if value else 'Removed'} {key} of profile {profile} in {path}")


def cache(context: Context) -> None:
    """Say where the cache is and what is in it, or remove it."""
    if context.arguments.action == "clear":
        path, existed = _clear(context)
        if context.json:
            context.print_data({"path": str(path), "removed": existed})
        else:
            context.say("The cache was removed." if existed else "There was no cache.")
        return
    path = context.cache_path()
    with context.cache() as db:
        if path.stat().st_size <= QUICKLY_READ:
            check_integrity(db)
        counts = {
            table: _count(db, table) for table in ("models", "jobs", "datasets", "notifications")
        }
        last = metadata.get_sync_state(db).last_success
    size = path.stat().st_size
    if context.json:
        data = {
            "path": str(path),
            "bytes": size,
            "last_sync": last.isoformat() if last else None,
            **counts,
        }
        context.print_data(data)
        return
    context.out.write(f"{'path':<20} {path}\n{'size':<20} {formats.size(size)}\n")
    context.out.write(f"{'last sync':<20} {formats.age(last, clock.now())}\n")
    for table, total in counts.items():
        context.out.write(f"{table:<20} {total:,}\n")


def schema(context: Context) -> None:
    """Print the additive SQL migration that a real project needs."""
    folder = resources.files("lora_tui") / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name
    )
    if not files:
        raise LoraTuiError("The migration is missing from this installation")
    sql = "".join(file.read_text(encoding="utf-8") for file in files)
    if context.json:
        context.print_data({"sql": sql})
    else:
        context.out.write(sql)


def _clear(context: Context) -> tuple[Path, bool]:
    """Remove the signed-in user's cache. Where nobody is, the profile's, if there is but one."""
    try:
        owner: Owner | None = context.cache_owner()
        path = context.cache_path()
    except (AuthenticationError, DiskError):
        profile = context.profile
        caches = list(profile.paths.cache_dir.glob(f"{profile.key}-*.sqlite3"))
        if len(caches) != 1:
            raise
        owner, path = None, caches[0]
    return path, clear_cache(path, owner)


def _count(db: sqlite3.Connection, table: str) -> int:
    (total,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - ours
    return int(total)
