"""The form for choosing which models the list shows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from lora_tui import formats
from lora_tui.cache.models import ModelQuery
from lora_tui.screens.filter_sections import (
    Choice,
    Section,
    Typing,
    days_text,
    parse_days,
    read_sections,
)
from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit, normalize_width
from lora_tui.widgets.forms import Dialog

_MOST_LINES: Final = 300
_TITLE_WIDTH: Final = 13
_PLACEHOLDERS: Final = {
    Typing.NOTHING: "",
    Typing.NARROWS: "type to narrow",
    Typing.DAYS: "or days: 2026-01-01..2026-01-31",
}


class TypedLine(Input):
    """The line that narrows a section; the space bar selects instead of typing a blank."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Whether the key is text."""
        return key != "space" and super().check_consume_key(key, character)


class FilterScreen(Modal[None]):
    """Calls `changed` after each choice, so that the list changes at once; escape undoes all.

    Sections are at the left, the choices of one section at the right. Sections with many choices,
    and dates, have a line above them for typing; elsewhere letters are keys.
    """

    CSS_PATH = "filters.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("dialog.keep", "keep", "Apply", priority=True, show=False),
        bound("models.filter", "keep", "Apply", priority=True, show=False),
        bound("dialog.undo", "restore", "Undo the changes", priority=True, show=False),
        bound("dialog.choose", "choose", "Select or deselect", priority=True, show=False),
        bound("filters.next", "section(1)", "Next section", priority=True, show=False),
        bound("filters.previous", "section(-1)", "Previous section", priority=True, show=False),
        bound("filters.clear", "clear", "Clear all filters", priority=True, show=False),
        bound("list.down", "cursor(1)", "Next", priority=True, show=False),
        bound("list.up", "cursor(-1)", "Previous", priority=True, show=False),
        bound("list.page_down", "page(1)", "Next page", priority=True, show=False),
        bound("list.page_up", "page(-1)", "Previous page", priority=True, show=False),
        *(
            bound(
                f"filters.stars_{n}",
                f"stars({n})",
                f"At least {n} star{'' if n == 1 else 's'}" if n else "Any number of stars",
                show=False,
            )
            for n in range(6)
        ),
    ]

    def __init__(
        self, db: sqlite3.Connection, before: ModelQuery, changed: Callable[[ModelQuery], None]
    ) -> None:
        super().__init__()
        self._db, self._before, self._query, self._changed = db, before, before, changed
        self._sections: tuple[Section, ...] = ()
        self._at = 0
        self._shown: tuple[Choice, ...] = ()
        self._ascii_only = False

    def compose(self) -> ComposeResult:
        """The sections, and the choices of the current one."""
        self._ascii_only = self.app.has_class("-ascii")
        self._sections = read_sections(self._db, self._before, ascii_only=self._ascii_only)
        sections = OptionList(id="filter-sections", markup=False)
        sections.can_focus = False
        yield Dialog(
            Horizontal(
                sections,
                Vertical(
                    TypedLine(id="filter-typed", compact=True, select_on_focus=False),
                    OptionList(id="filter-choices", markup=False),
                    Label(id="filter-hint", markup=False),
                    id="filter-side",
                ),
            ),
            title="Filter",
            keys=[
                ("filters.next", "section"),
                ("dialog.choose", "selects"),
                ("filters.clear", "clears"),
                ("dialog.keep", "applies"),
                ("dialog.undo", "cancels"),
            ],
        )

    def on_mount(self) -> None:
        """Start with the first section."""
        self._enter(0)

    def on_resize(self, event: Resize) -> None:  # noqa: ARG002 - as Textual calls it
        """Draw the lines again in their new width."""
        self.call_after_refresh(self.while_alive(self._draw))

    def action_keep(self) -> None:
        """Close; the list shows the result already."""
        self.dismiss(None)

    def action_restore(self) -> None:
        """Undo all changes, and close."""
        self._changed(self._before)
        self.dismiss(None)

    def action_section(self, by: int) -> None:
        """Go to the next or previous section; after the last comes the first."""
        self._enter((self._at + by) % len(self._sections))

    def action_cursor(self, lines: int) -> None:
        """Move by `lines`."""
        if lines > 0:
            self._choices.action_cursor_down()
        else:
            self._choices.action_cursor_up()

    def action_page(self, pages: int) -> None:
        """Move by a page."""
        if pages > 0:
            self._choices.action_page_down()  # type: ignore[no-untyped-call]
        else:
            self._choices.action_page_up()  # type: ignore[no-untyped-call]

    def action_choose(self) -> None:
        """Select or deselect the choice under the cursor."""
        index = self._choices.highlighted
        if index is not None and index < len(self._shown):
            self._toggle(self._shown[index])

    def action_stars(self, least: int) -> None:
        """Show models with at least this many stars."""
        self._tell(self._query._replace(min_stars=least))

    def action_clear(self) -> None:
        """Clear all filters; the search stays."""
        self._write("")
        self._tell(self._query.unfiltered._replace(search=self._query.search))

    @property
    def _section(self) -> Section:
        return self._sections[self._at]

    @property
    def _typed(self) -> Input:
        return self.query_one("#filter-typed", Input)

    @property
    def _choices(self) -> OptionList:
        return self.query_one("#filter-choices", OptionList)

    @on(OptionList.OptionSelected, "#filter-sections")
    def _section_clicked(self, event: OptionList.OptionSelected) -> None:
        self._enter(event.option_index)

    @on(OptionList.OptionSelected, "#filter-choices")
    def _choice_clicked(self, event: OptionList.OptionSelected) -> None:
        self._take_focus()
        if event.option_index < len(self._shown):
            self._toggle(self._shown[event.option_index])

    @on(Input.Changed)
    def _typed_on(self) -> None:
        if self._section.typing is Typing.DAYS:
            days = parse_days(self._typed.value)
            if days is not None:
                start, before = days
                self._tell(self._query._replace(created_from=start, created_before=before))
        self._list_choices()

    def _enter(self, at: int) -> None:
        self._at = at
        typing = self._section.typing
        custom = typing is Typing.DAYS and not any(
            choice.is_chosen(self._query) for choice in self._section.choices
        )
        self._write(days_text(self._query) if custom else "")
        self._typed.placeholder = _PLACEHOLDERS[typing]
        self._typed.set_class(typing is not Typing.NOTHING, "-open")
        self.set_class(typing is not Typing.NOTHING, "-typing")
        self._take_focus()
        self._list_choices()

    def _take_focus(self) -> None:
        typing = self._section.typing is not Typing.NOTHING
        self.set_focus(self._typed if typing else self._choices)

    def _write(self, text: str) -> None:
        with self.prevent(Input.Changed):
            self._typed.value = text

    def _toggle(self, choice: Choice) -> None:
        if choice.field == "created_from":
            self._write("")
        self._tell(choice.toggled(self._query))

    def _tell(self, query: ModelQuery) -> None:
        self._query = query
        self._changed(query)
        self._draw()

    def _list_choices(self) -> None:
        """The choices that are left; the cursor goes to the first one that is chosen."""
        self._shown = self._section.narrowed(self._typed.value)[:_MOST_LINES]
        self._choices.clear_options()
        self._choices.add_options([Option("") for _ in self._shown])
        chosen = (place for place, it in enumerate(self._shown) if it.is_chosen(self._query))
        self._choices.highlighted = next(chosen, 0) if self._shown else None
        self._draw()

    def _draw(self) -> None:
        """Draw all lines again: the selection or the width may have changed."""
        width = self._choices.scrollable_content_region.width
        for place, choice in enumerate(self._shown):
            line = self._choice_line(choice, width)
            self._choices.replace_option_prompt_at_index(place, line)
        sections = self.query_one("#filter-sections", OptionList)
        width = sections.scrollable_content_region.width
        lines = [self._section_line(section, width) for section in self._sections]
        if sections.option_count != len(lines):
            sections.add_options([Option(line) for line in lines])
        for place, line in enumerate(lines):
            sections.replace_option_prompt_at_index(place, line)
        sections.highlighted = self._at
        hint, is_wrong = self._hint()
        label = self.query_one("#filter-hint", Label)
        label.update(normalize_width(hint, ascii_only=self._ascii_only))
        label.set_class(is_wrong, "-wrong")

    def _section_line(self, section: Section, width: int) -> Content:
        chosen = section.chosen(self._query)
        here = ">" if section is self._section else " "
        title = f"{here} {section.title:<{_TITLE_WIDTH}}"
        rest = fit(chosen or "any", width - len(title), ascii_only=self._ascii_only)
        return Content.assemble(title, (rest, "$accent" if chosen else "$secondary 60%"))

    def _choice_line(self, choice: Choice, width: int) -> Content:
        mark = "x" if choice.is_chosen(self._query) else " "
        box = f"[{mark}] " if self._section.several else f"({mark}) "
        count = f" {formats.count(choice.count)}"
        label = fit(choice.label, width - len(box) - cell_len(count), ascii_only=self._ascii_only)
        return Content.assemble((box, "$accent"), label, (count, "$secondary"))

    def _hint(self) -> tuple[str, bool]:
        """The hint below the choices, and whether it reports invalid input."""
        section, text = self._section, self._typed.value
        if section.typing is Typing.DAYS:
            wrong = parse_days(text) is None
            return (
                ("write 2026-01-31, or a..b, a.. or ..b", True)
                if wrong
                else (
                    "local days, first and last included",
                    False,
                )
            )
        if section.typing is Typing.NARROWS:
            found, total = len(section.narrowed(text)), len(section.choices)
            if found > _MOST_LINES:
                return f"the first {_MOST_LINES} of {formats.count(found)}; type to narrow", False
            return (
                f"{formats.count(found)} of {formats.count(total)}"
                if text
                else f"{formats.count(total)} in total",
                text != "" and not found,
            )
        if section.several:
            return "select one or more", False
        return "select one; select it again for any", False
