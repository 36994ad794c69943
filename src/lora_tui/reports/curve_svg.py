"""Draws a loss curve as a self-contained SVG; it contains numbers only, no remote text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from lora_tui import formats
from lora_tui.domain import CurvePoint

_WIDTH: Final = 720
_HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 36
_TICKS: Final = 4


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
    x = _scale(min(steps), max(steps), _LEFT, _WIDTH - _RIGHT)
    y = _scale(min(losses), max(losses), _HEIGHT - _BOTTOM, _TOP)
    training = [[(x(p.step), y(p.training_loss)) for p in run] for run in _runs(curve)]
    validation = [(x(p.step), y(p.validation_loss or 0.0)) for p in validated]
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
