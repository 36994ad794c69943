"""`sync`: bring the cache up to the backend."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, Final

from lora_tui import formats
from lora_tui.cache.metadata import get_sync_state
from lora_tui.commands.context import Context
from lora_tui.processes import LockHolder

SYNC_PATIENCE: Final = 600.0
"""Seconds to wait for another process that syncs this cache."""

_PATIENCE_FOR_RATINGS: Final = 2.0
"""Seconds for ratings of the second opinion, the newest models first; an open application has more.
"""


def sync_cache(context: Context) -> None:
    """Update the cache from the backend, and report progress."""
    context.require_network()
    from lora_tui.engine.online import OnlineWriters

    with closing(OnlineWriters(context.profile)) as online:
        report = online.sync(
            full=context.arguments.full,
            progress=_progress_line(context),
            patience=SYNC_PATIENCE,
            on_wait=lambda holder: _say_who_syncs(context, holder, online.cache_path),
        )
        online.suggest_ratings(_PATIENCE_FOR_RATINGS)
    if context.can_redraw:
        context.talk.rewrite_line("")
    if context.json:
        context.print_data(
            {
                "written": report.written,
                "removed": report.removed,
                "curves": report.curves,
                "full": report.full,
                "unread": {table: str(error) for table, error in report.unread.items()},
            }
        )
        return
    for error in report.unread.values():
        context.say(f"{error}. The rest was synced.")
    written = ", ".join(
        f"{formats.count(count)} {table}" for table, count in report.written.items() if count
    )
    removed = sum(report.removed.values())
    gone = f"; {formats.count(removed)} removed" if removed else ""
    fetched = formats.counted(report.curves, "loss curve")
    curves = f"; {fetched}" if report.curves else ""
    context.say(f"Synced: {written or 'nothing new'}{gone}{curves}")


def _say_who_syncs(context: Context, holder: LockHolder, cache: Path) -> None:
    with context.cache() as db:
        state = get_sync_state(db)
    since = f" since {formats.date_time(state.last_attempt)}" if state.running else ""
    context.say(
        f"Another lora-tui is syncing this cache{since}; waiting for it"
        f" ({holder.lock_file or cache} is held by {holder})."
        f" {holder.remedy[0].upper()}{holder.remedy[1:]}."
    )


def _progress_line(context: Context) -> Any:
    if not context.can_redraw or context.json:
        return None

    def tell(table: str, rows: int) -> None:
        context.talk.rewrite_line(f"{table}: {formats.count(rows)}")

    return tell
