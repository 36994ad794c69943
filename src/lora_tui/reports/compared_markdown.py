"""Writes compared models as Markdown for GitHub and Slack; see `model_markdown.py`. Pure functions.

Up to six models stand side by side; of more each is a line of a table.
"""

from __future__ import annotations

from collections.abc import Sequence

from lora_tui import formats
from lora_tui.reports import LETTERS, MAX_COMPARED
from lora_tui.reports.compare import BEST_MARK, Comparison
from lora_tui.reports.exports import code_block, code_span, markdown_text
from lora_tui.reports.model_markdown import picture_line
from lora_tui.reports.model_table import LEGEND, TableColumn, table_columns
from lora_tui.reports.run_losses import CURVE_WIDTH, SCALE_NOTE, RunLosses, block_curve, range_of
from lora_tui.text import cell_width, fit

_LONGEST_CELL = 24
"""A property with a longer value is a list, as a chat breaks lines that are too wide."""


def comparison_markdown(
    comparison: Comparison,
    losses: Sequence[RunLosses],
    *,
    everything: bool = False,
    order: Sequence[int] | None = None,
    picture: str | None = None,
) -> str:
    """The document. `losses`: of each model's run. `order`: of the lines where they are many."""
    models = comparison.models
    many = len(models) > MAX_COMPARED
    places = list(order) if order is not None and many else list(range(len(models)))
    lines = [f"# Comparison of {len(models)} models", ""]
    lines += [
        f"- {comparison.name_of(n)}: {code_span(models[n].name)} {code_span(models[n].id)}"
        for n in places
    ]
    lines += ["", "## What the losses tell", ""]
    warning = "" if comparison.judgement.comparable else "Warning: "
    said = comparison.sentences or ("No model has a loss.",)
    for number, sentence in enumerate(said):
        lines.append(f"- {'' if number else warning}{markdown_text(sentence)}")
    lines += _curves(comparison, losses, places[:MAX_COMPARED])
    if picture is not None:
        lines += ["", picture_line(picture)]
    lines += _many(comparison, places) if many else _side_by_side(comparison, everything)
    return "\n".join(lines) + "\n"


def _curves(
    comparison: Comparison, losses: Sequence[RunLosses], places: Sequence[int]
) -> list[str]:
    """The curves below each other: each over its own run, those of a kind on one scale."""
    block: list[str] = []
    for label, runs in (
        ("validation", [losses[index].validation for index in places]),
        ("training", [losses[index].training for index in places]),
    ):
        scale = range_of(runs)
        if scale is None:
            continue
        block.append(f"{label}, {formats.loss(scale[0])} to {formats.loss(scale[1])}")
        for index, logged in zip(places, runs, strict=True):
            run, shown = losses[index], "none"
            if logged and run.steps is not None:
                bad = run.bad_steps if label == "training" else ()
                curve = block_curve(logged, run.steps, scale, bad_steps=bad)
                shown = f"{curve:<{CURVE_WIDTH}}  to step {formats.step(run.steps[1])}"
            block.append(f"  {comparison.name_of(index):<3} {shown}")
    if not block:
        return []
    note = f"Each curve is over its own run; those of a kind have one scale, {SCALE_NOTE}."
    which = f" of the first {len(places)}" if len(places) < len(losses) else ""
    return ["", f"## Losses{which}", "", *code_block(block), "", note]


def _side_by_side(comparison: Comparison, everything: bool) -> list[str]:
    rows = comparison.shown(everything=everything)
    heading = "All properties" if everything else "Differences"
    if not rows:
        return ["", f"## {heading}", "", "None."]
    letters = LETTERS[: len(comparison.models)]
    table, lists = [("", *letters)], []
    for row in rows:
        label = " ".join(row.label.split())
        cells = [
            f"{' '.join(text.split())} {BEST_MARK}" if index in row.best else " ".join(text.split())
            for index, text in enumerate(row.texts)
        ]
        if max(map(cell_width, cells)) > _LONGEST_CELL:
            lists.append(label)
            lists += [f"  {a}  {text}" for a, text in zip(letters, cells, strict=True)]
        else:
            table.append((label, *cells))
    block = _columns(table) if len(table) > 1 else []
    between = [""] if block and lists else []
    return ["", f"## {heading}", "", *code_block([*block, *between, *lists])]


def _many(comparison: Comparison, places: Sequence[int]) -> list[str]:
    """Two tables, as a chat breaks lines that are too wide: what came out, and what was chosen."""
    every = table_columns(comparison)
    lines = [
        "",
        "## Results",
        "",
        *_table(comparison, places, [c for c in every if not c.is_setting]),
    ]
    chosen = [column for column in every if column.is_setting]
    if chosen:
        lines += ["", "## Different settings", "", *_table(comparison, places, chosen)]
    return lines


def _table(
    comparison: Comparison, places: Sequence[int], columns: Sequence[TableColumn]
) -> list[str]:
    header = ("", *(column.title for column in columns))
    lines = [
        (comparison.name_of(n), *(" ".join(column.cell(n).split()) for column in columns))
        for n in places
    ]
    legend = ["", LEGEND] if any(column.best for column in columns) else []
    return code_block([*_columns([header, *lines]), *legend])


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    """The cells of each column with one width."""
    widths = [max(map(cell_width, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(fit, line, widths)).rstrip() for line in table]
