"""The small form in which one chooses which models the list shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Label, SelectionList
from textual.widgets.selection_list import Selection

from lora_tui import formats
from lora_tui.domain import CONVERGENCES
from lora_tui.widgets.dialog import Dialog


@dataclass(frozen=True)
class Filters:
    """What the form decides; nothing chosen means everything."""

    convergences: frozenset[str] = frozenset()
    min_stars: int = 0


class StarChoice(Widget, can_focus=True):
    """The least number of stars: 0 (any) to 5."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "change(-1)", "Fewer", show=False),
        Binding("right,l", "change(1)", "More", show=False),
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
        """A click on a star chooses as many; on the first again, any."""
        star = event.x + 1 if event.x < 5 else 0
        self.choose(0 if star == self.least else star)


class FilterScreen(ModalScreen[None]):
    """Tells `changed` at once, so that the list follows; escape goes back to what was before."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,f", "dismiss(None)", "Keep", priority=True, show=False),
        Binding("escape", "restore", "Undo", show=False),
        Binding("x", "clear", "Clear", show=False),
        Binding("j", "app.simulate_key('down')", "Next", show=False),
        *(Binding(str(n), f"stars({n})", f"At least {n} stars", show=False) for n in range(6)),
    ]

    def __init__(
        self, before: Filters, counts: Mapping[str, int], changed: Callable[[Filters], None]
    ) -> None:
        super().__init__()
        self._before, self._counts, self._changed = before, counts, changed

    def compose(self) -> ComposeResult:
        """Convergence with counts, then the stars."""
        others = sorted(set(self._counts) - set(CONVERGENCES))
        names = [name for name in (*CONVERGENCES, *others) if self._counts.get(name)]
        yield Dialog(
            Label("Convergence", classes="dialog-heading"),
            SelectionList(
                *(
                    Selection(
                        Content(f"{name:<20} {self._counts[name]:>6,}"),
                        name,
                        name in self._before.convergences,
                    )
                    for name in names
                )
            ),
            Label("Stars", classes="dialog-heading"),
            StarChoice(self._before.min_stars, ascii_only=self.app.has_class("-ascii")),
            title="Filter",
            keys="space toggles · 0-5 stars · x clears · enter keeps",
        )

    def action_stars(self, least: int) -> None:
        """At least so many stars."""
        self.query_one(StarChoice).choose(least)

    def action_clear(self) -> None:
        """Show everything."""
        self.query_one(SelectionList).deselect_all()
        self.query_one(StarChoice).choose(0)

    def action_restore(self) -> None:
        """As it was when the form was opened."""
        self._changed(self._before)
        self.dismiss(None)

    @on(SelectionList.SelectedChanged)
    @on(StarChoice.Changed)
    def _tell(self) -> None:
        selected = frozenset(self.query_one(SelectionList).selected)
        self._changed(Filters(selected, self.query_one(StarChoice).least))
