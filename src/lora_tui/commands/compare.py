"""The command `compare`: a table of two to six models from the cache."""

from __future__ import annotations

from lora_tui import formats
from lora_tui.cache import models
from lora_tui.cache.runs import get_opinion
from lora_tui.commands.context import Context, resolve
from lora_tui.commands.style import width_of
from lora_tui.commands.table import sentence_lines
from lora_tui.domain import Model
from lora_tui.errors import UsageError
from lora_tui.reports import LETTERS, MAX_COMPARED, MIN_COMPARED, compare
from lora_tui.reports.compare import Comparison
from lora_tui.text import cell_width, fit

_COLUMN_WIDTH = 28


def compare_models(context: Context) -> None:
    """Print the comparison as text, JSON, CSV or Markdown."""
    arguments = context.arguments
    comparison = _comparison(context)
    everything = bool(arguments.all)
    if context.json:
        context.print_data(compare.to_data(comparison, everything=everything))
    elif arguments.csv:
        context.out.write(compare.to_csv(comparison, everything=everything))
        for sentence in comparison.sentences:  # the table has no place for them
            context.say(sentence)
    elif arguments.markdown:
        context.out.write(compare.to_markdown(comparison, everything=everything))
    else:
        _print(context, comparison, everything=everything)


def _comparison(context: Context) -> Comparison:
    references = context.arguments.model
    if not MIN_COMPARED <= len(references) <= MAX_COMPARED:
        raise UsageError(
            f"compare takes {MIN_COMPARED} to {MAX_COMPARED} models, not {len(references)}",
            remedy="`lora-tui list` shows the models",
        )
    with context.cache() as db:
        found: dict[str, Model] = {}
        for reference in references:
            summary = resolve(db, reference)
            if summary.id in found:
                raise UsageError(
                    f"{summary.name} is named twice",
                    details=summary.id,
                    remedy="name each model once",
                )
            found[summary.id] = models.require_model(db, summary.id)
        opinions = [get_opinion(db, model.job_id) for model in found.values()]
    return compare.compare_models(list(found.values()), opinions)


def _print(context: Context, comparison: Comparison, *, everything: bool) -> None:
    for letter, model in zip(LETTERS, comparison.models, strict=False):
        context.out.write(f"{letter}  {model.id[:8]}  {model.name}\n")
    for told in sentence_lines(comparison.sentences, width_of(context), indent="   "):
        context.out.write(f"{told}\n")
    rows = comparison.shown(everything=everything)
    if not rows:
        context.say("No differences. --all shows every property.")
        return
    header = ("", *LETTERS[: len(comparison.models)])
    lines = [
        (
            row.label,
            *(
                f"{text} {compare.BEST_MARK}" if index in row.best else text
                for index, text in enumerate(row.texts)
            ),
        )
        for row in rows
    ]
    widths = [
        min(_COLUMN_WIDTH, max(cell_width(line[column]) for line in (header, *lines)))
        for column in range(len(header))
    ]
    context.out.write("\n")
    for line in (header, *lines):
        cells = (fit(cell, width) for cell, width in zip(line, widths, strict=True))
        context.out.write("  ".join(cells).rstrip() + "\n")
    hidden = len(comparison.shown(everything=True)) - len(rows)
    if hidden:
        context.say(f"{formats.count(hidden)} more with equal values: --all shows them.")
