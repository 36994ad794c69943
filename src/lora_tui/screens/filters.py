"""The small form in which one chooses which models the list shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from lora_tui import formats
from lora_tui.bindings import bound, key_of
from lora_tui.domain import CONVERGENCES
from lora_tui.widgets.cells import fit
from lora_tui.widgets.dialog import Dialog


@dataclass(frozen=True)
class Filters:
    """What the form decides; nothing chosen means everything."""

    convergences: frozenset[str] = frozenset()
    min_stars: int = 0


class StarChoice(Widget, can_focus=True):
    """The least number of stars: 0 (any) to 5."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("filters.fewer", "change(-1)", "Fewer", show=False),
        bound("filters.more", "change(1)", "More", show=False),
    ]
    least: reactive[int] = reactive(0)

    class Changed(Message):
        """The choice has changed."""

    def __init__(self, least: int, *, ascii_only: bool) -> None:
        super().__init__()
        self.set_reactive(StarChoice.least, least)
        self._ascii_only = ascii_only

    def render(self) -> Content:
        """`★★★☆☆  3 or more`."""
        words = "any" if self.least == 0 else "5" if self.least == 5 else f"{self.least} or more"
        return Content.assemble(
            (formats.stars(self.least, ascii_only=self._ascii_only), "$accent"), f"  {words}"
        )

    def action_change(self, by: int) -> None:
        """One more or one less."""
        self.choose(self.least + by)

    def choose(self, least: int) -> None:
        """Set it, within 0 to 5."""
        least = max(0, min(5, least))
        if least != self.least:
            self.least = least
            self.post_message(self.Changed())

    def on_click(self, event: events.Click) -> None:
        """A click on a star chooses as many; on the same again, any."""
        offset = event.get_content_offset(self)
        if offset is not None:
            star = offset.x + 1 if offset.x < 5 else 0
            self.choose(0 if star == self.least else star)


class FilterScreen(ModalScreen[None]):
    """Tells `changed` at once, so that the list follows; escape goes back to what was before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.keep", "keep", "Keep", priority=True, show=False),
        bound("models.filter", "keep", "Keep", priority=True, show=False),
        bound("dialog.undo", "restore", "Undo", show=False),
        bound("filters.clear", "clear", "Clear", show=False),
        bound("dialog.choose", "choose", "Choose", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
        *(
            bound(f"filters.stars_{n}", f"stars({n})", f"At least {n} stars", show=False)
            for n in range(6)
        ),
    ]

    def __init__(
        self,
        before: Filters,
        counts: Mapping[str, int],
        changed: Callable[[Filters], None],
        *,
        ascii_only: bool,
    ) -> None:
        super().__init__()
        self._before, self._counts, self._changed = before, counts, changed
        self._chosen = set(before.convergences)
        self._ascii_only = ascii_only
        known: set[str] = {*counts, *before.convergences}
        self._names: list[str] = [name for name in CONVERGENCES if name in known]
        self._names += sorted(known - set(CONVERGENCES))

    def compose(self) -> ComposeResult:
        """Convergence with counts, then the stars."""
        yield Dialog(
            Label(
                f"Convergence, {key_of(self.app, 'dialog.choose')} chooses",
                classes="dialog-heading",
            ),
            OptionList(*(Option(self._line(name)) for name in self._names), markup=False),
            Label("Stars at least, 0 to 5", classes="dialog-heading -next"),
            StarChoice(self._before.min_stars, ascii_only=self._ascii_only),
            title="Filter",
            keys=[("filters.clear", "clears"), ("dialog.keep", "keeps")],
        )

    def on_mount(self) -> None:
        """Start at the first line."""
        if self._names:
            self.query_one(OptionList).highlighted = 0

    def action_keep(self) -> None:
        """Close; the list shows it already."""
        self.dismiss(None)

    def action_restore(self) -> None:
        """As it was when the form was opened."""
        self._changed(self._before)
        self.dismiss(None)

    def action_choose(self) -> None:
        """Choose the highlighted convergence, or not any more."""
        index = self.query_one(OptionList).highlighted
        if index is not None and self.query_one(OptionList).has_focus:
            self._toggle(index)

    def action_stars(self, least: int) -> None:
        """At least so many stars."""
        self.query_one(StarChoice).choose(least)

    def action_clear(self) -> None:
        """Show everything."""
        self._chosen.clear()
        for index in range(len(self._names)):
            self._redraw(index)
        self.query_one(StarChoice).choose(0)
        self._tell()

    def action_cursor(self, lines: int) -> None:
        """Move by `lines`."""
        listing = self.query_one(OptionList)
        if lines > 0:
            listing.action_cursor_down()
        else:
            listing.action_cursor_up()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._toggle(event.option_index)

    @on(StarChoice.Changed)
    def _tell(self) -> None:
        least = self.query_one(StarChoice).least
        self._changed(Filters(frozenset(self._chosen), least))

    def _toggle(self, index: int) -> None:
        self._chosen ^= {self._names[index]}
        self._redraw(index)
        self._tell()

    def _redraw(self, index: int) -> None:
        listing = self.query_one(OptionList)
        listing.replace_option_prompt_at_index(index, self._line(self._names[index]))

    def _line(self, name: str) -> Content:
        box = "[x]" if name in self._chosen else "[ ]"
        label = fit(name, 22, ascii_only=self._ascii_only)
        return Content.assemble(
            (box, "$accent"), f" {label} ", (f"{self._counts.get(name, 0):>8,}", "$secondary")
        )
