"""Writes the card of a model as a self-contained HTML page, with its loss curve.

Pure functions. Remote text is escaped wherever it is inserted.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lora_tui import formats
from lora_tui.domain import CurvePoint, Model
from lora_tui.reports.curve_picture import curve_svg
from lora_tui.reports.run_losses import NO_LOSSES, RunLosses

if TYPE_CHECKING:
    from lora_tui.opinion import Opinion

Row = tuple[str, str]

_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#222;"
    "background:#fff}table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #ddd;"
    "padding:.3em .6em;text-align:left;overflow-wrap:anywhere}pre{background:#f4f4f4;padding:1em;"
    "overflow-x:auto}code{font-size:90%}svg{width:100%;height:auto}"
)


@dataclass(frozen=True)
class ModelCard:
    """The content of the document."""

    model: Model
    metadata: Sequence[Row]
    """Label and value in reading order; an empty label separates groups."""
    opinion: Sequence[str]
    """The second opinion as sentences; empty without a curve."""
    curve: Sequence[CurvePoint]
    """Of a long run a choice of points, for drawing."""
    snippets: Sequence[Row]
    """Program, and the snippet that loads the model there."""
    verdict: Opinion | None = None
    """The second opinion; None without a curve."""
    losses: RunLosses = NO_LOSSES
    """Of all points that are cached."""


def to_html(card: ModelCard) -> str:
    """One HTML page without scripts; its policy forbids loading anything."""
    model, e = card.model, html.escape
    picture = curve_svg(card.curve)
    rows = "".join(f"<tr><th>{e(a)}</th><td>{e(b)}</td></tr>" for a, b in card.metadata if a)
    files = "".join(
        f"<tr><td>{e(name)}</td><td>{e(size)}</td><td><code>{e(digest)}</code></td></tr>"
        for name, size, digest in files_of(model)
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
        f"<h1>{e(model.name)}</h1>\n<p>{e(rating_text(model))}</p>\n"
        + (f"<ul>{opinion}</ul>\n" if opinion else "")
        + (f"<h2>Loss</h2>\n{picture}\n" if picture is not None else "")
        + f"<h2>Metadata</h2>\n<table>{rows}</table>\n"
        "<h2>Files</h2>\n<table><tr><th>file</th><th>size</th><th>SHA-256</th></tr>"
        f"{files}</table>\n<h2>Serving</h2>\n{snippets}\n</body></html>\n"
    )


def rating_text(model: Model) -> str:
    """`★★★★☆ 4/5, converged`, as stored."""
    quality = model.quality
    return f"{formats.stars(quality.stars)} {formats.score(quality.stars)}, {quality.convergence}"


def files_of(model: Model) -> list[tuple[str, str, str]]:
    """Name, size and checksum of each file."""
    return [
        (file.label, formats.size(file.size), file.sha256 or formats.NO_VALUE)
        for file in model.files
    ]
