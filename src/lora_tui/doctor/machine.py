"""Checks of this machine: configuration, directories, cache, terminal. No network, no change."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from lora_tui import clock, formats
from lora_tui.cache import metadata
from lora_tui.cache.integrity import check_integrity
from lora_tui.cache.schema import SCHEMA_VERSION
from lora_tui.config.load import DEFAULT_PROFILE, read_profiles
from lora_tui.config.paths import Paths
from lora_tui.config.table import SECRET_KEYS, Profile, setting_of
from lora_tui.doctor.findings import Finding, failed, ok, skipped, warning
from lora_tui.errors import DamagedCacheError
from lora_tui.files import file_system_of, has_locks
from lora_tui.sqlite_file import check_regular_files

_SMALLEST: Final = (80, 24)


class OutputStream(Protocol):
    """What `check_terminal` asks of an output; a text stream has it."""

    @property
    def encoding(self) -> str: ...

    def isatty(self) -> bool: ...


def check_config(profile: Profile) -> Finding:
    """Which profile is in force; whether others could read the secrets in its file."""
    path = profile.paths.config_file
    profiles = read_profiles(path)
    held = sorted(SECRET_KEYS & {key for table in profiles.values() for key in table})
    if held and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return failed(
            "config",
            f"{path} holds secrets ({', '.join(held)}) and others can read it",
            f"run `chmod 600 {path}`",
        )
    origin = "the demo" if profile.identity else "the environment"
    source = str(path) if profile.name in profiles else origin
    return ok("config", f"profile {profile.name} from {source}: {profile.url}")


def check_unconfigured(paths: Paths) -> Finding:
    """What to say where there is no profile to work with and none is asked for."""
    return failed(
        "config",
        f"nothing is configured: neither SUPABASE_URL nor {paths.config_file}",
        f"try `lora-tui demo`; or set SUPABASE_URL and SUPABASE_ANON_KEY, or run"
        f" `lora-tui config set url https://…` (profile {DEFAULT_PROFILE})",
    )


def check_directories(paths: Paths, downloads: Path) -> Iterator[Finding]:
    """Whether each directory is there or can be made, and whether it is private."""
    for name, place, private in (
        ("state directory", paths.state_dir, True),
        ("cache directory", paths.cache_dir, True),
        ("downloads directory", downloads, False),
    ):
        yield _directory(name, place, private=private)
    yield from _locks(paths.state_dir, paths.cache_dir, paths.config_file.parent, downloads)
    sessions = sorted((paths.state_dir / "sessions").glob("*.json"))
    exposed = [file for file in sessions if _is_exposed(file)]
    if exposed:
        yield failed(
            "session files",
            f"others can read {exposed[0]}",
            f"run `chmod 600 {exposed[0]}`, and `lora-tui logout` and `login` to be sure",
        )


def check_cache(path: Path) -> Finding:
    """Whether the cache can be read, and how old it is."""
    if not os.path.lexists(path):
        return warning("cache", f"there is none yet at {path}", "run `lora-tui sync`")
    try:
        check_regular_files(path)
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
                check_integrity(db)
            elif db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise DamagedCacheError("The cache file is damaged")
            last = metadata.get_sync_state(db).last_success
            (total,) = db.execute("SELECT count(*) FROM models").fetchone()
    except (DamagedCacheError, OSError, sqlite3.Error, ValueError):
        return failed(
            "cache",
            f"{path} is damaged",
            "run `lora-tui sync`, which moves it aside and starts a new one;"
            " or `lora-tui cache clear`",
        )
    age = formats.age(last, clock.now()) if last else "never"
    size = formats.size(path.stat().st_size)
    return ok("cache", f"{total:,} models, {size}, synced {age}, at {path}")


def check_terminal(stream: OutputStream, environment: Mapping[str, str] = os.environ) -> Finding:
    """Size, colours and characters of the terminal on `stream`."""
    if not stream.isatty():
        return skipped("terminal", "this output goes to no terminal")
    columns, lines = shutil.get_terminal_size()
    encoding = (stream.encoding or "ascii").lower()
    term = environment.get("TERM", "")
    if environment.get("NO_COLOR"):
        colours = "no colours (NO_COLOR)"
    elif environment.get("COLORTERM") in ("truecolor", "24bit"):
        colours = "all colours"
    else:
        colours = "256 colours" if "256" in term else "16 colours"
    seen = f"{columns}×{lines}, {colours}, {encoding}, TERM={term or 'not set'}"
    if term in ("", "dumb"):
        return failed(
            "terminal", seen, "set TERM to what the terminal is, for example xterm-256color"
        )
    if columns < _SMALLEST[0] or lines < _SMALLEST[1]:
        return warning("terminal", seen, "80×24 and more shows everything")
    if "utf" not in encoding and not setting_of("ascii").from_environment(environment):
        return warning("terminal", seen, "set LORA_TUI_ASCII=1, or a UTF-8 locale")
    return ok("terminal", seen)


def _is_exposed(file: Path) -> bool:
    """Whether others can read it; a link or a pipe with a session's name holds no session."""
    try:
        mode = file.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(stat.S_IMODE(mode) & 0o077)


def _is_there(path: Path) -> bool:
    """Also where it may not be looked at."""
    try:
        return path.exists()
    except OSError:
        return False


def _locks(*directories: Path) -> Iterator[Finding]:
    """A warning where a file system has no file locks."""
    for directory in dict.fromkeys(directories):
        existing = next((path for path in (directory, *directory.parents) if _is_there(path)), None)
        try:
            if existing is None or has_locks(existing):
                continue
        except OSError:
            continue  # what is the matter with a directory, its own check says
        yield warning(
            "file locks",
            f"{directory} is on a file system without file locks ({file_system_of(existing)}):"
            " lock files are used instead, and SQLite may refuse to work there",
            "set LORA_TUI_HOME, or the downloads directory, to a directory on a local disk",
        )
        return


def _directory(name: str, place: Path, *, private: bool) -> Finding:
    existing = next((path for path in (place, *place.parents) if _is_there(path)), Path("/"))
    if not existing.is_dir():
        return failed(name, f"{existing} is no directory", "move it away, or set LORA_TUI_HOME")
    if not os.access(existing, os.W_OK | os.X_OK):
        return failed(
            name, f"{existing} can't be written", "mend its permissions, or set LORA_TUI_HOME"
        )
    if existing != place:
        return ok(name, f"{place} will be made when it is needed")
    if private and stat.S_IMODE(place.stat().st_mode) & 0o022:
        return failed(name, f"others can write to {place}", f"run `chmod go-w {place}`")
    free = formats.size(shutil.disk_usage(place).free)
    return ok(name, f"{place}, {free} free")
