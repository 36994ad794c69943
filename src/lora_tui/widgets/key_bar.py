"""The last line: the keys that apply, as many as there is room for, help always among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from lora_tui.tui.bindings import is_typed
from lora_tui.widgets.cells import settled

_HELP: Final = "help"


@dataclass(frozen=True)
class KeyHint:
    """One key and what it does."""

    key: str
    """As the application is told that it was pressed."""
    shown: str
    description: str
    action: str

    @property
    def width(self) -> int:
        """Cells, with a blank on each side of the key and one after the words."""
        return cell_len(self.shown) + cell_len(self.description) + 3


def fitting(hints: list[KeyHint], width: int) -> list[KeyHint]:
    """The first ones that fit, in their order; help is left out last of all."""
    room = width + 1  # the blank after the last words may fall off the edge
    needed = [hint for hint in hints if hint.action == _HELP and hint.width <= room]
    room -= sum(hint.width for hint in needed)
    for hint in hints:
        if hint.action != _HELP and hint.width <= room:
            needed.append(hint)
            room -= hint.width
    return [hint for hint in hints if hint in needed]


class KeyBar(Widget):
    """Shows what the bindings of the screen say; a click on a key presses it."""

    ALLOW_SELECT = False

    def on_mount(self) -> None:
        """Follow the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def render(self) -> Content:
        """Keys stand out, words are quiet."""
        parts: list[tuple[str, str]] = []
        for hint in self._shown():
            parts.append((f" {hint.shown} ", "bold $footer-key-foreground"))
            parts.append((f"{hint.description} ", "$footer-description-foreground"))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        """As if the key had been pressed."""
        offset = event.get_content_offset(self)
        at = 0
        for hint in self._shown() if offset is not None else ():
            if offset is not None and at <= offset.x < at + hint.width:
                self.app.simulate_key(hint.key)
            at += hint.width

    def _shown(self) -> list[KeyHint]:
        hints: dict[str, KeyHint] = {}
        ascii_only = self.app.has_class("-ascii")
        for active in self.screen.active_bindings.values():
            binding = active.binding
            applies = binding.show and active.enabled and not is_typed(self.screen, binding.key)
            if applies and binding.action not in hints:
                shown = settled(self.app.get_key_display(binding), ascii_only=ascii_only)
                hints[binding.action] = KeyHint(
                    binding.key, shown, binding.description, binding.action
                )
        return fitting(list(hints.values()), self.size.width)

    def _changed(self, _screen: Screen[object]) -> None:
        self.refresh()
