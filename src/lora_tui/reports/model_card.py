"""Writes the card of a model as a self-contained Markdown or HTML document, with its loss curve.

Pure functions. Remote text is escaped wherever it is inserted; the SVG of the curve contains
numbers only.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui import formats
from lora_tui.domain import CurvePoint, Model
from lora_tui.reports.exports import markdown_text

Row = tuple[str, str]

_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222;"
    "background:#fff}table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;"
    "padding:.3em .6em;text-align:left;overflow-wrap:anywhere}pre{background:#f4f4f4;padding:1em;"
    "overflow-x:auto}code{font-size:90%}svg{width:100%;height:auto}"
)
_WIDTH: Final = 720
_HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 36
_TICKS: Final = 4


@dataclass(frozen=True)
class ModelCard:
    """The content of the document."""

    model: Model
    metadata: Sequence[Row]
    """Label and value in reading order; an empty label separates groups."""
    opinion: Sequence[str]
    """The second opinion as sentences; empty without a curve."""
    curve: Sequence[CurvePoint]
    snippets: Sequence[Row]
    """Program, and the snippet that loads the model there."""


def to_markdown(card: ModelCard) -> str:
    """GitHub Markdown; the curve is embedded as an image."""
    model = card.model
    lines = [f"# {markdown_text(model.name)}", "", markdown_text(_verdict(model)), ""]
    lines += [f"- {markdown_text(sentence)}" for sentence in card.opinion]
    picture = curve_svg(card.curve)
    if picture is not None:
        data = base64.b64encode(picture.encode()).decode()
        lines += ["", "## Loss", "", f"![Loss by step](data:image/svg+xml;base64,{data})"]
    lines += ["", "## Metadata", "", "| | |", "|---|---|"]
    lines += [f"| {markdown_text(a)} | {markdown_text(b)} |" for a, b in card.metadata if a]
    lines += ["", "## Files", "", "| file | size | SHA-256 |", "|---|---|---|"]
    lines += [
        f"| {markdown_text(name)} | {size} | {digest} |" for name, size, digest in _files(model)
    ]
    lines += ["", "## Serving"]
    for program, text in card.snippets:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        lines += ["", f"{markdown_text(program)}:", "", fence, text.rstrip("\n"), fence]
    return "\n".join(lines) + "\n"


def to_html(card: ModelCard) -> str:
    """One HTML page without scripts; its policy forbids loading anything."""
    model, e = card.model, html.escape
    picture = curve_svg(card.curve)
    rows = "".join(f"<tr><th>{e(a)}</th><td>{e(b)}</td></tr>" for a, b in card.metadata if a)
    files = "".join(
        f"<tr><td>{e(name)}</td><td>{e(size)}</td><td><code>{e(digest)}</code></td></tr>"
        for name, size, digest in _files(model)
    )
    opinion = "".join(f"<li>{e(sentence)}</li>" for sentence in card.opinion)
    snippets = "".join(
        f"<h3>{e(program)}</h3><pre><code>{e(text)}</code></pre>" for program, text in card.snippets
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width">'
        f"<title>{e(model.name)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{e(model.name)}</h1>\n<p>{e(_verdict(model))}</p>\n"
        + (f"<ul>{opinion}</ul>\n" if opinion else "")
        + (f"<h2>Loss</h2>\n{picture}\n" if picture is not None else "")
        + f"<h2>Metadata</h2>\n<table>{rows}</table>\n"
        "<h2>Files</h2>\n<table><tr><th>file</th><th>size</th><th>SHA-256</th></tr>"
        f"{files}</table>\n<h2>Serving</h2>\n{snippets}\n</body></html>\n"
    )


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


def _verdict(model: Model) -> str:
    quality = model.quality
    return f"{formats.stars(quality.stars)} {formats.score(quality.stars)}, {quality.convergence}"


def _files(model: Model) -> list[tuple[str, str, str]]:
    return [
        (file.label, formats.size(file.size), file.sha256 or formats.NO_VALUE)
        for file in model.files
    ]


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
