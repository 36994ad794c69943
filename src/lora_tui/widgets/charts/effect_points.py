"""Makes the points of a scatter plot from the runs that reports/effect.py compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from lora_tui.reports.effect import Run, strata_of
from lora_tui.reports.value_classes import Value, Variable, classify, spans_decades
from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.charts.scatter_plot import Axis, Placed, Points, place


class LogAxes(NamedTuple):
    """Which axes are logarithmic; None: where the values span decades."""

    x: bool | None = None
    y: bool | None = None


AUTOMATIC: Final = LogAxes()


class RunPoints(NamedTuple):
    """Points, and the run of each."""

    placed: Placed
    runs: Sequence[int]


def points_of(
    runs: Sequence[Run],
    x: Variable,
    y: Variable,
    by: Variable | None = None,
    log: LogAxes = AUTOMATIC,
    *,
    ascii_only: bool = False,
) -> RunPoints:
    """The points of the runs that have both values."""
    known = [n for n, run in enumerate(runs) if run.x is not None and run.y is not None]
    ys = [run.y for run in (runs[n] for n in known) if run.y is not None]
    xs, names = _across([runs[n].x for n in known], x, ascii_only=ascii_only)
    points = Points(xs, ys)
    if by is not None:
        labels, groups = strata_of([runs[n].by for n in known], by)
        clean = tuple(normalize_width(label, ascii_only=ascii_only) for label in labels)
        points = Points(xs, ys, groups, clean)
    placed = place(points, _axis(x, xs, names, log.x), _axis(y, ys, (), log.y))
    return RunPoints(placed, known)


def _across(
    values: Sequence[Value], x: Variable, *, ascii_only: bool
) -> tuple[list[float], tuple[str, ...]]:
    if x.is_number:
        return [float(value) for value in values if value is not None], ()
    labels, places = classify(values, x)
    names = tuple(normalize_width(label, ascii_only=ascii_only) for label in labels)
    return [float(place) for place in places if place is not None], names


def _axis(
    variable: Variable, values: Sequence[float], names: tuple[str, ...], log: bool | None
) -> Axis:
    is_log = not names and (spans_decades(values) if log is None else log)
    return Axis(variable.words, variable.text, is_log, names, variable.ticks_as_text)
