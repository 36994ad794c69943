"""Texts of the list of training jobs: what it shows, in which order, and why it is empty."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App

from lora_tui import formats
from lora_tui.cache.job_query import JobQuery, JobSort
from lora_tui.cache.metadata import SyncState
from lora_tui.views.words import period
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.states import StatePanel, explain_missing_sync

SORT_NAMES: Final[dict[JobSort, str]] = {
    JobSort.ACTIVITY: "Activity",
    JobSort.CREATED: "Date",
    JobSort.STATUS: "Status",
    JobSort.DATASET: "Dataset",
    JobSort.COST: "Cost",
    JobSort.DURATION: "Training time",
    JobSort.LOSS: "Loss",
}
DIRECTIONS: Final[dict[JobSort, tuple[str, str]]] = {
    # natural direction, reversed
    JobSort.ACTIVITY: ("active first", "ended first"),
    JobSort.CREATED: ("newest first", "oldest first"),
    JobSort.STATUS: ("A to Z", "Z to A"),
    JobSort.DATASET: ("A to Z", "Z to A"),
    JobSort.COST: ("most expensive first", "cheapest first"),
    JobSort.DURATION: ("longest first", "shortest first"),
    JobSort.LOSS: ("lowest first", "highest first"),
}


def counts_text(running: int, queued: int, total: int) -> str:
    """Of all jobs: `2 running, 1 queued, 214 ended`."""
    counts = (("running", running), ("queued", queued), ("ended", max(0, total - running - queued)))
    return ", ".join(f"{formats.count(count)} {name}" for name, count in counts if count)


def query_text(query: JobQuery) -> str:
    """Describe the filters: `failed · SQL Assistant · since 2026-11-16`."""
    parts = [
        f"“{query.search}”" if query.search else "",
        ", ".join(sorted(query.statuses)),
        query.dataset,
        query.preset,
        query.base_model,
        query.gpu,
        period(query.created_from, query.created_before),
    ]
    return " · ".join(part for part in parts if part)


def list_note(shown: int, everything: int) -> str:
    """The note in the status bar: `8 of 217 jobs`."""
    note = formats.counted(everything, "job")
    return note if shown == everything else f"{formats.count(shown)} of {note}"


def show_empty_state(
    panel: StatePanel,
    app: App[Any],
    query: JobQuery,
    state: SyncState,
    *,
    loading: bool,
    keyring: bool,
    signed_out: bool,
) -> None:
    """Say why the list is empty and what to do.

    `keyring`: the keyring is waited for. `signed_out`: the user has to sign in.
    """
    if not query.is_everything:
        what = "the search" if query.search else "the filters"
        panel.show_message(
            "No matching jobs",
            query_text(query),
            f"{key_of(app, 'screen.back')} clears {what}",
        )
    elif not explain_missing_sync(
        panel, app, state, "training jobs", loading=loading, keyring=keyring, signed_out=signed_out
    ):
        panel.show_message(
            "No training jobs yet",
            "A job appears here as soon as the pipeline has queued it.",
            f"{key_of(app, 'app.sync')} syncs again",
        )
