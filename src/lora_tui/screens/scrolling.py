"""What screens share of which a part scrolls by the screen's own keys."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.containers import VerticalScroll

from lora_tui.screens.cache_screen import CacheScreen
from lora_tui.tui.bindings import bound


class Scrolled(VerticalScroll, can_focus=False):
    """A part that scrolls; the screen's keys move it."""


class ScrollingScreen(CacheScreen):
    """Override `scrolled`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("scroll.down", "scroll(1)", "Down", show=False),
        bound("scroll.up", "scroll(-1)", "Up", show=False),
        bound("scroll.page_down", "page(1)", "Next page", show=False),
        bound("scroll.page_up", "page(-1)", "Previous page", show=False),
        bound("scroll.top", "top", "To the top", show=False),
        bound("scroll.bottom", "bottom", "To the bottom", show=False),
    ]

    @property
    def scrolled(self) -> Scrolled:
        """The part that the keys move."""
        raise NotImplementedError

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self.scrolled.scroll_relative(y=lines, animate=False)

    def action_page(self, pages: int) -> None:
        """Scroll by pages, one line of overlap."""
        part = self.scrolled
        part.scroll_relative(y=pages * max(1, part.size.height - 1), animate=False)

    def action_top(self) -> None:
        """Scroll to the top."""
        self.scrolled.scroll_home(animate=False)

    def action_bottom(self) -> None:
        """Scroll to the bottom."""
        self.scrolled.scroll_end(animate=False)
