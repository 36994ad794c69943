"""Shows the models as cards, twelve per page; only the visible lines are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.strip import Strip

from lora_tui import clock, formats
from lora_tui.cache.models import ModelSummary
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit, fit_ends, normalize_width, wrap
from lora_tui.widgets.charts.sparkline import area_chart
from lora_tui.widgets.row_view import Rows, RowView, row_styles
from lora_tui.widgets.styled_lines import Line, Span, badge_spans, favorite_sign, star_spans

MIN_CARD_HEIGHT: Final = 4
_MIN_CURVE: Final = 4
_MAX_CURVE: Final = 24
_WITH_DATE: Final = 26
"""The least width of a card that shows a date beside the longest convergence."""


@dataclass(frozen=True)
class CardContext:
    """The size of a card and how it is drawn."""

    width: int
    height: int
    ascii_only: bool = False


def card_lines(model: ModelSummary, context: CardContext, *, is_marked: bool = False) -> list[Line]:
    """The lines of a card: `context.height` lines of exactly `context.width` cells.

    Name; stars and convergence; dataset; base model; curve and metrics, in one line if the card has
    five lines or fewer. A higher card has a higher curve. A card of four lines has either the rest
    of a long name or dataset and base model in its second line.
    """
    width, height, ascii_only = context.width, context.height, context.ascii_only
    dataset = normalize_width(model.dataset_name or "no dataset", ascii_only=ascii_only)
    base = normalize_width((model.base_model or "").rsplit("/", 1)[-1], ascii_only=ascii_only)
    if height < 5:
        between = " - " if ascii_only else " · "
        origin = f"{dataset}{between}{base}" if base else dataset
        name_lines = _wrapped_name(model, origin, context, is_marked)
        return [*name_lines, _rating_line(model, context), _curve_and_metrics(model, context)]
    lines = [_name_line(model, context, is_marked), _rating_line(model, context)]
    lines.append(_text(dataset, context))
    lines.append(_text(base or "base model unknown", context, "muted" if base else "faint"))
    room = height - len(lines)
    if room == 1:
        return [*lines, _curve_and_metrics(model, context)]
    if room > 3:
        lines.append(_text("", context))
        room -= 1
    lines += _curve(model, context, room - 1)
    lines.append(_spread(_metrics(model), width, ascii_only=ascii_only))
    return lines


def placeholder_lines(number: int, context: CardContext) -> list[Line]:
    """A placeholder for a card while models are loading."""
    bar = "-" if context.ascii_only else "━"
    lines: list[Line] = []
    for line in range(context.height):
        share = (9, 6, 7, 0, 5)[line % 5] - (number + line) % 3
        length = context.width * max(0, share) // 10
        lines.append([(bar * length, "skeleton"), (" " * (context.width - length), "plain")])
    return lines


def _name_line(model: ModelSummary, context: CardContext, is_marked: bool) -> Line:
    signs = _signs(model, context, is_marked)
    room = context.width - sum(len(text) for text, _ in signs)
    return [(fit_ends(model.name, room, ascii_only=context.ascii_only), "name"), *signs]


def _wrapped_name(
    model: ModelSummary, origin: str, context: CardContext, is_marked: bool
) -> list[Line]:
    """Two lines: the name, and its rest or, if there is none, the origin."""
    signs = _signs(model, context, is_marked)
    room = context.width - sum(len(text) for text, _ in signs)
    name = normalize_width(model.name, ascii_only=context.ascii_only)
    first, *rest = wrap(name, room) or [""]
    second = _text(origin, context)
    if rest:
        rest_of_name = fit_ends(" ".join(rest), context.width, ascii_only=context.ascii_only)
        second = [(rest_of_name, "name")]
    return [[(fit(first, room, ascii_only=context.ascii_only), "name"), *signs], second]


def _signs(model: ModelSummary, context: CardContext, is_marked: bool) -> list[Span]:
    """The signs at the right of the name: archived, favorite, downloaded, marked."""
    signs: list[Span] = [(" archived", "muted")] if model.status == "archived" else []
    if model.favorite:
        signs.append((f" {favorite_sign(ascii_only=context.ascii_only)}", "name"))
    if model.downloaded:
        signs.append((" v" if context.ascii_only else " ✓", "downloaded"))
    if is_marked:
        signs.append((" *" if context.ascii_only else " ●", "mark"))
    return signs


def _rating_line(model: ModelSummary, context: CardContext) -> Line:
    spans = [*star_spans(model.stars, ascii_only=context.ascii_only), ("  ", "plain")]
    spans += badge_spans(model.convergence, ascii_only=context.ascii_only)
    if context.width < _WITH_DATE:
        return _with_end(spans, ("", "muted"), context)
    date = formats.short_date(model.created_at, clock.now())
    return _with_end(spans, (date, "muted"), context)


def _curve_and_metrics(model: ModelSummary, context: CardContext) -> Line:
    """The curve at the left, and as many metrics as leave room for it."""
    metrics = _metrics(model)[:2]
    while len(metrics) > 1 and _needed(metrics) + 1 + _MIN_CURVE > context.width:
        metrics.pop()
    texts = [normalize_width(text, ascii_only=context.ascii_only) for text, _ in metrics]
    ends = "  ".join(texts)
    room = min(_MAX_CURVE, context.width - cell_len(ends) - 1)
    if room < _MIN_CURVE:
        return _text(ends, context, "plain")
    (curve,) = _curve(model, CardContext(room, context.height, context.ascii_only), 1)
    gap = " " * (context.width - room - cell_len(ends))
    return [*curve, (gap, "plain"), (ends, "plain")]


def _curve(model: ModelSummary, context: CardContext, height: int) -> list[Line]:
    if not model.sparkline:
        lines: list[Line] = [_text("", context) for _ in range(height - 1)]
        return [*lines, _text("no curve yet" if context.width >= 12 else "", context, "faint")]
    rows = area_chart(model.sparkline, context.width, height, ascii_only=context.ascii_only)
    return [[(row, "curve")] for row in rows]


def _metrics(model: ModelSummary) -> list[Span]:
    """The known metrics, the most important first."""
    metrics = [
        ("", formats.money(model.cost), "plain"),
        ("", formats.size(model.size), "muted"),
        ("loss ", formats.loss(model.final_loss), "plain"),
        ("", formats.hours(model.duration_hours), "muted"),
        ("ppl ", formats.perplexity(model.perplexity), "muted"),
    ]
    known = [(name + text, style) for name, text, style in metrics if text != formats.NO_VALUE]
    return known or [(formats.NO_VALUE, "faint")]


def _spread(metrics: Sequence[Span], width: int, *, ascii_only: bool) -> Line:
    """As many of the metrics as fit, evenly spaced."""
    count = len(metrics)
    while count > 1 and _needed(metrics[:count]) > width:
        count -= 1
    texts = [
        (normalize_width(text, ascii_only=ascii_only), style) for text, style in metrics[:count]
    ]
    free = width - sum(cell_len(text) for text, _ in texts)
    line: list[Span] = []
    for number, (text, style) in enumerate(texts):
        if number:
            gap = free // (count - number)
            free -= gap
            line.append((" " * gap, "plain"))
        line.append((text, style))
    if count == 1:
        return [(fit(texts[0][0], width, ascii_only=ascii_only), texts[0][1])]
    return line


def _needed(metrics: Sequence[Span]) -> int:
    return sum(cell_len(text) for text, _ in metrics) + 2 * (len(metrics) - 1)


def _with_end(spans: Sequence[Span], end: Span, context: CardContext) -> Line:
    """The spans, and `end` at the right if there is room; the last span is cut to fit."""
    end = (normalize_width(end[0], ascii_only=context.ascii_only), end[1])
    used = sum(cell_len(text) for text, _ in spans)
    room = context.width - used
    if room >= cell_len(end[0]) + min(2, len(end[0])):
        return [*spans, (" " * (room - cell_len(end[0])), "plain"), end]
    *first, (text, style) = spans
    left = context.width - sum(cell_len(text) for text, _ in first)
    return [*first, (fit(text, left, ascii_only=context.ascii_only), style)]


def _text(text: str, context: CardContext, style: str = "muted") -> Line:
    return [(fit(text, context.width, ascii_only=context.ascii_only), style)]


CARDS_PER_PAGE: Final = 12
_COLUMNS: Final = (1, 2, 3, 4, 6)
_MIN_WIDTH: Final = 26
_MAX_HEIGHT: Final = 14
_SHAPE: Final = 4.0
"""The preferred ratio of width to height of a card, in cells."""
_EDGES: Final = 3
"""Cells beside the text: the cursor bar and a blank at the left, a blank at the right."""
_PAGER: Final = 1


@dataclass(frozen=True)
class CardLayout:
    """The grid of cards on a page."""

    columns: int
    width: int
    """Width of a card with the gap at its right, in cells."""
    height: int
    """Height of a card with the gap below it, in cells."""

    @property
    def rows(self) -> int:
        """Rows of cards on a full page."""
        return CARDS_PER_PAGE // self.columns


def card_layout(width: int, height: int) -> CardLayout:
    """Choose the columns that show a whole page in cards of the best shape; else all that fit."""
    possible = [columns for columns in _COLUMNS if width // columns >= _MIN_WIDTH] or [1]
    whole = []
    for columns in possible:
        # the last row needs no gap below it
        card = min(_MAX_HEIGHT, (height + 1) // (CARDS_PER_PAGE // columns))
        if card > MIN_CARD_HEIGHT:
            shape = width / columns / card
            whole.append((abs(math.log(shape / _SHAPE)), columns, card))
    if whole:
        _, columns, card = min(whole)
        return CardLayout(columns, width // columns, card)
    return CardLayout(possible[-1], width // possible[-1], MIN_CARD_HEIGHT + 1)


class CardGrid(RowView[ModelSummary]):
    """Shows one page of rows as cards; the last line is a fixed pager."""

    COMPONENT_CLASSES: ClassVar[set[str]] = row_styles("card")
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "open", "Open", tooltip="Open the model under the cursor"),
        bound("models.mark", "mark", "Mark", tooltip="Mark the model"),
        bound("cards.next", "move(1)", "Next model", show=False),
        bound("cards.previous", "move(-1)", "Previous model", show=False),
        bound("list.down", "row(1)", "Next row", show=False),
        bound("list.up", "row(-1)", "Previous row", show=False),
        bound("cards.mark_next", "extend(1)", "Mark forwards", show=False),
        bound("cards.mark_previous", "extend(-1)", "Mark backwards", show=False),
        bound("models.mark_down", "extend_row(1)", "Mark downwards", show=False),
        bound("models.mark_up", "extend_row(-1)", "Mark upwards", show=False),
    ]

    def __init__(
        self, rows: Rows[ModelSummary], *, ascii_only: bool = False, id: str | None = None
    ) -> None:
        super().__init__(rows, ascii_only=ascii_only, id=id)
        self._layout_of = CardLayout(1, 1, MIN_CARD_HEIGHT + 1)
        self._cards: dict[int, list[Line]] = {}

    @property
    def page(self) -> int:
        """The index of the page shown, from 0."""
        return self.cursor // CARDS_PER_PAGE

    @property
    def pages(self) -> int:
        """The number of pages; an empty list has one."""
        return max(1, -(-self.total // CARDS_PER_PAGE))

    def reload(
        self,
        total: int,
        *,
        sort: str,  # noqa: ARG002 - a table shows it
        descending: bool,  # noqa: ARG002
        locate: Callable[[str], int | None],
    ) -> None:
        """See `RowView.reload`."""
        self.rows.reload(total, locate, at_top=self.page == 0)
        self.redraw()
        self.post_message(self.Moved())

    def redraw(self) -> None:
        """See `RowView.redraw`."""
        self._cards.clear()
        self._lay_out()
        self._show_cursor()
        self.refresh()

    def move_to(self, index: int, *, marking: bool = False) -> None:
        """See `RowView.move_to`."""
        left, page = self.cursor, self.page
        self._step(index, marking=marking)
        if marking or page != self.page:
            self._cards.clear()
            self._lay_out()
        self._cards.pop(left, None)
        if self._show_cursor() or marking or page != self.page:
            self.refresh()
        else:
            for place in {left, self.cursor}:
                row = place % CARDS_PER_PAGE // self._layout_of.columns
                self.refresh_lines(row * self._layout_of.height, self._layout_of.height)
        self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.scrollable_content_region.width
        if y >= self._visible_lines:
            return self._pager(width)
        row, line = divmod(y + self.scroll_offset.y, self._layout_of.height)
        plain = self._style("plain")
        if line >= self._layout_of.height - 1 or row >= self._layout_of.rows:
            return Strip.blank(width, plain)
        segments: list[Segment] = []
        first = self.page * CARDS_PER_PAGE + row * self._layout_of.columns
        for column in range(self._layout_of.columns):
            segments += self._card_line(first + column, line, is_last=column == self._last_column)
        return Strip(segments).adjust_cell_length(width, plain)

    def action_move(self, cards: int) -> None:
        """Move the cursor by `cards`."""
        self.move_to(self.cursor + cards)

    def action_row(self, rows: int) -> None:
        """Move the cursor by a row, to the next or previous page at the end of a page."""
        self.move_to(self._across(rows))

    def action_extend(self, cards: int) -> None:
        """Mark the models over which the cursor moves by `cards`."""
        self.move_to(self.cursor + cards, marking=True)

    def action_extend_row(self, rows: int) -> None:
        """Mark the models over which the cursor moves by a row."""
        self.move_to(self._across(rows), marking=True)

    def action_page(self, pages: int) -> None:
        """Move to the same place on the next or previous page."""
        self.move_to(self.cursor + pages * CARDS_PER_PAGE)

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor, a double click opens, a click on the pager turns the page."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y >= self._visible_lines:
            self.action_page(-1 if offset.x < self.size.width // 2 else 1)
            return
        row = (offset.y + self.scroll_offset.y) // self._layout_of.height
        column = offset.x // self._layout_of.width
        index = self.page * CARDS_PER_PAGE + row * self._layout_of.columns + column
        if row < self._layout_of.rows and column < self._layout_of.columns and index < self.total:
            self.move_to(index)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Turn to the next page at the end of this one."""
        if self.scroll_offset.y >= self.max_scroll_y and self.page + 1 < self.pages:
            event.stop()
            event.prevent_default()
            self.move_to((self.page + 1) * CARDS_PER_PAGE)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Turn to the previous page at the start of this one."""
        if self.scroll_offset.y <= 0 and self.page > 0:
            event.stop()
            event.prevent_default()
            self.move_to(self.page * CARDS_PER_PAGE - 1)

    def on_resize(self) -> None:
        """Lay the cards out again."""
        self.redraw()

    @property
    def _visible_lines(self) -> int:
        return max(1, self.size.height - _PAGER)

    @property
    def _last_column(self) -> int:
        return self._layout_of.columns - 1

    def _across(self, rows: int) -> int:
        """The index `rows` below the cursor; the last model where the last row is shorter."""
        index = self.cursor + rows * self._layout_of.columns
        if index < 0:
            return self.cursor
        if index >= self.total:
            row = self.cursor // self._layout_of.columns
            return (
                self.total - 1 if row < (self.total - 1) // self._layout_of.columns else self.cursor
            )
        return index

    def _lay_out(self) -> None:
        layout = card_layout(self.size.width, self._visible_lines)
        if layout != self._layout_of:
            self._layout_of = layout
            self._cards.clear()
        shown = min(CARDS_PER_PAGE, self.total - self.page * CARDS_PER_PAGE)
        rows = -(-shown // layout.columns)
        self.virtual_size = Size(self.size.width, max(0, rows * layout.height - 1) + _PAGER)

    def _show_cursor(self) -> bool:
        """Scroll the card of the cursor into view; returns whether that was needed."""
        top = self.scroll_offset.y
        first = self.cursor % CARDS_PER_PAGE // self._layout_of.columns * self._layout_of.height
        last = first + self._layout_of.height - 2
        wanted = min(first, max(top, last - self._visible_lines + 1))
        if wanted == top:
            return False
        self.scroll_to(y=wanted, animate=False, force=True)
        return True

    def _card_line(self, index: int, line: int, *, is_last: bool) -> list[Segment]:
        width = self._layout_of.width - (0 if is_last else 1)
        is_cursor = index == self.cursor and self.total > 0
        lines = self._card(index, width - _EDGES)
        gap = [] if is_last else [Segment(" ", self._style("plain"))]
        if lines is None:
            return [Segment(" " * width, self._style("plain")), *gap]
        ground = self._style("plain", is_cursor, "card")
        bar = (">" if self.ascii_only else "▌") if is_cursor else " "
        return [
            Segment(bar, self._style("bar", is_cursor, "card")),
            Segment(" ", ground),
            *(Segment(text, self._style(style, is_cursor, "card")) for text, style in lines[line]),
            Segment(" ", ground),
            *gap,
        ]

    def _card(self, index: int, width: int) -> list[Line] | None:
        found = self._cards.get(index)
        if found is None:
            context = CardContext(width, self._layout_of.height - 1, self.ascii_only)
            row = self.rows.row(index)
            if row is not None:
                found = card_lines(row, context, is_marked=row.id in self.marked)
            elif self.skeleton and index < CARDS_PER_PAGE:
                found = placeholder_lines(index, context)
            else:
                return None
            self._cards[index] = found
        return found

    def _pager(self, width: int) -> Strip:
        """`page 2 of 4`, with the keys that turn pages where there are several."""
        plain, key = self._style("muted"), self._style("sorted")
        if self.total == 0:
            return Strip.blank(width, plain)
        text = f"  page {formats.count(self.page + 1)} of {formats.count(self.pages)}  "
        before, after = self.page > 0, self.page + 1 < self.pages
        segments = [
            Segment("[" if before else " ", key),
            Segment(text, plain),
            Segment("]" if after else " ", key),
        ]
        left = max(0, (width - len(text) - 2) // 2)
        return Strip([Segment(" " * left, plain), *segments]).adjust_cell_length(width, plain)
