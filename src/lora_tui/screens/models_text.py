"""Texts of the list of models: its orders, its note, and why it is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lora_tui import formats
from lora_tui.cache.metadata import SyncState
from lora_tui.cache.model_query import ModelQuery
from lora_tui.text import fit
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.states import StatePanel, explain_missing_sync

if TYPE_CHECKING:
    from lora_tui.cache.model_costs import ListCost
    from lora_tui.tui.cache_app import CacheApp


def condition_columns(query: ModelQuery) -> tuple[str, ...]:
    """The names of the columns that the condition of the query is about."""
    if not query.where:
        return ()
    from lora_tui.cache.conditions import parse  # late: the first list has none, as a rule

    return tuple(column.name for column in parse(query.where).columns)


_MOST_WORDS: Final = 300
"""Characters of what was searched, so that the line below stays on the screen."""
LAST_VIEW: Final = "Last view"
"""Where a search and filters are from that the last run has left."""


def narrowed_text(query: ModelQuery, origin: str, width: int, clear_key: str) -> str:
    """What a narrowed list shows: `best: 4 stars or more`; the search bar shows its words.

    `origin`: the name of a view, or `LAST_VIEW`, which also says which key shows all again.
    `width`: of the title in cells.
    """
    from lora_tui.views.words import query_text  # late: the first list is seldom narrowed

    if origin != LAST_VIEW:
        words = query_text(query._replace(search=""))
        return f"{origin}: {words}" if origin and words else origin or words
    ending = f" · {clear_key} shows all"
    room = max(12, width - len(origin) - len(ending) - 18)
    return f"{origin}: {fit(query_text(query), room).rstrip()}{ending}"


def list_note(
    shown: int, everything: int, marked: int, *, cost: ListCost | None, compare_key: str | None
) -> str:
    """The note in the status bar: `$12.30  8 of 37 models  2 marked: c compares`."""
    note = formats.counted(everything, "model")
    if shown != everything:
        note = f"{formats.count(shown)} of {note}"
    if cost is not None and cost.unknown < shown:
        unknown = f", {formats.count(cost.unknown)} unknown" if cost.unknown else ""
        note = f"{formats.money(cost.dollars)}{unknown}  {note}"
    if not marked:
        return note
    hint = f": {compare_key} compares" if compare_key else ""
    return f"{note}  {marked} marked{hint}"


def show_empty_state(
    panel: StatePanel, lora: CacheApp, query: ModelQuery, state: SyncState, *, loading: bool
) -> None:
    """Say why the list is empty and what to do."""
    from lora_tui.cache.jobs import count_active  # late: the list is seldom empty

    sync, jobs = key_of(lora, "app.sync"), key_of(lora, "app.jobs")
    if not query.is_everything:
        from lora_tui.views.words import query_text

        panel.show_message(
            "No matching models",
            fit(query_text(query), _MOST_WORDS).rstrip(),
            f"{key_of(lora, 'models.reset')} clears {_cleared(query)}",
        )
    elif explain_missing_sync(
        panel,
        lora,
        state,
        "models",
        loading=loading,
        keyring=lora.writers.report.waits_for_keyring,
        signed_out=lora.login_refused,
    ):
        return
    elif any(active := count_active(lora.db)):
        panel.show_message(
            "No models yet",
            f"{active_text(*active)}; {jobs} shows them"
            if sum(active) > 1
            else f"{active_text(*active)}; {jobs} shows it",
            "A model appears here after its job has completed and was harvested.",
        )
    else:
        panel.show_message(
            "No models yet",
            "A model appears after its training job has completed and was harvested.",
            f"{jobs} shows the training jobs, {key_of(lora, 'app.harvest')} the harvest,"
            f" {sync} syncs again",
            "On the command line: lora-tui --harvest --once",
        )


def active_text(running: int, queued: int) -> str:
    """How many jobs are active: `2 jobs are training, 1 is queued`."""
    parts = []
    if running:
        verb = "is" if running == 1 else "are"
        parts.append(f"{formats.counted(running, 'job')} {verb} training")
    if queued:
        verb = "is" if queued == 1 else "are"
        count = formats.count(queued) if running else formats.counted(queued, "job")
        parts.append(f"{count} {verb} queued")
    return ", ".join(parts)


def _cleared(query: ModelQuery) -> str:
    """What the key that clears removes from a query with a search or filters."""
    if not query.search:
        return "the filters"
    has_filters = not query._replace(search="").is_everything
    return "the search, again the filters" if has_filters else "the search"
