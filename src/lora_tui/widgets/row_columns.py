"""Columns of a list, and the choice of those that fit into a width."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from lora_tui.widgets.styled_lines import Span

Row = TypeVar("Row")
WIDE: Final = 100
"""From this width on columns are two cells apart, and cells have room for more than a word."""
ROOMY: Final = 160
"""From this width on long texts get more room before more columns do."""


class RenderContext(NamedTuple):
    """The width of a cell and how it is drawn."""

    width: int
    wide: bool
    ascii_only: bool


class Column(NamedTuple, Generic[Row]):
    """A column of the list."""

    key: str
    """Its name in the settings."""
    title: str
    label: str
    """Its name in the dialog that chooses columns."""
    cell: Callable[[Row, RenderContext], Sequence[Span]]
    importance: int
    """Columns with a higher number are left out first."""
    least: int
    most: int = 0
    right: bool = False
    sort: str | None = None
    narrow_width: int = 0
    """The least width below `WIDE`, if it differs."""
    roomy_width: int = 0
    """The least width from `ROOMY` on, if it differs."""
    narrow_title: str = ""
    """The title where the column is too narrow for `title`."""
    keeps_end: bool = False
    """Whether long texts are cut in their middle: names differ at their end."""


class ColumnLayout(NamedTuple, Generic[Row]):
    """A column with its position in the line, in cells."""

    column: Column[Row]
    left: int
    width: int

    @property
    def title(self) -> str:
        """The title that fits into this width."""
        column = self.column
        return (
            column.title if len(column.title) <= self.width else column.narrow_title or column.title
        )


class ColumnSet(Generic[Row]):
    """All columns of a list in their order; the first is always shown."""

    def __init__(
        self, columns: Sequence[Column[Row]], *, comfortable: int, shares: Mapping[str, int]
    ) -> None:
        """`comfortable`: the width of the first column that long names need to be told apart.

        `shares`: which columns grow, in turn: percent of the cells that the ones before them left.
        """
        self.columns = tuple(columns)
        self._first = columns[0]
        self._comfortable, self._shares = comfortable, shares
        self._most = {column.key: column.most for column in columns}

    def layout(
        self, width: int, chosen: Collection[str] = (), *, sort: str | None = None
    ) -> list[ColumnLayout[Row]]:
        """Choose the columns that fit into `width` cells, from left to right.

        `chosen` has the keys of the wanted columns; empty means the most important ones. The first
        is always shown, and the column by which the list is sorted takes precedence.
        """
        gap = 2 if width >= WIDE else 1
        first = self._first_width(width, is_free=not chosen)
        columns = self._choose(width, width - first, gap, chosen, sort)
        least = {column.key: _least(column, width) for column in columns}
        least[self._first.key] = first
        widths = self._grow(least, width - sum(least.values()) - gap * (len(columns) - 1))
        placed = []
        left = 0
        for column in columns:
            placed.append(ColumnLayout(column, left, widths[column.key]))
            left += widths[column.key] + gap
        return placed

    def valid_keys(self, keys: Iterable[object]) -> tuple[str, ...]:
        """The keys that name columns, in the order of the list and without duplicates."""
        wanted = {key for key in keys if isinstance(key, str)}
        return tuple(column.key for column in self.columns if column.key in wanted)

    def _first_width(self, width: int, *, is_free: bool) -> int:
        """The width of the first: more than the least, so that names can be told apart."""
        least = _least(self._first, width)
        return max(least, min(self._comfortable, width * 40 // 100)) if is_free else least

    def _choose(
        self, width: int, room: int, gap: int, chosen: Collection[str], sort: str | None
    ) -> list[Column[Row]]:
        """The first column and the most important ones that fit beside it."""
        wanted = [column for column in self.columns[1:] if not chosen or column.key in chosen]
        fitting = {self._first.key}
        for column in sorted(
            wanted, key=lambda c: (c.sort is None or c.sort != sort, c.importance)
        ):
            needed = gap + _least(column, width)
            if needed > room:
                break
            room -= needed
            fitting.add(column.key)
        return [column for column in self.columns if column.key in fitting]

    def _grow(self, least: Mapping[str, int], spare: int) -> dict[str, int]:
        """Distribute spare cells: each growing column gets its share, the first the rest."""
        widths, first = dict(least), self._first.key
        for key, share in self._shares.items():
            if key in widths and spare > 0:
                room = self._most[key] - widths[key]
                grown = max(0, min(spare, room, max(1, spare * share // 100)))
                widths[key] += grown
                spare -= grown
        widths[first] += max(0, min(spare, self._most[first] - widths[first]))
        return widths


def _least(column: Column[Any], width: int) -> int:
    """The least width of a column in a line of `width` cells."""
    if width >= ROOMY and column.roomy_width:
        return column.roomy_width
    return column.least if width >= WIDE or not column.narrow_width else column.narrow_width
