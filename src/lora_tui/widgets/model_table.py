"""The list of models as a table."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from lora_tui.cache.models import ModelSummary
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.model_columns import MODEL_COLUMNS
from lora_tui.widgets.row_table import RowTable
from lora_tui.widgets.row_view import Rows


class ModelTable(RowTable[ModelSummary]):
    """The list of models; its rows can be marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "open", "Open", tooltip="Open the model under the cursor"),
        bound("models.mark", "mark", "Mark", tooltip="Mark the model"),
        bound("list.down", "move(1)", "Next model", show=False),
        bound("list.up", "move(-1)", "Previous model", show=False),
        bound("models.mark_down", "extend(1)", "Mark downwards", show=False),
        bound("models.mark_up", "extend(-1)", "Mark upwards", show=False),
    ]

    def __init__(
        self, rows: Rows[ModelSummary], *, ascii_only: bool = False, id: str | None = None
    ) -> None:
        super().__init__(rows, MODEL_COLUMNS, ascii_only=ascii_only, id=id)
