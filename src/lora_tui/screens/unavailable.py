"""Why keys of the list of models, and of the page of one, can't do anything now."""

from __future__ import annotations

from typing import Any, Final

from textual.app import App

from lora_tui.widgets.bindings import key_of

_VERBS: Final = {
    "open": "open",
    "mark": "mark",
    "download": "download",
    "copy_id": "copy the id of",
    "compare": "compare",
    "effect": "look at",
    "load": "load",
}
"""Actions on models of the list."""


def why_not_in_list(app: App[Any], action: str, *, is_narrowed: bool) -> str:
    """For the list; `is_narrowed`: by a search or filters. Empty where no words are needed."""
    if action in _VERBS:
        reset = f": {key_of(app, 'models.reset')} shows all" if is_narrowed else ""
        return f"There is no model to {_VERBS[action]}{reset}"
    return {
        "preview": "The preview needs a terminal of 100 columns and 30 lines",
        "columns": f"Cards have no columns: {key_of(app, 'models.view')} shows the table",
        "mark_again": "No marks were cleared",
    }.get(action, "")


def why_not_on_page(app: App[Any], action: str, *, is_downloading: bool, has_model: bool) -> str:
    """For the page of a model. Empty where no words are needed."""
    if not has_model:
        return "This model is not in the cache any more" if action != "back" else ""
    if action in ("download", "choose_files"):
        if is_downloading:
            return f"It is being downloaded: {key_of(app, 'model.cancel')} stops that"
        return "This model has no files"
    return {
        "cancel": f"Nothing is being downloaded: {key_of(app, 'model.download')} downloads it",
        "prove": "lora-tui has loaded it on no server: `lora-tui load` does",
        "copy_checksums": "No checksums of its files are known",
        "job": "The job that trained it is not in the cache",
        "metrics": "Nothing was logged during its run",
    }.get(action, "This run has no recorded curve")
