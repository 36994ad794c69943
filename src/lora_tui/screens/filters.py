"""The form for choosing which rows a list shows: sections of choices with their counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, ClassVar, Final, Generic, TypeVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Label, OptionList
from textual.widgets.option_list import Option

from lora_tui import clock, formats
from lora_tui.cache.job_query import JobQuery
from lora_tui.cache.models import ModelQuery
from lora_tui.screens.list_form import letters
from lora_tui.tui.base_screen import FORM_STYLES, Modal
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import fit, normalize_width
from lora_tui.widgets.forms import Dialog, TypedLine

_MOST_LINES: Final = 300
_TITLE_WIDTH: Final = 13
_STEPS: Final = (("last 7 days", 7), ("last 30 days", 30), ("last year", 365))
Query = TypeVar("Query", ModelQuery, JobQuery)


class Typing(Enum):
    """What typed letters do in a section."""

    NOTHING = "nothing"
    NARROWS = "narrows"
    DAYS = "days"
    CONDITION = "condition"


_PLACEHOLDERS: Final = {
    Typing.NOTHING: "",
    Typing.NARROWS: "type to narrow",
    Typing.DAYS: "or days: 2026-01-01..2026-01-31",
    Typing.CONDITION: "rank >= 16 and best_validation_loss < 1.2",
}


class FilterScreen(Modal[None], Generic[Query]):
    """Calls `changed` after each choice, so that the list changes at once; escape undoes all.

    Sections are at the left, the choices of one section at the right. Sections with many choices,
    and dates, have a line above them for typing; elsewhere letters are keys.
    """

    CSS_PATH = [FORM_STYLES, "filters.tcss"]  # noqa: RUF012 - Textual's own
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
                f"At least {formats.counted(n, 'star')}" if n else "Any number of stars",
                show=False,
            )
            for n in range(6)
        ),
    ]

    def __init__(
        self, sections: tuple[Section, ...], before: Query, changed: Callable[[Query], None]
    ) -> None:
        super().__init__()
        self._before: Query = before
        self._query: Query = before
        self._changed: Callable[[Query], None] = changed
        self._sections = sections
        self._at = 0
        self._shown: tuple[Choice, ...] = ()
        self._narrowed_by = ""
        """The text of the line that the choices follow."""
        self._ascii_only = False

    def compose(self) -> ComposeResult:
        """The sections, and the choices of the current one."""
        self._ascii_only = self.app.has_class("-ascii")
        sections = OptionList(id="filter-sections", markup=False)
        sections.can_focus = False
        yield Dialog(
            Horizontal(
                sections,
                Vertical(
                    TypedLine(self.BINDINGS, id="filter-typed"),
                    Label(id="filter-error", markup=False),
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
        """Close; the list shows the result."""
        self.narrow()
        self.dismiss(None)

    def action_restore(self) -> None:
        """Undo all changes, and close."""
        self._changed(self._before)
        self.dismiss(None)

    def action_section(self, by: int) -> None:
        """Go to the next or previous section; after the last comes the first.

        In a condition the key to the next one completes the name of a column first.
        """
        self.narrow()
        place = self._choices.highlighted or 0
        if by > 0 and self._is_condition and self._typed.value and place < len(self._shown):
            self._complete(self._shown[place])
            return
        self._enter((self._at + by) % len(self._sections))

    def action_cursor(self, lines: int) -> None:
        """Move by `lines`."""
        self.narrow()
        if lines > 0:
            self._choices.action_cursor_down()
        else:
            self._choices.action_cursor_up()

    def action_page(self, pages: int) -> None:
        """Move by a page."""
        self.narrow()
        if pages > 0:
            self._choices.action_page_down()  # type: ignore[no-untyped-call]
        else:
            self._choices.action_page_up()  # type: ignore[no-untyped-call]

    def action_choose(self) -> None:
        """Select or deselect the choice under the cursor."""
        self.narrow()
        index = self._choices.highlighted
        if index is not None and index < len(self._shown):
            self._toggle(self._shown[index])

    def action_stars(self, least: int) -> None:
        """Show models with at least this many stars."""
        if isinstance(self._query, ModelQuery):
            self._tell(self._query._replace(min_stars=least))

    def action_clear(self) -> None:
        """Clear all filters; the search stays."""
        self._write("")
        self._tell(self._query.unfiltered._replace(search=self._query.search))

    @property
    def _section(self) -> Section:
        return self._sections[self._at]

    @property
    def _is_condition(self) -> bool:
        return self._section.typing is Typing.CONDITION

    @property
    def _typed(self) -> TypedLine:
        return self.query_one("#filter-typed", TypedLine)

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
    def narrow(self) -> None:
        """Follow what is typed. Actions call it first, as in `ListForm`."""
        if self._typed.value == self._narrowed_by:
            return
        self._narrowed_by = self._typed.value
        if self._is_condition:
            self._check_condition()
        elif self._section.typing is Typing.DAYS:
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
        self._write(
            getattr(self._query, "where", "")
            if typing is Typing.CONDITION
            else days_text(self._query)
            if custom
            else ""
        )
        self._typed.takes_letters = True
        self._typed.takes_all = typing is Typing.CONDITION
        self._typed.cursor_position = len(self._typed.value)
        self._typed.placeholder = _PLACEHOLDERS[typing]
        self._typed.set_class(typing is not Typing.NOTHING, "-open")
        self.set_class(typing is not Typing.NOTHING, "-typing")
        self._take_focus()
        self._list_choices()

    def _take_focus(self) -> None:
        typing = self._section.typing is not Typing.NOTHING
        self.set_focus(self._typed if typing else self._choices)

    def _write(self, text: str) -> None:
        self._narrowed_by = text
        self._typed.value = text

    def _check_condition(self) -> None:
        """Show what is wrong with the condition; the list changes once nothing is."""
        from lora_tui.screens.condition_line import error_of

        text = self._typed.value.strip()
        if error_of(text) is None and isinstance(self._query, ModelQuery):
            self._tell(self._query._replace(where=text))

    def _complete(self, choice: Choice) -> None:
        """Put the name of the column into the condition."""
        from lora_tui.screens.condition_line import completed

        line = self._typed
        text, cursor = completed(line.value, line.cursor_position, choice.value)
        line.value = text
        line.cursor_position = cursor

    def _completions(self) -> tuple[Choice, ...]:
        from lora_tui.screens.condition_line import completion_text, completions

        found = completions(self._typed.value, self._typed.cursor_position)
        return tuple(Choice("where", each.name, completion_text(each), 0) for each in found)

    def _toggle(self, choice: Choice) -> None:
        if self._is_condition:
            self._complete(choice)
            return
        if choice.field == "created_from":
            self._write("")
        self._tell(choice.toggled(self._query))

    def _tell(self, query: Query) -> None:
        self._query = query
        self._changed(query)
        self._draw()

    def _list_choices(self) -> None:
        """The choices that are left; the cursor goes to the first one that is chosen."""
        if self._is_condition:
            self._shown = self._completions()
        else:
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
        self._draw_error()
        hint, is_wrong = self._hint()
        label = self.query_one("#filter-hint", Label)
        label.update(normalize_width(hint, ascii_only=self._ascii_only))
        label.set_class(is_wrong, "-wrong")

    def _draw_error(self) -> None:
        """The word of the condition that is wrong, marked below the line, and why."""
        label, lines = self.query_one("#filter-error", Label), list[str]()
        text = self._typed.value
        if self._is_condition and text.strip():
            from lora_tui.screens.condition_line import error_lines, error_of

            error = error_of(text)
            lines = [] if error is None else error_lines(text, error, self._typed.size.width)
        label.display = bool(lines)
        label.update(normalize_width("\n".join(lines), ascii_only=self._ascii_only))

    def _section_line(self, section: Section, width: int) -> Content:
        chosen = section.chosen(self._query)
        here = ">" if section is self._section else " "
        title = f"{here} {section.title:<{_TITLE_WIDTH}}"
        rest = fit(chosen or "any", width - len(title), ascii_only=self._ascii_only)
        return Content.assemble(title, (rest, "$accent" if chosen else "$secondary 60%"))

    def _choice_line(self, choice: Choice, width: int) -> Content:
        if self._is_condition:
            return Content(fit(choice.label, width, ascii_only=self._ascii_only))
        mark = "x" if choice.is_chosen(self._query) else " "
        box = f"[{mark}] " if self._section.several else f"({mark}) "
        count = f" {formats.count(choice.count)}"
        label = fit(choice.label, width - len(box) - cell_len(count), ascii_only=self._ascii_only)
        return Content.assemble((box, "$accent"), label, (count, "$secondary"))

    def _hint(self) -> tuple[str, bool]:
        """The hint below the choices, and whether it reports invalid input."""
        section, text = self._section, self._typed.value
        if section.typing is Typing.CONDITION:
            key = key_of(self.app, "filters.next")
            return f"{key} completes a column's name", False
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


@dataclass(frozen=True)
class Choice:
    """One value of one field of the query."""

    field: str
    value: Any
    label: str
    count: int

    def is_chosen(self, query: Query) -> bool:
        """Whether the query contains this choice."""
        asked = getattr(query, self.field)
        if isinstance(asked, frozenset):
            return self.value in asked
        if self.field == "created_from" and query.created_before is not None:
            return False
        return bool(asked == self.value)

    def toggled(self, query: Query) -> Query:
        """The query with this choice added, or removed if it was chosen."""
        asked = getattr(query, self.field)
        if isinstance(asked, frozenset):
            changes: dict[str, Any] = {self.field: asked ^ {self.value}}
        else:
            anything = getattr(type(query)(), self.field)
            changes = {self.field: anything if self.is_chosen(query) else self.value}
        if self.field == "created_from":
            changes["created_before"] = None
        return query._replace(**changes)


@dataclass(frozen=True)
class Section:
    """The choices for one field; `several`: more than one can be selected."""

    title: str
    choices: tuple[Choice, ...]
    typing: Typing = Typing.NOTHING
    several: bool = False

    def narrowed(self, text: str) -> tuple[Choice, ...]:
        """Choices whose label contains the text, ignoring case and blanks."""
        wanted = letters(text)
        if self.typing is not Typing.NARROWS or not wanted:
            return self.choices
        return tuple(choice for choice in self.choices if wanted in letters(choice.label))

    def chosen(self, query: Query) -> str:
        """The selected choices in a word or two; empty if there is none."""
        if self.typing is Typing.CONDITION:
            return str(getattr(query, "where", ""))
        if self.typing is Typing.DAYS and (query.created_from or query.created_before):
            labels = [choice.label for choice in self.choices if choice.is_chosen(query)]
            return labels[0] if labels else days_text(query)
        return ", ".join(choice.label for choice in self.choices if choice.is_chosen(query))


def days_text(query: Query) -> str:
    """The days of the query in the format of `parse_days`."""
    first = formats.date(query.created_from) if query.created_from else ""
    last = _last_day(query.created_before) if query.created_before else ""
    return first if first == last else f"{first}..{last}"


def parse_days(text: str) -> tuple[datetime | None, datetime | None] | None:
    """Parse `a..b`, `a..`, `..b` or one day into a start and an exclusive end; None if invalid.

    Days are local days, as in the list.
    """
    first, dots, last = (part.strip() for part in text.partition(".."))
    if not dots:
        last = first
    begin, end = clock.local_day(first), clock.local_day(last)
    if (first and begin is None) or (last and end is None):
        return None
    if begin is not None and end is not None and end < begin:
        return None
    return begin, None if end is None else clock.next_day(end)


def named_choices(field: str, counts: Mapping[Any, int], query: Query) -> tuple[Choice, ...]:
    """The values that rows have; that of the query is listed even if no row has it."""
    found = {name: total for name, total in counts.items() if name}
    asked = getattr(query, field)
    if asked and asked not in found:
        found[asked] = 0
    return tuple(Choice(field, name, name, total) for name, total in found.items())


def date_choices(count_since: Callable[[list[datetime]], list[int]]) -> tuple[Choice, ...]:
    """Periods until now. `count_since`: for each moment, the number of rows from then on."""
    # from a whole hour on, or a whole day: what was chosen is still the same a minute later
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    steps = [("last 24 hours", hour - timedelta(hours=24))]
    steps += [(label, clock.days_ago(days)) for label, days in _STEPS]
    totals = count_since([start for _, start in steps])
    return tuple(
        Choice("created_from", start, label, total)
        for (label, start), total in zip(steps, totals, strict=True)
    )


def _last_day(before: datetime) -> str:
    return formats.date(before - timedelta(microseconds=1))
