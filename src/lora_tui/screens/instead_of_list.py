"""What stands where the list of models would be, and what to press next."""

from __future__ import annotations

from typing import Any

from textual.app import App

from lora_tui.cache.metadata import SyncState
from lora_tui.cache.model_query import ModelQuery
from lora_tui.screens.query_words import described
from lora_tui.tui.bindings import key_of
from lora_tui.widgets.states import StatePanel, way_on_from_trouble


def is_narrowed(query: ModelQuery) -> bool:
    """Whether it asks for some of the models, not for all in an order."""
    return query != ModelQuery(sort=query.sort, reverse=query.reverse)


def say_why_empty(
    panel: StatePanel,
    app: App[Any],
    query: ModelQuery,
    state: SyncState,
    *,
    loading: bool,
    signed_out: bool,
) -> None:
    """No match, loading, failed, never synced, or none there. `signed_out`: only a login helps."""
    sync = key_of(app, "app.sync")
    if is_narrowed(query):
        key = key_of(app, "models.reset")
        panel.say("No model matches", described(query), f"{key} clears search and filters")
    elif loading:
        panel.say("Fetching your models", "They appear here as they arrive")
    elif state.error is not None:
        way_on = way_on_from_trouble(app, signed_out=signed_out)
        panel.say("Nothing to show yet", state.error, way_on, warning=True)
    elif state.last_success is None:
        panel.say("Never synced", "This cache is empty", f"{sync} fetches your models")
    else:
        panel.say(
            "No models yet",
            "A model appears when a training job was completed and harvested.",
            f"{key_of(app, 'app.harvest')} shows the harvest and runs it; {sync} syncs again",
            "without a screen: lora-tui --harvest --once",
        )
