"""The frame of every small modal: a title above, its keys below."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from lora_tui.tui.bindings import key_of
from lora_tui.widgets.cells import settled


class Dialog(Vertical):
    """A titled frame that is as large as what stands in it."""

    def __init__(
        self,
        *children: Widget,
        title: str,
        keys: Iterable[tuple[str, str]] = (),
        note: str = "",
    ) -> None:
        """`keys`: names of actions, as `[keys]` has them, with what each does in a word."""
        super().__init__(*children)
        self._title, self._keys, self._note = title, keys, note

    def on_mount(self) -> None:
        """Put title and keys into the frame."""
        ascii_only = self.app.has_class("-ascii")
        self.border_title = Content(settled(self._title, ascii_only=ascii_only))
        between = " - " if ascii_only else " · "
        hints = between.join(f"{key_of(self.app, name)} {word}" for name, word in self._keys)
        self.border_subtitle = Content(settled(hints or self._note, ascii_only=ascii_only))
