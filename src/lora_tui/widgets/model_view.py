"""What the views of the list have in common: keys, messages, the look of a model's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.style import Style
from textual.binding import BindingType
from textual.message import Message
from textual.scroll_view import ScrollView

from lora_tui.cache.models import ModelSummary, Sort
from lora_tui.tui.bindings import bound
from lora_tui.widgets.model_rows import ModelRows


class ModelView(ScrollView, can_focus=True, inherit_bindings=False):
    """Draws `rows` line by line; remote text goes into segments as it is, nothing parses markup."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"models--{name}"
        for name in (
            "header",
            "sorted",
            "cursor",
            "card",
            "bar",
            "mark",
            "name",
            "plain",
            "muted",
            "faint",
            "stars",
            "curve",
            "downloaded",
            "excellent",
            "good",
            "fair",
            "poor",
            "overfit",
            "skeleton",
        )
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "open", "Open", tooltip="Open the model under the cursor"),
        bound("models.mark", "mark", "Mark", tooltip="Mark the model"),
        bound("list.first", "first", "First model", show=False),
        bound("list.last", "last", "Last model", show=False),
        bound("list.page_down", "page(1)", "Next page", show=False),
        bound("list.page_up", "page(-1)", "Previous page", show=False),
    ]

    class Opened(Message):
        """A model is to be opened."""

        def __init__(self, model_id: str) -> None:
            super().__init__()
            self.model_id = model_id

    class Moved(Message):
        """The cursor or a mark moved."""

    def __init__(self, rows: ModelRows, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows = rows
        self.ascii_only = ascii_only
        self._loading_rows = False
        self._styles: dict[tuple[str, bool], Style] = {}

    @property
    def total(self) -> int:
        """How many models the list has."""
        return self.rows.total

    @property
    def cursor(self) -> int:
        """At which place of the list the cursor is."""
        return self.rows.cursor

    @property
    def current(self) -> ModelSummary | None:
        """The model under the cursor."""
        return self.rows.current

    @property
    def marked(self) -> set[str]:
        """The ids of the marked models."""
        return self.rows.marked

    @property
    def skeleton(self) -> bool:
        """Whether placeholders stand where the first models are about to appear."""
        return self._loading_rows

    @skeleton.setter
    def skeleton(self, shown: bool) -> None:
        if shown is not self._loading_rows:
            self._loading_rows = shown
            self.refresh()

    def reload(
        self,
        total: int,
        *,
        sort: Sort,
        descending: bool,
        locate: Callable[[str], int | None],
    ) -> None:
        """The list has changed: read it anew, and keep the cursor on its model."""
        raise NotImplementedError

    def redraw(self) -> None:
        """The rows, their cursor or their marks have changed elsewhere: draw all of it."""
        raise NotImplementedError

    def move_to(self, index: int, *, marking: bool = False) -> None:
        """Put the cursor on a model and bring it into view; `marking` marks all on the way."""
        raise NotImplementedError

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """An empty list has nothing to open or to mark."""
        return self.total > 0 or action not in ("open", "mark")

    def action_open(self) -> None:
        """Open the model under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current.id))

    def action_mark(self) -> None:
        """Mark or unmark the model under the cursor, and go to the next."""
        if self.current is not None:
            self.rows.toggle_mark()
            self.move_to(self.cursor + 1)

    def action_first(self) -> None:
        """To the first model."""
        self.move_to(0)

    def action_last(self) -> None:
        """To the last model."""
        self.move_to(self.total - 1)

    def notify_style_update(self) -> None:
        """Forget the styles of the previous theme."""
        self._styles.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        """The cursor looks different with the focus."""
        self._styles.clear()
        self.refresh()

    def on_blur(self) -> None:
        """The cursor looks different without the focus."""
        self._styles.clear()
        self.refresh()

    def _step(self, index: int, *, marking: bool) -> None:
        """Move the cursor of the rows."""
        if marking:
            self.rows.extend_to(index)
        else:
            self.rows.move_to(index)

    def _style(self, name: str, is_cursor: bool = False, ground: str = "") -> Style:
        """The style of a part; on the cursor's ground, or on that of a card."""
        key = (ground + name, is_cursor)
        style = self._styles.get(key)
        if style is None:
            style = self.get_component_rich_style(f"models--{name}")
            if is_cursor:
                cursor = self.get_component_rich_style("models--cursor")
                style += Style(bgcolor=cursor.bgcolor, bold=name == "name" or style.bold)
                # of a terminal's own colours some can't be seen on some
                if name == "name" or self.app.native_ansi_color:
                    style += Style(color=cursor.color)
            elif ground:
                under = self.get_component_rich_style(f"models--{ground}")
                style += Style(bgcolor=under.bgcolor)
            self._styles[key] = style
        return style
