"""`effect`: what one column of the models has to do with another, from the cache alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lora_tui import clock, formats
from lora_tui.cache import metadata
from lora_tui.cache.effect_runs import FoundRuns, Question, question_of, read_runs, variable_of
from lora_tui.cache.model_query import ModelQuery
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.commands.due_values import check_used
from lora_tui.commands.style import style_of, table_width_of, width_of
from lora_tui.commands.table import Column, sentence_lines, table_lines
from lora_tui.reports.effect import Effect, effect_of
from lora_tui.reports.effect_table import (
    CSV_NAMES,
    cells,
    csv_rows,
    effect_data,
    headings,
    stratum_cells,
    stratum_headings,
)

_MOST_LINES: Final = 30
_CHART_HEIGHT: Final = 20
_CHART_WIDTH: Final = 80
"""Of a chart in a file."""


def show_effect(context: Context) -> None:
    """Print the chart, the table by value and the sentence; or JSON, or CSV."""
    arguments = context.arguments
    question = question_of(arguments.x, arguments.y, arguments.by)
    query = ModelQuery(search=arguments.search or "", where=arguments.where or "")
    with context.cache() as db:
        check_used(context, db, query, filter(None, question))
        found = read_runs(db, query, question)
        state = metadata.get_sync_state(db)
    by = variable_of(question.by) if question.by else None
    effect = effect_of(found.runs, variable_of(question.x), variable_of(question.y), by)
    if state.rebuilt:
        context.say(CACHE_REBUILT)
    if context.json:
        context.print_data({"models": found.total, "read": len(found.runs), **effect_data(effect)})
        return
    if arguments.csv:
        from lora_tui.reports.exports import csv_table

        context.out.write(csv_table(CSV_NAMES, csv_rows(effect)))
        return
    if effect.runs and (context.out.isatty() or arguments.chart):
        context.out.write(_chart(context, found, effect))
    context.out.write(_text(effect, width_of(context), table_width_of(context)))
    if len(found.runs) < found.total:
        context.say(
            f"{formats.count(len(found.runs))} of {formats.count(found.total)} models were read,"
            " in pieces from the whole list."
        )
    if state.last_success is None:
        if not state.rebuilt:
            context.say("The cache was never synced: run `lora-tui sync`.")
        return
    age = formats.age(state.last_success, clock.now())
    context.say(f"{_which(question, effect)}, synced {age}")


def _which(question: Question, effect: Effect) -> str:
    return f"{question.y.name} by {question.x.name} of {formats.counted(effect.runs, 'model')}"


def _chart(context: Context, found: FoundRuns, effect: Effect) -> str:
    from lora_tui.widgets.charts.effect_points import points_of
    from lora_tui.widgets.charts.scatter_plot import draw_scatter

    draws_dots = context.out.encoding.lower().replace("-", "").startswith("utf")
    ascii_only = style_of(context).ascii_only or not draws_dots
    points = points_of(found.runs, effect.x, effect.y, effect.by, ascii_only=ascii_only)
    width = width_of(context) or _CHART_WIDTH
    drawn = draw_scatter(points.placed, width, _CHART_HEIGHT, ascii_only=ascii_only)
    lines = ["".join(text for text, _ in line).rstrip() for line in (*drawn.legend, *drawn.rows)]
    return "".join(f"{line}\n" for line in lines) + "\n"


def _text(effect: Effect, width: int | None, table_width: int | None) -> str:
    """`width` is of the sentences, `table_width` of the tables."""
    rows = [cells(effect, line) for line in effect.lines[:_MOST_LINES]]
    lines = table_lines(_columns(headings(effect)), rows, table_width)
    more = len(effect.lines) - _MOST_LINES
    if more > 0:
        lines.append(f"and {formats.count(more)} more values: --csv has all")
    if effect.strata:
        from lora_tui.widgets.charts.scatter_plot import group_sign

        labels = [stratum.label for stratum in effect.strata]
        rows = [
            (group_sign(number, labels), *stratum_cells(effect, stratum))
            for number, stratum in enumerate(effect.strata)
        ]
        lines += [
            "",
            *table_lines(_columns(stratum_headings(effect), letters=True), rows, table_width),
        ]
    if lines:
        lines.append("")
    lines += sentence_lines([effect.sentence, *effect.remarks], width, indent="")
    return "".join(f"{line}\n" for line in lines)


def _columns(headings: Sequence[str], *, letters: bool = False) -> list[Column]:
    """The value, and numbers; the best goes first: without the spread a median says little."""
    first, *numbers = headings
    found = [Column("", 100)] if letters else []
    found.append(Column(first, 100, least=12))
    return found + [
        Column(heading, 40 if heading in ("BEST", "LEAST", "GREATEST") else 60, right=True)
        for heading in numbers
    ]
