"""Lays out a table of a command: as wide as its texts, or as the terminal.

On a terminal the columns that matter least go first, and texts are cut in their middle.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from lora_tui.text import cell_width, fit, fit_ends

ESSENTIAL: Final = 80
WIDE: Final = 1_000_000
"""The width for all columns in full, also for texts beyond the `most` of their column."""
_GAP: Final = 2
_COMFORTABLE: Final = 1.75
"""Times the least width of a text."""
_NARROWEST_TERMINAL: Final = 20


class Column(NamedTuple):
    """One column of a table."""

    heading: str
    importance: int
    """The columns with the lowest number go first where the terminal is too narrow.

    Those from `ESSENTIAL` on stay when texts must be cut below a comfortable width for them.
    """
    right: bool = False
    """Whether its texts are aligned at the right."""
    least: int | None = None
    """To this number of cells it may be cut; None: never."""
    most: int | None = None
    """Longer texts are always cut, also in a file."""


def terminal_width(descriptor: int) -> int:
    """The width of a terminal in cells; 80 where it is unknown."""
    return terminal_size(descriptor)[0]


def terminal_size(descriptor: int) -> tuple[int, int]:
    """Columns and lines of a terminal; 80 and 24 where they are unknown."""
    try:
        size = os.get_terminal_size(descriptor)
    except (ValueError, OSError):
        return 80, 24
    return max(_NARROWEST_TERMINAL, size.columns or 80), max(4, size.lines or 24)


def table_lines(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """The headings and the rows as lines; none where there are no rows.

    `rows` have a text for each column. `width`: of the terminal; `WIDE`; None for a file.
    """
    if not rows:
        return []
    widths = _widths(columns, rows, width)
    return [
        (" " * _GAP)
        .join(
            fit_ends(cells[place], wide)
            if not columns[place].right
            else fit(cells[place], wide, right=True)
            for place, wide in widths.items()
        )
        .rstrip()
        for cells in ([column.heading for column in columns], *rows)
    ]


def hidden_headings(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """The headings of the columns that `table_lines` leaves out."""
    shown = _widths(columns, rows, width)
    return [column.heading for place, column in enumerate(columns) if place not in shown]


def hidden_sentence(headings: Sequence[str]) -> str:
    """Which columns a table has left out, and how to see them; empty for none."""
    if not headings:
        return ""
    are = "1 column does" if len(headings) == 1 else f"{len(headings)} columns do"
    return f"{are} not fit: {', '.join(headings)}; --wide shows all."  # a heading may end in a dot


def sentence_lines(sentences: Iterable[str], width: int | None, *, indent: str) -> list[str]:
    """Sentences below a table, each on lines of its own; broken between words on a terminal."""
    if width is None:
        return [f"{indent}{sentence}" for sentence in sentences]
    from lora_tui.commands.prose import wrapped  # late: `list` has no sentences

    return [
        f"{indent}{line}"
        for sentence in sentences
        for line in wrapped(sentence, width - cell_width(indent))
    ]


def _widths(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> dict[int, int]:
    """Place of a column → its width, for the columns that are shown."""
    natural = (
        [
            max(cell_width(column.heading), *(cell_width(row[place]) for row in rows))
            for place, column in enumerate(columns)
        ]
        if rows
        else [cell_width(column.heading) for column in columns]
    )
    if width == WIDE:
        return dict(enumerate(natural))
    natural = [
        wide if column.most is None else min(wide, max(column.most, cell_width(column.heading)))
        for wide, column in zip(natural, columns, strict=True)
    ]
    return dict(enumerate(natural)) if width is None else _fitting(columns, natural, width)


def _fitting(columns: Sequence[Column], natural: Sequence[int], width: int) -> dict[int, int]:
    """Place of a column → its width, for the columns that fit."""
    kept = list(range(len(columns)))
    for most_important, share in ((ESSENTIAL, _COMFORTABLE), (None, 1.0)):
        widths = {place: _least(columns[place], natural[place], share) for place in kept}
        while _free(widths, width) < 0 and len(widths) > 1:
            place = min(reversed(widths), key=lambda place: columns[place].importance)
            if most_important is not None and columns[place].importance >= most_important:
                break
            del widths[place]
        kept = list(widths)
        if _free(widths, width) >= 0:
            break
    free = _free(widths, width)
    for place in sorted(kept, key=lambda place: -columns[place].importance):
        more = min(max(0, free), natural[place] - widths[place])
        widths[place] += more
        free -= more
    if free < 0:  # one column, wider than the terminal
        widths[kept[0]] = width
    return widths


def _free(widths: Mapping[int, int], width: int) -> int:
    return width - sum(widths.values()) - _GAP * (len(widths) - 1)


def _least(column: Column, natural: int, share: float) -> int:
    if column.least is None:
        return natural
    return min(natural, max(round(column.least * share), cell_width(column.heading)))
