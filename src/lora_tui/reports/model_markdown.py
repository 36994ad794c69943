"""Writes the card of a model as Markdown that GitHub renders and Slack shows readably.

Slack knows no tables, headings, pictures or escapes by a backslash: so there are none of the first
and the third, and a heading is a line that is readable with its signs. What both render alike holds
the rest: lines of a list, and code, in which remote text stands as it is. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from lora_tui import formats
from lora_tui.domain import Model
from lora_tui.reports.best import best_validation_text
from lora_tui.reports.exports import code_block, code_span, markdown_text
from lora_tui.reports.losses import training_loss_text, validation_loss_text
from lora_tui.reports.model_card import ModelCard, files_of, rating_text
from lora_tui.reports.run_losses import (
    SCALE_NOTE,
    RunLosses,
    block_curve,
    loss_numbers,
    range_of,
)

_TOLD_ABOVE = frozenset(
    {"Rating", "Convergence", "Training loss", "Validation loss", "Best validation"}
)


def to_markdown(card: ModelCard, *, picture: str | None = None) -> str:
    """The document. `picture`: the name of a file beside it that shows the curves."""
    model = card.model
    lines = [f"# {code_span(model.name)}", "", *_summary(card)]
    lines += _losses(card, picture)
    if card.opinion:
        lines += ["", "## Second opinion", ""]
        lines += [f"- {markdown_text(sentence)}" for sentence in card.opinion]
    facts = [(label, text) for label, text in card.metadata if label and label not in _TOLD_ABOVE]
    lines += ["", "## Facts and settings", "", *code_block(aligned(facts))]
    lines += ["", "## Files", "", *code_block(_files(model) or ["no files"])]
    lines += ["", "## How to load it"]
    for program, text in card.snippets:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        lines += ["", f"{markdown_text(program)}:", "", fence, text.rstrip("\n"), fence]
    if not card.snippets:
        lines += ["", "The base model or the rank is not known, or no program loads it."]
    return "\n".join(lines) + "\n"


def aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Labels and texts in two columns, each text on one line."""
    width = max((len(label) for label, _ in rows), default=0)
    return [f"{label:<{width}}  {' '.join(text.split())}" for label, text in rows]


def picture_line(file_name: str) -> str:
    """The picture in a file beside the document; Slack shows the line as it is written."""
    return f"![Loss by step]({quote(file_name)})"


def curve_lines(losses: RunLosses, *, last_training: str | None = None) -> list[str]:
    """Training and validation losses as curves of blocks, each with its numbers below it.

    Each curve has its own scale: both together would flatten the validation loss.
    """
    steps = losses.steps
    if steps is None:
        return []
    lines: list[str] = []
    for label, logged, last in (
        ("training", losses.training, last_training),
        ("validation", losses.validation, None),
    ):
        scale = range_of([logged])
        if scale is not None:
            bad = losses.bad_steps if label == "training" else ()
            lines.append(f"{label:<12}{block_curve(logged, steps, scale, bad_steps=bad)}")
            lines += [f"{'':12}{name:<8}{text}" for name, text in loss_numbers(logged, last=last)]
    return lines


def _summary(card: ModelCard) -> list[str]:
    model, opinion = card.model, card.verdict
    rating = f"Rating: {rating_text(model)}"
    if opinion is not None and opinion.stars is not None:
        rating += f"; the second opinion suggests {formats.score(opinion.stars)}"
    validation = f"Validation loss: {validation_loss_text(model, opinion)}"
    lowest = best_validation_text(model, opinion)
    if lowest is not None:
        validation += f"; best of the run {lowest}"
    training = f"Training loss: {training_loss_text(model, opinion)}"
    return [f"- {markdown_text(text)}" for text in (rating, validation, training)]


def _losses(card: ModelCard, picture: str | None) -> list[str]:
    last = training_loss_text(card.model, card.verdict) if card.losses.bad_steps else None
    curves = curve_lines(card.losses, last_training=last)
    if not curves:
        return []
    first, end = card.losses.steps or (0, 0)
    note = (
        f"Steps {formats.step(first)} to {formats.step(end)}; each curve from its lowest to its"
        f" highest loss, on {SCALE_NOTE}."
    )
    shown = [] if picture is None else ["", picture_line(picture)]
    return ["", "## Losses", "", *code_block(curves), "", note, *shown]


def _files(model: Model) -> list[str]:
    return [
        line
        for name, size, digest in files_of(model)
        for line in (f"{' '.join(name.split())}  {size}", f"  sha256 {digest}")
    ]
