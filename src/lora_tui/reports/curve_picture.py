"""Draws loss curves as SVG, without remote text: numbers, letters and fixed words only.

Pure functions.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Final

from lora_tui import formats
from lora_tui.domain import CurvePoint

_WIDTH: Final = 720
_HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 36
_TICKS: Final = 4
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#5b5ea6")
"""For eyes that see few colours too; each line also ends with its name."""


def curve_svg(curve: Sequence[CurvePoint]) -> str | None:
    """Training loss as a line, validation loss as a dashed line with dots.

    None for a curve of fewer than two points.
    """
    if len(curve) < 2:
        return None
    losses = [point.training_loss for point in curve]
    validated = [p for p in curve if p.validation_loss is not None]
    losses += [point.validation_loss or 0.0 for point in validated]
    steps = [point.step for point in curve]
    x, y, parts = _frame(steps, losses)
    training = [[(x(p.step), y(p.training_loss)) for p in run] for run in _runs(curve)]
    validation = [(x(p.step), y(p.validation_loss or 0.0)) for p in validated]
    line = "".join(map(_path, training))
    parts.append(
        f'<path d="{line}" fill="none" stroke="#1f5fbf" stroke-width="2" stroke-linecap="round"/>'
    )
    parts.append(f'<text x="{_LEFT}" y="18" fill="#1f5fbf">training loss</text>')
    if validation:
        parts.append(
            f'<path d="{_path(validation)}" fill="none" stroke="#b3541e" stroke-width="2"'
            ' stroke-dasharray="6 4"/>'
        )
        parts += [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="#b3541e"/>' for a, b in validation
        ]
        parts.append(
            f'<text x="{_LEFT + 110}" y="18" fill="#b3541e">validation loss (dashed)</text>'
        )
    return "".join([*parts, "</svg>"])


def curves_svg(names: Sequence[str], curves: Sequence[Sequence[CurvePoint]]) -> str | None:
    """The validation losses of compared models, or the training losses where none has two of them.

    Each line ends with the name of its model, a letter or a number. None where no model has a line.
    """
    validated = [
        [(p.step, p.validation_loss) for p in curve if p.validation_loss is not None]
        for curve in curves
    ]
    has_validation = any(len(points) > 1 for points in validated)
    lines = (
        [[points] for points in validated]
        if has_validation
        else [
            [[(p.step, p.training_loss) for p in run] for run in _runs(curve)] for curve in curves
        ]
    )
    points = [point for runs in lines for run in runs for point in run]
    if len(points) < 2:
        return None
    x, y, parts = _frame([step for step, _ in points], [loss for _, loss in points])
    label = "validation loss" if has_validation else "training loss"
    parts.append(f'<text x="{_LEFT}" y="18" fill="#444">{label}</text>')
    for number, (name, runs) in enumerate(zip(names, lines, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [[(x(step), y(loss)) for step, loss in run] for run in runs if run]
        if not placed:
            continue
        path = "".join(map(_path, placed))
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        at_x, at_y = placed[-1][-1]
        parts.append(
            f'<text x="{min(at_x + 4, _WIDTH - _RIGHT + 2):.1f}" y="{at_y + 4:.1f}"'
            f' fill="{colour}">{html.escape(name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _frame(
    steps: Sequence[float], losses: Sequence[float]
) -> tuple[Callable[[float], float], Callable[[float], float], list[str]]:
    """The scales of steps and losses, and the beginning of the picture: grid and numbers."""
    x = _scale(min(steps), max(steps), _LEFT, _WIDTH - _RIGHT)
    y = _scale(min(losses), max(losses), _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        ' aria-label="Loss by step" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
    ]
    for number in range(_TICKS + 1):
        loss = min(losses) + (max(losses) - min(losses)) * number / _TICKS
        step = min(steps) + (max(steps) - min(steps)) * number / _TICKS
        parts += [
            f'<path d="M{_LEFT} {y(loss):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end" fill="#444">'
            f"{formats.loss(loss)}</text>",
            f'<text x="{x(step):.1f}" y="{_HEIGHT - 12}" text-anchor="middle" fill="#444">'
            f"{formats.count(step)}</text>",
        ]
    return x, y, parts


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """A linear scale from values to pixels; the middle where low and high are equal."""
    span = high - low

    def place(value: float) -> float:
        return start + (end - start) * ((value - low) / span if span > 0 else 0.5)

    return place


def _runs(curve: Sequence[CurvePoint]) -> list[list[CurvePoint]]:
    """Split the curve at its gaps."""
    runs: list[list[CurvePoint]] = []
    for point in curve:
        if point.after_gap or not runs:
            runs.append([])
        runs[-1].append(point)
    return runs


def _path(points: Sequence[tuple[float, float]]) -> str:
    """SVG path data through the points; a single point is a dot."""
    ends = points if len(points) > 1 else [*points, *points]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ends)
