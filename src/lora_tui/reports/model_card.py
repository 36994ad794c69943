"""Writes the card of a model as a self-contained Markdown or HTML document.

Pure functions. Remote text is escaped wherever it is inserted.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui import formats
from lora_tui.domain import CurvePoint, Model
from lora_tui.reports.curve_svg import curve_svg
from lora_tui.reports.exports import markdown_text

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


def _verdict(model: Model) -> str:
    quality = model.quality
    return f"{formats.stars(quality.stars)} {formats.score(quality.stars)}, {quality.convergence}"


def _files(model: Model) -> list[tuple[str, str, str]]:
    return [
        (file.label, formats.size(file.size), file.sha256 or formats.NO_VALUE)
        for file in model.files
    ]
