"""The table of costs, for the command and the screen: columns that fit, and bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from lora_tui import formats
from lora_tui.reports.costs import Costs, Sums, bar, money
from lora_tui.text import cell_width, fit

_COLUMNS: Final[tuple[tuple[str, Callable[[Sums], str]], ...]] = (
    ("RUNS", lambda sums: formats.count(sums.runs)),
    ("RUN COST", lambda sums: money(sums.run_cost)),
    ("RECORDS", lambda sums: money(sums.records)),
    ("TOTAL", lambda sums: money(sums.counted)),
)
_LESS_IMPORTANT: Final = ("RUN COST", "RECORDS", "RUNS")
"""Columns that are left out of a narrow table, the first one first."""
_LEAST_LABEL, _MOST_LABEL = 14, 60
_LEAST_BAR, _MOST_BAR = 8, 60
_GAP: Final = "  "


class TableRow(NamedTuple):
    """The parts of a row; each has the same width in all rows, but for the bar at the end."""

    label: str
    numbers: str
    total: str
    bar: str = ""

    @property
    def text(self) -> str:
        """The whole line."""
        return _GAP.join(part for part in self if part).rstrip()


def cost_rows(
    costs: Costs,
    width: int | None,
    *,
    ascii_only: bool = False,
    clean: Callable[[str], str] = str,
) -> list[TableRow]:
    """Headings, a row for each line, and the total.

    `width` is that of the terminal in cells: bars are drawn where there is room, and columns are
    left out where there is none. With None nothing is left out, and there are no bars. `clean` is
    applied to the labels.
    """
    labels = [costs.by.words.upper(), *(clean(line.label) for line in costs.lines), "total"]
    sums = [*(line.sums for line in costs.lines), costs.total]
    columns = {name: [name, *(write(one) for one in sums)] for name, write in _COLUMNS}
    longest = max(map(cell_width, labels))
    if width is not None:
        longest = min(longest, _MOST_LABEL)
        least = min(longest, _LEAST_LABEL) + (_LEAST_BAR + len(_GAP) if costs.lines else 0)
        for name in _LESS_IMPORTANT:
            if least + _width_of(columns) > width:
                del columns[name]
        room = width - _width_of(columns)
        longest = max(1, min(longest, room, max(_LEAST_LABEL, room - 10)))
    room = 0 if width is None else width - longest - _width_of(columns) - len(_GAP)
    longest_bar = min(room, _MOST_BAR) if room >= _LEAST_BAR else 0
    bars = [
        bar(share, longest_bar, ascii_only=ascii_only) if longest_bar else ""
        for share in costs.shares()
    ]
    totals = columns.pop("TOTAL")
    return [
        TableRow(
            fit(label, longest, ellipsis="~" if ascii_only else "…"),
            _GAP.join(
                fit(cells[place], max(map(cell_width, cells)), right=True)
                for cells in columns.values()
            ),
            fit(totals[place], max(map(cell_width, totals)), right=True),
            drawn,
        )
        for place, (label, drawn) in enumerate(zip(labels, ["", *bars, ""], strict=True))
    ]


def _width_of(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(len(_GAP) + max(map(cell_width, cells)) for cells in columns.values())
