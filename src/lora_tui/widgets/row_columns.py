"""Columns of a list, and the choice of those that fit into a width."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
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
    """The order that its heading chooses."""
    narrow_width: int = 0
    """The least width below `WIDE`, if it differs."""
    roomy_width: int = 0
    """The least width from `ROOMY` on, if it differs."""
    narrow_title: str = ""
    """The title where the column is too narrow for `title`."""
    keeps_end: bool = False
    """Whether long texts are cut in their middle: names differ at their end."""
    share: int = 0
    """Whether it grows: percent of the cells that the columns before it left."""


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


def _no_more() -> Sequence[Column[Any]]:
    return ()


class ColumnSet(Generic[Row]):
    """All columns of a list in their order; the first is always shown.

    Those of `more` follow the usual ones. They are made when one of them is first named, and never
    chosen by themselves.
    """

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        comfortable: int,
        shares: Mapping[str, int],
        more: Callable[[], Sequence[Column[Row]]] = _no_more,
        synonyms: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`comfortable`: the width of the first column that long names need to be told apart.

        `shares`: which columns grow, in turn: percent of the cells that the ones before them left.
        `synonyms`: former keys.
        """
        self.columns = tuple(columns)
        self._first = columns[0]
        self._comfortable, self._shares = comfortable, shares
        self._more, self._synonyms = more, synonyms
        self._keys = frozenset(column.key for column in columns)
        self._all: tuple[Column[Row], ...] = ()

    @property
    def all_columns(self) -> tuple[Column[Row], ...]:
        """The usual columns and all others."""
        if not self._all:
            self._all = (*self.columns, *self._more())
        return self._all

    def layout(
        self,
        width: int,
        chosen: Collection[str] = (),
        *,
        sort: str | None = None,
        needed: Collection[str] = (),
    ) -> list[ColumnLayout[Row]]:
        """Choose the columns that fit into `width` cells, from left to right.

        `chosen` has the keys of the wanted columns; empty means the most important ones. The first
        is always shown; the column by which the list is sorted takes precedence, then those that
        are `needed`, for a condition on them, say, chosen or not.
        """
        gap = 2 if width >= WIDE else 1
        first = self._first_width(width, is_free=not chosen)
        columns = self._choose(width, width - first, gap, chosen, (sort, frozenset(needed)))
        least = {column.key: _least(column, width) for column in columns}
        least[self._first.key] = first
        spare = width - sum(least.values()) - gap * (len(columns) - 1)
        widths = self._grow(columns, least, spare)
        placed = []
        left = 0
        for column in columns:
            placed.append(ColumnLayout(column, left, widths[column.key]))
            left += widths[column.key] + gap
        return placed

    def valid_keys(self, keys: Iterable[object]) -> tuple[str, ...]:
        """The keys that name columns, in the order of the list and without duplicates."""
        return tuple(column.key for column in self.named(keys))

    def named(self, keys: Iterable[object]) -> list[Column[Row]]:
        """The columns with these keys, in the order of the list."""
        wanted = {self._synonyms.get(key, key) for key in keys if isinstance(key, str)}
        return [column for column in self._known(wanted) if column.key in wanted]

    def others(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Of these keys those that name none of the usual columns."""
        return tuple(key for key in self.valid_keys(keys) if key not in self._keys)

    def _known(self, keys: Collection[str]) -> tuple[Column[Row], ...]:
        """The columns, all of them only where one of these keys is none of the usual ones."""
        return self.columns if self._keys.issuperset(keys) else self.all_columns

    def _first_width(self, width: int, *, is_free: bool) -> int:
        """The width of the first: more than the least, so that names can be told apart."""
        least = _least(self._first, width)
        return max(least, min(self._comfortable, width * 40 // 100)) if is_free else least

    def _choose(
        self,
        width: int,
        room: int,
        gap: int,
        chosen: Collection[str],
        called_for: tuple[str | None, frozenset[str]],
    ) -> list[Column[Row]]:
        """The first column and the most important ones that fit beside it."""
        sort, needed = called_for
        known = self._known({*chosen, *needed})
        if sort is not None and all(column.sort != sort for column in known):
            known = self.all_columns
        usual = chosen or self._keys
        wanted = [
            column
            for column in known[1:]
            if column.key in usual or column.key in needed or self._is_only_sorted(column, sort)
        ]
        fitting = {self._first.key}
        for column in sorted(
            wanted,
            key=lambda c: (sort is None or c.sort != sort, c.key not in needed, c.importance),
        ):
            least = gap + _least(column, width)
            if least > room:
                break
            room -= least
            fitting.add(column.key)
        return [column for column in known if column.key in fitting]

    def _is_only_sorted(self, column: Column[Row], sort: str | None) -> bool:
        """Whether an unusual column is shown because the list is sorted by it."""
        return sort is not None and column.sort == sort and column.key not in self._keys

    def _grow(
        self, columns: Sequence[Column[Row]], least: Mapping[str, int], spare: int
    ) -> dict[str, int]:
        """Distribute spare cells: each growing column gets its share, the first the rest."""
        widths, first = dict(least), self._first.key
        most = {column.key: column.most for column in columns}
        shares = dict(self._shares) | {
            column.key: column.share for column in columns if column.share
        }
        for key, share in shares.items():
            if key in widths and spare > 0:
                room = most[key] - widths[key]
                grown = max(0, min(spare, room, max(1, spare * share // 100)))
                widths[key] += grown
                spare -= grown
        widths[first] += max(0, min(spare, most[first] - widths[first]))
        return widths


def _least(column: Column[Any], width: int) -> int:
    """The least width of a column in a line of `width` cells."""
    if width >= ROOMY and column.roomy_width:
        return column.roomy_width
    return column.least if width >= WIDE or not column.narrow_width else column.narrow_width
