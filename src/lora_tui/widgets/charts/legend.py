"""The line above a loss chart: names of the curves, values at the crosshair, chart options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.curves.series import Reading, Smoothing
from lora_tui.widgets.charts.curve_plot import BEST, PlotStyle
from lora_tui.widgets.charts.plot_frame import BELOW_AXIS
from lora_tui.widgets.styled_lines import Span

SMOOTHED: Final = {
    Smoothing.OFF: "as logged",
    Smoothing.LIGHT: "lightly smoothed",
    Smoothing.NORMAL: "smoothed",
    Smoothing.STRONG: "strongly smoothed",
}


def legend(
    style: PlotStyle,
    reading: Reading | None,
    width: int,
    *,
    is_log: bool,
    has_validation: bool,
    has_hidden_points: bool = False,
    zoom_factor: float = 1.0,
    over_time: bool = False,
) -> list[Span]:
    """At most `width` cells; in a narrow chart the names are left out first, then the options."""
    heading: Span = ("Loss", "heading")
    if reading is not None:
        heading = (_place(reading, over_time=over_time), "strong")
    entries = _entries(style, reading, has_validation=has_validation)
    if has_hidden_points:
        entries.append(_Entry("training", BELOW_AXIS[style.ascii_only], "0 or less"))
    named = [heading, *_spans(entries, with_names=True)]
    if _cells(named) > width:
        named = [heading, *_spans(entries, with_names=False)]
    aside = _aside(style, is_log=is_log, zoom_factor=zoom_factor, over_time=over_time)
    while aside:
        text = (" - " if style.ascii_only else " · ").join(aside)
        room = width - _cells(named) - cell_len(text)
        if room >= 2:
            return [*named, (" " * room, "muted"), (text, "muted")]
        aside = aside[1:]
    return named


@dataclass(frozen=True)
class _Entry:
    """The entry of one line of the chart."""

    style: str
    sign: str
    name: str
    value: str = ""


def _place(reading: Reading, *, over_time: bool) -> str:
    """`step 1,200`; over time `1:02:03 step 1,200`."""
    if over_time and reading.seconds is not None:
        return f"{formats.duration(reading.seconds)} step {formats.step(reading.step)}"
    return f"step {formats.step(reading.step)}"


def _entries(style: PlotStyle, reading: Reading | None, *, has_validation: bool) -> list[_Entry]:
    """The entries of the drawn lines, the most important first."""
    solid, dots, dashes = ("*", ".", "o") if style.ascii_only else ("━━", "⠒⠒", "╍╍")
    smoothed = training = validation = ""
    if reading is not None:
        smoothed, training = formats.loss(reading.smoothed), formats.loss(reading.training)
        validation = formats.loss(reading.validation)
    if style.smoothing:
        entries = [
            _Entry("training", solid, SMOOTHED[style.smoothing], smoothed),
            _Entry("raw", dots, "logged", training),
        ]
    else:
        entries = [_Entry("training", solid, "training", training)]
    if has_validation:
        entries.append(_Entry("validation", dashes, "validation", validation))
        if reading is None:
            entries.append(_Entry("best", BEST[style.ascii_only], "best"))
    return entries


def _aside(style: PlotStyle, *, is_log: bool, zoom_factor: float, over_time: bool) -> list[str]:
    """The options, the least important first."""
    words = []
    if over_time:
        words.append("over time")
    if style.log_scale:
        words.append("log scale" if is_log else "no log scale: losses below 0")
    if zoom_factor > 1:
        words.append(formats.zoom(zoom_factor, ascii_only=style.ascii_only))
    return words


def _spans(entries: Sequence[_Entry], *, with_names: bool) -> list[Span]:
    spans: list[Span] = []
    for entry in entries:
        spans.append((f"  {entry.sign}", entry.style))
        if with_names:
            spans.append((f" {entry.name}", "muted"))
        if entry.value:
            spans.append((f" {entry.value}", "value"))
    return spans


def _cells(spans: Sequence[Span]) -> int:
    return sum(cell_len(text) for text, _ in spans)
