"""Shows what the weights of a model say, with a bar for the norm of each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from lora_tui import formats
from lora_tui.adapters import weight_text
from lora_tui.adapters.weight_facts import WeightFacts, layers_of, summarise
from lora_tui.domain import WeightSummary
from lora_tui.widgets.cells import fit, normalize_width, wrap
from lora_tui.widgets.styled_lines import Line, Span, StyledLines, line_styles

_LABEL: Final = 18
_HEIGHT: Final = 4
"""Lines of a strip of bars."""
_EIGHTHS: Final = "▁▂▃▄▅▆▇█"
_MOST_STRIPS: Final = 6
_NUMBER_EVERY: Final = 10


class LayerNorm(NamedTuple):
    """A bar."""

    stack: str
    number: int
    norm: float | None
    damaged: bool


class WeightsPanel(StyledLines):
    """Verdict, figures and bars; hidden while nothing is known about the weights."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading", "label", "value", "faint", "axis", "training", "done", "overfit", "failed"
    )

    _summary: WeightSummary | None = None
    _layers: Sequence[LayerNorm] = ()

    def show(self, facts: WeightFacts | None, stored: WeightSummary | None) -> None:
        """Show what was computed on this machine, else the summary of the model's row."""
        self._summary = stored if facts is None else summarise(facts)
        if facts is not None:
            self._layers = [
                LayerNorm(layer.stack, layer.number, layer.norm, layer.damaged)
                for layer in layers_of(facts.modules)
                if layer.stack
            ]
        else:
            norms = stored.layers if stored else ()
            self._layers = [LayerNorm("", n, norm, False) for n, norm in enumerate(norms)]
        self.display = self._summary is not None
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `weight_lines`."""
        if self._summary is None:
            return ()
        return weight_lines(self._summary, self._layers, width, ascii_only=self.ascii_only)


def weight_lines(
    summary: WeightSummary, layers: Sequence[LayerNorm], width: int, *, ascii_only: bool = False
) -> list[Line]:
    """The verdict, the figures, and a strip of bars for each stack of layers."""
    style = "failed" if summary.is_damaged else "overfit" if summary.has_no_effect else "done"
    sentence = weight_text.verdict(summary)
    lines: list[Line] = [[("Weights", "heading")]]
    for text in wrap(normalize_width(sentence, ascii_only=ascii_only), max(1, width)):
        lines.append([(text, style)])
    label = min(_LABEL, max(1, width // 2))
    for name, value in weight_text.figures(summary):
        texts = wrap(normalize_width(value, ascii_only=ascii_only), max(1, width - label))
        for place, text in enumerate(texts):
            shown = fit("" if place else name, label, ascii_only=ascii_only)
            lines.append([(shown, "label"), (text, "value")])
    longest = max((layer.norm or 0.0 for layer in layers), default=0.0)
    strips = _strips(layers, width)
    for strip in strips[:_MOST_STRIPS]:
        lines.append([("", "value")])
        lines += strip_lines(strip, longest, width, ascii_only=ascii_only)
    if len(strips) > _MOST_STRIPS:
        more = formats.counted(sum(map(len, strips[_MOST_STRIPS:])), "more layer")
        lines.append([(fit(f"{more}: lora-tui spectrum", width, ascii_only=ascii_only), "faint")])
    return lines


def _strips(layers: Sequence[LayerNorm], width: int) -> list[list[LayerNorm]]:
    """The layers by stack, in strips that fit: a bar takes a cell, or two where there is room."""
    strips: list[list[LayerNorm]] = []
    for layer in layers:
        if not strips or strips[-1][0].stack != layer.stack or len(strips[-1]) >= max(1, width):
            strips.append([])
        strips[-1].append(layer)
    return strips


def strip_lines(
    strip: Sequence[LayerNorm], longest: float, width: int, *, ascii_only: bool = False
) -> list[Line]:
    """A heading, the bars, and the numbers of every tenth layer below them."""
    cells = 2 if 2 * len(strip) <= width else 1
    heading = f"Norm by layer, at most {formats.significant(longest)}"
    if strip[0].stack:
        heading += f": {strip[0].stack}"
    lines: list[Line] = [[(fit(heading, width, ascii_only=ascii_only), "label")]]
    heights = [_eighths(layer, longest) for layer in strip]
    for row in range(_HEIGHT - 1, -1, -1):
        lines.append(
            [
                _cell(layer, height - 8 * row, row, cells, ascii_only)
                for layer, height in zip(strip, heights, strict=True)
            ]
        )
    numbers = ""
    for place, layer in enumerate(strip):
        at = place * cells
        if layer.number % _NUMBER_EVERY == 0 and len(numbers) <= at:
            numbers = numbers.ljust(at) + f"{layer.number} "
    lines.append([(fit(numbers.rstrip(), width, ascii_only=ascii_only), "axis")])
    return lines


def _eighths(layer: LayerNorm, longest: float) -> int:
    """The height of a bar in eighths of a cell; a norm above zero has at least one."""
    if not layer.norm or not longest:
        return 0
    return max(1, math.floor(layer.norm / longest * _HEIGHT * 8 + 0.5))


def _cell(layer: LayerNorm, eighths: int, row: int, cells: int, ascii_only: bool) -> Span:
    """One line of one bar; `eighths` is what is left of it from this line up."""
    if layer.damaged:
        return (("X" if ascii_only else "×") if row == 0 else " ").ljust(cells), "failed"
    if ascii_only:
        sign = "#" if eighths >= 4 or (row == 0 and eighths > 0) else " "
    else:
        sign = " " if eighths <= 0 else _EIGHTHS[min(8, eighths) - 1]
    return sign.ljust(cells), "training"
