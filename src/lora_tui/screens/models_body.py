"""The body of the Models screen: the list as table or cards, the preview beside or below it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final, cast

from textual.app import ComposeResult
from textual.containers import Horizontal

from lora_tui.cache.models import ModelSummary
from lora_tui.tui.base_screen import BaseScreen
from lora_tui.tui.view_state import View, ViewState
from lora_tui.widgets.model_columns import MODEL_COLUMNS
from lora_tui.widgets.model_table import ModelTable
from lora_tui.widgets.row_view import Rows, RowView

if TYPE_CHECKING:
    from lora_tui.widgets.model_preview import ModelPreview

_BESIDE: Final = 130
"""The least width of the terminal that has room for a preview beside the list."""
_BELOW: Final = (100, 30)
"""The least width and height of a terminal that has room for one below the list."""


class ModelsBody(Horizontal):
    """Shows the rows. Cards and preview are created when they are first shown: faster start."""

    def __init__(
        self,
        rows: Rows[ModelSummary],
        db: sqlite3.Connection,
        state: ViewState,
        *,
        ascii_only: bool,
    ) -> None:
        super().__init__(id="body")
        self._rows, self._db, self._state = rows, db, state
        self._ascii_only = ascii_only
        self._preview: ModelPreview | None = None
        self._is_preview_due = False

    def compose(self) -> ComposeResult:
        """The table or the cards."""
        yield self._make_view(self._state)

    @property
    def view(self) -> RowView[ModelSummary]:
        """The table or the cards, whichever is shown."""
        return next(view for view in self.query(RowView) if view.display)

    @property
    def has_room_beside(self) -> bool:
        """Whether the terminal is wide enough for a preview beside the list."""
        return self.screen.size.width >= _BESIDE

    @property
    def has_room_for_preview(self) -> bool:
        """Whether the terminal is large enough for a preview, beside or below the list."""
        width, height = self.screen.size
        return self.has_room_beside or (width >= _BELOW[0] and height >= _BELOW[1])

    def show_view(self, state: ViewState) -> RowView[ModelSummary]:
        """Switch from the table to the cards, or back; returns what is shown now, without rows."""
        before = self.view
        shown = next((view for view in self.query(RowView) if not view.display), None)
        if shown is None:
            shown = self._make_view(state)
            self.mount(shown, after=before)
        shown.display, before.display = True, False
        shown.skeleton = before.skeleton
        return shown

    def show_preview(self, state: ViewState) -> None:
        """Show the preview where it is wanted and there is room for it, else hide it."""
        wanted = state.preview if self.has_room_beside else state.preview_below
        is_shown = wanted and self.has_room_for_preview
        self.set_class(is_shown and not self.has_room_beside, "-below")
        if is_shown and self._preview is None:
            from lora_tui.widgets.model_preview import ModelPreview

            self._preview = ModelPreview(ascii_only=self._ascii_only)
            self.mount(self._preview)
        if self._preview is not None:
            self._preview.display = is_shown
        self.update_preview()

    def update_preview(self) -> None:
        """Show the model under the cursor, after all keys that wait for the list."""
        # without a view while the screen is being removed
        shown = next((view for view in self.query(RowView) if view.display), None)
        if not self._is_preview_due and shown is not None and self._preview is not None:
            self._is_preview_due = True
            screen = cast("BaseScreen[None]", self.screen)
            shown.call_later(screen.while_alive(self._read_preview))

    def _read_preview(self) -> None:
        from lora_tui.cache.runs import read_preview

        self._is_preview_due = False
        preview, model = self._preview, self._rows.current
        if preview is not None and preview.is_attached and preview.display:
            preview.show(None if model is None else read_preview(self._db, model.id))

    def _make_view(self, state: ViewState) -> RowView[ModelSummary]:
        if state.view is View.TABLE:
            table = ModelTable(self._rows, ascii_only=self._ascii_only, id="models")
            table.columns = MODEL_COLUMNS.valid_keys(state.columns)
            return table
        from lora_tui.widgets.card_grid import CardGrid

        return CardGrid(self._rows, ascii_only=self._ascii_only, id="cards")
