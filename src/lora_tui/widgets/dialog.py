"""The frame of every small modal: a title above, its keys below."""

from __future__ import annotations

from textual.containers import Vertical
from textual.widget import Widget


class Dialog(Vertical):
    """A titled frame that is as large as what stands in it."""

    def __init__(self, *children: Widget, title: str, keys: str = "") -> None:
        super().__init__(*children)
        self.border_title = title
        self.border_subtitle = keys
