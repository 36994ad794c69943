"""The table by value of an effect, and its sentence with remarks, on a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.reports.effect import Effect
from lora_tui.reports.effect_table import cells, headings, stratum_cells, stratum_headings
from lora_tui.widgets.cells import fit, fit_ends, normalize_width, wrap
from lora_tui.widgets.charts.scatter_plot import group_sign
from lora_tui.widgets.styled_lines import Line, Span, StyledLines, line_styles

_MOST_LINES: Final = 200
_LEAST_VALUE: Final = 12
_DROPPED: Final = ("GREATEST", "LEAST", "BEST", "MIDDLE HALF")
"""The columns that go first where the table is too narrow."""


class EffectWords(StyledLines):
    """The sentence, and as many remarks as fit; its styles may limit its height."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles("strong", "muted")

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self._effect: Effect | None = None
        self._also: tuple[str, ...] = ()
        self._most, self._hint = 20, ""

    def show(self, effect: Effect, *, also: Sequence[str] = (), most: int, hint: str) -> None:
        """Show at most so many lines; `also`: more remarks, `hint`: says where the rest is."""
        self._effect, self._also = effect, tuple(also)
        self._most, self._hint = most, hint
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """The sentence and the remarks, broken between words."""
        effect = self._effect
        if effect is None or width < 1:
            return []
        found = self._wrapped(effect.sentence, "strong", width)
        remarks = (*effect.remarks, *self._also)
        for remark in remarks:
            found += self._wrapped(remark, "muted", width)
        if len(found) <= self._most:
            return found
        kept = found[: self._most - 1]
        hint = normalize_width(self._hint, ascii_only=self.ascii_only)
        hint = fit(hint, min(width, cell_len(hint)), ascii_only=self.ascii_only)
        return [*kept, [(hint, "muted")]]

    def _wrapped(self, text: str, style: str, width: int) -> list[Line]:
        clean = normalize_width(text, ascii_only=self.ascii_only)
        return [[(line, style)] for line in wrap(clean, width)]


class EffectTable(StyledLines):
    """A line for each value of the first column, then one for each of the third."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        *("label", "value", "strong", "muted", "best"),
        *(f"series{number}" for number in range(6)),
    )

    def __init__(self, *, ascii_only: bool = False, id: str | None = None) -> None:
        super().__init__(ascii_only=ascii_only, id=id)
        self._effect: Effect | None = None

    def show(self, effect: Effect) -> None:
        """Show the tables of this effect."""
        self._effect = effect
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """The lines, each at most `width` cells."""
        effect = self._effect
        if effect is None or not effect.lines or width < _LEAST_VALUE:
            return []
        rows = [cells(effect, line) for line in effect.lines[:_MOST_LINES]]
        found = self._table(headings(effect), rows, width)
        more = len(effect.lines) - len(rows)
        if more:
            found.append([(f"and {formats.count(more)} more values", "muted")])
        if effect.strata:
            labels = [stratum.label for stratum in effect.strata]
            signs: list[Span] = [
                (group_sign(n, labels), f"series{n}" if n < 6 else "strong")
                for n in range(len(labels))
            ]
            below = [stratum_cells(effect, stratum) for stratum in effect.strata]
            table = self._table(stratum_headings(effect), below, width - 2)
            found.append([("", "muted")])
            found += [
                [sign, (" ", "muted"), *line]
                for sign, line in zip([(" ", "muted"), *signs], table, strict=True)
            ]
        return found

    def _table(self, names: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[Line]:
        texts = [
            [normalize_width(cell, ascii_only=self.ascii_only) for cell in row]
            for row in (names, *rows)
        ]
        widths = [max(cell_len(row[place]) for row in texts) for place in range(len(names))]
        shown = list(range(len(names)))
        for name in _DROPPED:
            if sum(widths[n] + 2 for n in shown[1:]) + min(widths[0], _LEAST_VALUE) <= width:
                break
            shown = [n for n in shown if names[n] != name]
        room = max(1, width - sum(widths[n] + 2 for n in shown[1:]))
        widths[0] = min(widths[0], room)
        lines: list[Line] = []
        for number, row in enumerate(texts):
            first = fit_ends(row[0], widths[0], ascii_only=self.ascii_only)
            line: list[Span] = [(first, "label" if number == 0 else "strong")]
            for place in shown[1:]:
                style = "label" if number == 0 else "value"
                text = fit(row[place], widths[place], right=True, ascii_only=self.ascii_only)
                line.append((f"  {text}", style))
            lines.append(line)
        return lines
