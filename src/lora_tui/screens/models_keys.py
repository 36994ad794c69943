"""The keys of the list of models."""

from __future__ import annotations

from typing import Final

from textual.binding import BindingType

from lora_tui.widgets.bindings import MARK_KEYS, bound

MODEL_KEYS: Final[tuple[BindingType, ...]] = (
    bound("models.reset", "reset", "Clear", tooltip="Clear the search, the filters or the marks"),
    bound("models.mark_again", "mark_again", "Mark again", tooltip="Undo the clearing of marks"),
    bound("models.search", "search", "Search", key_display="/", tooltip="Search as you type"),
    bound("models.sort", "sort", "Sort", tooltip="Choose the order of the list"),
    bound("models.reverse", "reverse", "Reverse", show=False, tooltip="Reverse the order"),
    bound("models.filter", "filter", "Filter", tooltip="Filter the list"),
    bound(
        *("models.download", "download", "Download"),
        tooltip="Download the model, or all marked models",
    ),
    bound("models.view", "view", "View", tooltip="Switch between table and cards"),
    bound(
        "models.views",
        "views",
        "Views",
        show=False,
        tooltip="Choose, save, rename or delete a view: order, filters and columns",
    ),
    bound(
        *("models.saved", "views", "Saved view"),
        show=False,
        tooltip="Show one of the first nine saved views",
    ),
    bound("models.everything", "everything", "All", show=False, tooltip="Show all models"),
    bound(
        *("models.preview", "preview", "Preview"),
        tooltip="Show or hide the preview beside or below the list",
    ),
    bound(
        *("models.columns", "columns", "Columns"),
        show=False,
        tooltip="Choose the columns of the table",
    ),
    bound("models.compare", "compare", "Compare", show=False, tooltip="Compare the marked models"),
    bound(
        *("models.effect", "effect", "Effect"),
        show=False,
        tooltip="Show what a hyperparameter did over the models of the list",
    ),
    bound(
        *("models.load", "load", "Load"),
        show=False,
        tooltip="Load the model into a server, or unload it",
    ),
    bound("models.copy_id", "copy_id", "Copy id", show=False, tooltip="Copy the id of the model"),
    *MARK_KEYS,
)
