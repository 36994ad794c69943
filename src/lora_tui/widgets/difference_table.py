"""Shows compared models: the list of their names, and the table of their properties."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len, chop_cells

from lora_tui import formats
from lora_tui.config.keys import DEFAULT_KEYS
from lora_tui.reports import LETTERS, MAX_COMPARED
from lora_tui.reports.compare import Comparison, Row
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.cells import fit, normalize_width, wrap
from lora_tui.widgets.styled_lines import (
    Line,
    Span,
    StyledLines,
    badge_spans,
    line_styles,
    star_spans,
)

LABEL: Final = 17
_MIN_COLUMN, _MAX_COLUMN = 9, 30
_MAX_LINES: Final = 3
_BREAKABLE: Final = re.compile(r"[^\s/_-]*[\s/_-]+|[^\s/_-]+")
"""Matches text up to a place where a line may break."""
_SERIES: Final = tuple(f"series{number}" for number in range(MAX_COMPARED))


class ComparedModels(StyledLines):
    """One line per model: letter, colour in the chart, name, stars and convergence."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "value", "muted", "faint", "stars", "excellent", "good", "fair", "poor", "overfit", *_SERIES
    )

    _comparison: Comparison | None = None
    _without_curve: frozenset[int] = frozenset()
    _reason = ""

    def show(self, comparison: Comparison, without_curve: frozenset[int], reason: str) -> None:
        """Show these models. `without_curve`: indices of models without a curve, for a reason."""
        self._comparison, self._without_curve = comparison, without_curve
        self._reason = reason
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """One line per model; long names are cut."""
        models = self._comparison.models if self._comparison else ()
        names = [normalize_width(model.name, ascii_only=self.ascii_only) for model in models]
        longest = max(map(cell_len, names), default=0)
        parts: list[tuple[list[Span], list[Span]]] = []
        for number, model in enumerate(models):
            style, letter = _SERIES[number], LETTERS[number]
            sample = "" if self.ascii_only else "━━"
            before: list[Span] = [(f"{letter} ", style), (sample, style), ("  ", "muted")]
            after: list[Span] = [
                ("  ", "muted"),
                *star_spans(model.quality.stars, ascii_only=self.ascii_only),
                (" ", "muted"),
                *badge_spans(model.quality.convergence, ascii_only=self.ascii_only),
            ]
            if number in self._without_curve:
                before[1] = (" " * len(sample), style)
                after.append(
                    (f"  {normalize_width(self._reason, ascii_only=self.ascii_only)}", "faint")
                )
            parts.append((before, after))
        used = max(
            (sum(cell_len(text) for text, _ in (*before, *after)) for before, after in parts),
            default=0,
        )
        room = max(1, min(width - used, longest))
        return [
            [*before, (fit(name, room, ascii_only=self.ascii_only), "value"), *after]
            for name, (before, after) in zip(names, parts, strict=True)
        ]


class DifferenceHeader(StyledLines):
    """The letters above the columns; they stay while the table scrolls."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles("heading", "muted", *_SERIES)

    _comparison: Comparison | None = None
    _reference: int | None = None

    def show(self, comparison: Comparison, reference: int | None = None) -> None:
        """Show the letters of these models; the reference model is marked."""
        self._comparison, self._reference = comparison, reference
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """One line."""
        if self._comparison is None:
            return ()
        column, gap = column_width(len(self._comparison.models), width)
        last = len(self._comparison.models) - 1
        spans: list[Span] = [("Differences".ljust(LABEL), "heading")]
        for number, _ in enumerate(self._comparison.models):
            name = LETTERS[number] + (" base" if number == self._reference else "")
            after = "" if number == last else " " * (column + gap - len(name))
            spans.append((name + after, _SERIES[number]))
        return [spans]


class DifferenceTable(StyledLines):
    """The rows of the comparison; the best value of a row is marked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading", "label", "value", "strong", "muted", "faint", "done"
    )

    _comparison: Comparison | None = None
    _everything = False
    _reference: int | None = None

    def show(
        self, comparison: Comparison, *, everything: bool, reference: int | None = None
    ) -> None:
        """Show differing or all rows; with `reference` as differences from that model."""
        self._comparison, self._everything = comparison, everything
        self._reference = reference
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `table_lines`."""
        if self._comparison is None:
            return ()
        return table_lines(
            *(self._comparison, width),
            everything=self._everything,
            reference=self._reference,
            ascii_only=self.ascii_only,
            all_key=key_of(self.app, "compare.everything"),
        )


def column_width(models: int, width: int) -> tuple[int, int]:
    """The width of a model's column and of the gap after it, in cells."""
    room = 0
    for gap in (2, 1):
        room = (width - LABEL + gap) // max(1, models) - gap
        if room >= _MIN_COLUMN:
            return min(_MAX_COLUMN, room), gap
    return max(1, room), 1


def table_lines(
    comparison: Comparison,
    width: int,
    *,
    everything: bool = False,
    reference: int | None = None,
    ascii_only: bool = False,
    all_key: str = DEFAULT_KEYS["compare.everything"],
) -> list[Line]:
    """What the losses tell, and the rows by group; long texts are wrapped."""
    rows = comparison.shown(everything=everything)
    columns = column_width(len(comparison.models), width)
    # What can't be compared must be seen before the losses; the rest may need scrolling.
    told = [[(line, "muted")] for each in comparison.sentences for line in wrap(each, width)]
    lines: list[Line] = [] if comparison.judgement.comparable else [*told]
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append([(group, "faint")])
        texts = row.texts if reference is None else row.differences_from(reference)
        lines += _row_lines(row, texts, *columns, ascii_only=ascii_only)
    if not rows:
        lines.append([("No differences.", "muted")])
    else:
        sign = "<" if ascii_only else "◂"
        lines += [[("", "muted")], [(f"{sign} ", "done"), ("best value", "faint")]]
    if comparison.judgement.comparable:
        lines += told
    hidden = len(comparison.shown(everything=True)) - len(rows)
    if hidden:
        text = f"{formats.count(hidden)} more with equal values: {all_key} shows them"
        lines.append([(fit(text, width).rstrip(), "faint")])
    return lines


def _row_lines(
    row: Row, texts: Sequence[str], column: int, gap: int, *, ascii_only: bool
) -> list[Line]:
    sign = " <" if ascii_only else " ◂"
    cells = [
        _cell_lines(text, column - (len(sign) if index in row.best else 0), ascii_only=ascii_only)
        for index, text in enumerate(texts)
    ]
    lines: list[Line] = []
    for number in range(max(len(cell) for cell in cells)):
        label = fit(row.label if number == 0 else "", LABEL - 1, ascii_only=ascii_only)
        spans: list[Span] = [(label + " ", "label")]
        for index, cell in enumerate(cells):
            text = cell[number] if number < len(cell) else ""
            is_best = index in row.best
            if is_best:
                style = "strong"
            elif texts[index] in (formats.NO_VALUE, "=") or not row.differs:
                style = "faint"
            else:
                style = "value"
            spans.append((text, style))
            used = cell_len(text)
            if is_best and number == 0:
                spans.append((sign, "done"))
                used += len(sign)
            spans.append((" " * max(0, column + gap - used), "value"))
        lines.append(spans[:-1])
    return lines


def _cell_lines(text: str, width: int, *, ascii_only: bool) -> list[str]:
    lines = [""]
    for part in _BREAKABLE.findall(normalize_width(text, ascii_only=ascii_only)):
        if cell_len(lines[-1] + part.rstrip()) <= width:
            lines[-1] += part
            continue
        lines += chop_cells(part.rstrip(), width)
        lines[-1] += part[len(part.rstrip()) :]
    lines = [line.rstrip() for line in lines if line] or [""]
    if len(lines) <= _MAX_LINES:
        return lines
    rest = "".join(lines[_MAX_LINES - 1 :])
    return [*lines[: _MAX_LINES - 1], fit(rest, width, ascii_only=ascii_only).rstrip()]
