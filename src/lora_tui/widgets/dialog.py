"""The frame of every small modal: a title above, its keys below."""

from __future__ import annotations

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget

from lora_tui.widgets.cells import settled


class Dialog(Vertical):
    """A titled frame that is as large as what stands in it."""

    def __init__(self, *children: Widget, title: str, keys: str = "") -> None:
        super().__init__(*children)
        self._title, self._keys = title, keys

    def on_mount(self) -> None:
        """Put title and keys into the frame."""
        ascii_only = self.app.has_class("-ascii")
        self.border_title = Content(settled(self._title, ascii_only=ascii_only))
        self.border_subtitle = Content(settled(self._keys, ascii_only=ascii_only))
