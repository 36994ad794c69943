"""`cache`: where the cache is and what is in it, or remove it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from lora_tui import clock, formats
from lora_tui.cache import metadata
from lora_tui.cache.integrity import QUICKLY_READ, check_integrity
from lora_tui.cache.metadata import Owner
from lora_tui.cache.rebuild import clear_cache
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.errors import AuthenticationError, DiskError


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
            table: _count(db, table)
            for table in ("models", "jobs", "datasets", "notifications", "cost_records")
        }
        last = metadata.get_sync_state(db).last_success
        if metadata.is_rebuilt(db):
            context.say(CACHE_REBUILT)
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
    context.out.write(f"{'last sync':<20} {formats.age(last, clock.now()) if last else 'never'}\n")
    for table, total in counts.items():
        context.out.write(f"{table:<20} {formats.count(total)}\n")


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
