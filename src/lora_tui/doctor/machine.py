"""Checks of this machine: configuration, directories, cache, terminal; reads only, no network."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from lora_tui import clock, formats
from lora_tui.cache import metadata
from lora_tui.cache.integrity import check_integrity
from lora_tui.cache.schema import SCHEMA_VERSION
from lora_tui.clock import parse_timestamp
from lora_tui.config.load import (
    DEFAULT_PROFILE,
    IGNORED,
    read_document,
    read_profiles,
    unknown_names,
)
from lora_tui.config.paths import Paths
from lora_tui.config.servers import names_with_key
from lora_tui.config.table import SECRET_KEYS, Profile, setting_of
from lora_tui.doctor.findings import TABLE_REMEDY, Finding, failed, failure, ok, skipped, warning
from lora_tui.domain.invalid_values import invalid_columns
from lora_tui.engine.crash_reports import crash_reports
from lora_tui.engine.logs import engine_log
from lora_tui.errors import DamagedCacheError
from lora_tui.files import disk_error_reason, file_system_of, has_locks
from lora_tui.sqlite_file import (
    ACCESS_CODES,
    database_error,
    has_damaged_header,
    open_for_reading,
    sqlite_code,
)
from lora_tui.text import terminal_safe

_SMALLEST: Final = (80, 24)
_TABLES: Final = (
    ("datasets", "datasets"),
    ("training_jobs", "jobs"),
    ("model_artifacts", "models"),
    ("notifications", "notifications"),
    ("cost_records", "cost_records"),
)
_ROWS_REMEDY: Final = (
    "correct these values in the project's table editor, then run `lora-tui sync --full`;"
    " until then the rows are shown without them"
)
_MOST_EXAMPLES: Final = 3
_LEAST_SPACE: Final = 1 << 20
"""Bytes; with less than this on a disk nothing works, and with less than the next only some."""
_LITTLE_SPACE: Final = 32 << 20
_SPACE_REMEDY: Final = (
    "free some space, or set LORA_TUI_HOME, or the downloads directory, to a directory"
    " on another disk"
)


class OutputStream(Protocol):
    """The part of a text stream that `check_terminal` uses."""

    @property
    def encoding(self) -> str: ...

    def isatty(self) -> bool: ...


def check_config(profile: Profile) -> Finding:
    """Check which profile is in force, and that others can't read the secrets in its file."""
    path = profile.paths.config_file
    unknown = unknown_names(read_document(path))
    if unknown:
        return warning(
            "config", f"{IGNORED}: {', '.join(unknown)}", f"correct or remove it in {path}"
        )
    profiles = read_profiles(path)
    held = sorted(SECRET_KEYS & {key for table in profiles.values() for key in table})
    held += [f"key of {name}" for table in profiles.values() for name in names_with_key(table)]
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
    """Return the finding that nothing is configured."""
    return failed(
        "config",
        f"nothing is configured: neither SUPABASE_URL nor {paths.config_file}",
        f"try `lora-tui demo`; or set SUPABASE_URL and SUPABASE_ANON_KEY, or run"
        f" `lora-tui config set url https://…` (profile {DEFAULT_PROFILE})",
    )


def check_directories(paths: Paths, downloads: Path) -> Iterator[Finding]:
    """Check that each directory exists or can be created, and that it is private."""
    for name, place, private in (
        ("state directory", paths.state_dir, True),
        ("cache directory", paths.cache_dir, True),
        ("data directory", paths.data_dir, True),
        ("downloads directory", downloads, False),
    ):
        yield _check_directory(name, place, private=private)
    yield from _check_locks(paths.state_dir, paths.cache_dir, paths.config_file.parent, downloads)
    sessions = sorted((paths.state_dir / "sessions").glob("*.json"))
    exposed = [file for file in sessions if _is_exposed(file)]
    if exposed:
        yield failed(
            "session files",
            f"others can read {exposed[0]}",
            f"run `chmod 600 {exposed[0]}`, then `lora-tui logout` and `lora-tui login`",
        )


def check_logs(state_dir: Path) -> Iterator[Finding]:
    """Name the newest report of a crash and the log file, if there are any; never their content."""
    reports = crash_reports(state_dir)
    if reports:
        count = f"{len(reports)} reports, the newest: " if len(reports) > 1 else ""
        yield warning(
            "crash reports",
            f"{count}{_describe(reports[0])}",
            "send it to the project, then delete it; docs/security.md says what it holds",
        )
    log = engine_log(state_dir)
    if os.path.lexists(log):
        if log.is_file() and not log.is_symlink() and os.access(log, os.W_OK):
            yield ok("log", _describe(log))
        else:
            yield warning(
                "log",
                f"{log} can't be written, so no error is logged",
                "move it away, or correct its permissions",
            )


def check_cache(path: Path) -> Finding:
    """Check that the cache can be read; the evidence says how old it is."""
    if not os.path.lexists(path):
        return warning("cache", f"{path} does not exist yet", "run `lora-tui sync`")
    try:
        with closing(open_for_reading(path)) as db:
            is_current = db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
            if is_current:
                check_integrity(db)
            elif db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise DamagedCacheError("The cache file is damaged")
            last, is_rebuilt = metadata.get_sync_state(db).last_success, metadata.is_rebuilt(db)
            (total,) = db.execute("SELECT count(*) FROM models").fetchone()
    except (DamagedCacheError, OSError, sqlite3.Error, ValueError) as error:
        if (
            isinstance(error, sqlite3.Error)
            and sqlite_code(error) in ACCESS_CODES
            and not has_damaged_header(path)
        ):
            return failure("cache", database_error(error, "The cache can't be read", path))
        return failed(
            "cache",
            f"{path} is damaged",
            "run `lora-tui sync`, which moves it aside and starts a new one;"
            " or `lora-tui cache clear`",
        )
    if is_rebuilt or not is_current:
        done = "has been rebuilt" if is_rebuilt else "will be rebuilt when it is opened"
        return warning(
            "cache",
            f"{path} was written by an earlier version and {done}; downloads are kept",
            "run `lora-tui sync` once",
        )
    age = formats.age(last, clock.now()) if last else "never"
    size = formats.size(path.stat().st_size)
    return ok("cache", f"{formats.count(total)} models, {size}, synced {age}, at {path}")


def check_rows(path: Path) -> Iterator[Finding]:
    """Yield one finding per table: how many of its cached rows hold invalid values."""
    try:
        with closing(open_for_reading(path)) as db:
            for remote, cached in _TABLES:
                yield _check_rows_of(db, remote, cached)
            yield _check_points(db)
    except (sqlite3.Error, ValueError):
        yield skipped("rows", "the cache can't be read", "run `lora-tui sync`")


def check_terminal(stream: OutputStream, environment: Mapping[str, str] = os.environ) -> Finding:
    """Check the size, the colours and the encoding of the terminal that `stream` writes to."""
    if not stream.isatty():
        return skipped("terminal", "the output is not a terminal")
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
            "terminal", seen, "set TERM to the type of the terminal, for example xterm-256color"
        )
    if columns < _SMALLEST[0] or lines < _SMALLEST[1]:
        return warning("terminal", seen, "make it at least 80×24")
    if "utf" not in encoding and not setting_of("ascii").from_environment(environment):
        return warning("terminal", seen, "set LORA_TUI_ASCII=1, or a UTF-8 locale")
    return ok("terminal", seen)


def _describe(file: Path) -> str:
    """A file's path, size and age."""
    try:
        status = file.lstat()
    except OSError as error:
        return f"{file}: {disk_error_reason(error).words}"
    changed = datetime.fromtimestamp(status.st_mtime, UTC)
    return f"{file}, {formats.size(status.st_size)}, {formats.age(changed, clock.now())}"


def _is_exposed(file: Path) -> bool:
    """Return whether others can read a session file; links and pipes hold no session."""
    try:
        mode = file.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(stat.S_IMODE(mode) & 0o077)


def _is_there(path: Path) -> bool:
    """Return whether the path exists; False if that can't be determined."""
    try:
        return path.exists()
    except OSError:
        return False


def _check_locks(*directories: Path) -> Iterator[Finding]:
    """Report the first directory that can't be locked, or whose file system has no file locks."""
    elsewhere = "set LORA_TUI_HOME, or the downloads directory, to a directory on a local disk"
    for directory in dict.fromkeys(directories):
        existing = next((path for path in (directory, *directory.parents) if _is_there(path)), None)
        try:
            if existing is None or has_locks(existing):
                continue
        except OSError as error:
            if existing is None or not os.access(existing, os.W_OK | os.X_OK):
                continue  # `_check_directory` reports it
            reason = disk_error_reason(error)
            yield failed(
                "file locks",
                f"{directory} can't be locked: {reason.words}",
                reason.remedy_or(elsewhere),
            )
            return
        yield warning(
            "file locks",
            f"{directory} is on a file system without file locks ({file_system_of(existing)}):"
            " lock files are used instead, and SQLite may refuse to work there",
            elsewhere,
        )
        return


def _check_directory(name: str, place: Path, *, private: bool) -> Finding:
    existing = next((path for path in (place, *place.parents) if _is_there(path)), Path("/"))
    if not existing.is_dir():
        return failed(name, f"{existing} is not a directory", "move it away, or set LORA_TUI_HOME")
    if not os.access(existing, os.W_OK | os.X_OK):
        return failed(
            name, f"{existing} can't be written to", "fix its permissions, or set LORA_TUI_HOME"
        )
    space = os.statvfs(existing)
    free = space.f_bavail * space.f_frsize
    without_files = bool(space.f_files) and not space.f_favail  # some file systems count none
    if without_files or free < _LITTLE_SPACE:
        report = failed if without_files or free < _LEAST_SPACE else warning
        left = "no more files can be made" if without_files else f"{formats.size(free)} free"
        return report(name, f"{place}: the disk is full, or nearly so ({left})", _SPACE_REMEDY)
    if existing != place:
        return ok(name, f"{place} will be created when it is needed")
    if private and stat.S_IMODE(place.stat().st_mode) & 0o022:
        return failed(name, f"others can write to {place}", f"run `chmod go-w {place}`")
    return ok(name, f"{place}, {formats.size(free)} free")


def _check_rows_of(db: sqlite3.Connection, remote: str, cached: str) -> Finding:
    name = f"rows of {remote}"
    total, odd = 0, 0
    columns: Counter[str] = Counter()
    examples: list[str] = []
    for row_id, text in db.execute(f"SELECT id, row FROM {cached}"):  # noqa: S608 - ours
        total += 1
        row: Any = json.loads(text)
        found = invalid_columns(remote, row if isinstance(row, dict) else {})
        columns.update(found)
        if found:
            odd += 1
            examples.append(row_id)
    unread = metadata.get_value(db, f"{metadata.UNREAD}{remote}")
    if unread is not None:
        return warning(name, f"the last sync could not read them: {unread}", TABLE_REMEDY)
    lost = metadata.get_value(db, f"{metadata.UNREADABLE}{remote}") or "0"
    if not odd and lost == "0":
        return ok(name, f"all {formats.count(total)} are readable")
    parts = []
    if odd:
        named = ", ".join(
            terminal_safe(column) for column, _ in columns.most_common(_MOST_EXAMPLES)
        )
        ids = ", ".join(terminal_safe(row_id, limit=40) for row_id in examples[:_MOST_EXAMPLES])
        more = " and others" if odd > _MOST_EXAMPLES else ""
        share = f"{formats.count(odd)} of {formats.count(total)}"
        parts.append(f"{share} hold values of the wrong type ({named}): {ids}" + more)
    if lost != "0":
        parts.append(f"{lost} have no usable id, or are not JSON objects, and are not shown")
    return warning(name, "; ".join(parts), _ROWS_REMEDY)


def _check_points(db: sqlite3.Connection) -> Finding:
    name = "rows of metrics_points"
    (total,) = db.execute("SELECT count(*) FROM metrics").fetchone()
    doubtful = db.execute(
        "SELECT timestamp FROM metrics WHERE id = '' OR timestamp NOT GLOB '????-??-??T*'"
    )
    odd = sum(parse_timestamp(text) is None for (text,) in doubtful)
    if not odd:
        return ok(name, f"all {formats.count(total)} are readable")
    return warning(
        name,
        f"{formats.count(odd)} of {formats.count(total)} have no valid timestamp, "
        "so their order is uncertain",
        _ROWS_REMEDY,
    )
