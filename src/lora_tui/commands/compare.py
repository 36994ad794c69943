"""The command `compare`: two to a hundred models from the cache.

Up to six stand side by side; of more each is a line of a table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from lora_tui import formats
from lora_tui.commands.context import Context, resolve
from lora_tui.commands.style import table_width_of, width_of
from lora_tui.commands.table import Column, hidden_headings, sentence_lines, table_lines
from lora_tui.documents.comparison import Compared, read_comparison, read_document
from lora_tui.errors import UsageError
from lora_tui.reports import MAX_COMPARED, MAX_TABLED, MIN_COMPARED, compare
from lora_tui.reports.compare import Comparison
from lora_tui.reports.model_table import LEGEND, table_columns
from lora_tui.text import cell_width, fit

_COLUMN_WIDTH = 28
_LEAST = 8
_WHOLE = 14
"""Cells of the longest value, a number or a date, that is never cut."""


def compare_models(context: Context) -> None:
    """Print the comparison as text, JSON, CSV or Markdown."""
    arguments = context.arguments
    check_number(arguments.model)
    everything = bool(arguments.all)
    with context.cache() as db:
        compared = read_comparison(db, resolve_each(db, arguments.model))
        document = (
            read_document(db, compared.comparison, everything=everything, order=compared.order)
            if arguments.markdown
            else ""
        )
    comparison = compared.comparison
    if context.json:
        context.print_data(compare.to_data(comparison, everything=everything))
    elif arguments.csv:
        context.out.write(compare.to_csv(comparison, everything=everything))
        for sentence in comparison.sentences:  # the table has no place for them
            context.say(sentence)
    elif arguments.markdown:
        context.out.write(document)
    elif len(comparison.models) > MAX_COMPARED:
        _print_table(context, compared)
    else:
        _print(context, comparison, everything=everything)


def check_number(references: Sequence[str]) -> None:
    """Raises UsageError for too few or too many models."""
    if not MIN_COMPARED <= len(references) <= MAX_TABLED:
        raise UsageError(
            f"compare takes {MIN_COMPARED} to {MAX_TABLED} models, not {len(references)}",
            remedy="`lora-tui list` shows the models",
        )


def resolve_each(db: sqlite3.Connection, references: Sequence[str]) -> list[str]:
    """The ids of models that are compared.

    Raises UsageError for one that is named twice or not clearly, NotFoundError.
    """
    found: list[str] = []
    for reference in references:
        summary = resolve(db, reference)
        if summary.id in found:
            raise UsageError(
                f"{summary.name} is named twice",
                details=summary.id,
                remedy="name each model once",
            )
        found.append(summary.id)
    return found


def _print_table(context: Context, compared: Compared) -> None:
    """One line a model, the best first; the numbers are those of the sentences."""
    comparison, width = compared.comparison, width_of(context)
    columns = table_columns(comparison)
    layout = [
        Column("", 100, right=True),
        Column("ID", 99),
        Column("NAME", 98, least=12),
        *(
            Column(
                column.title.upper(),
                97 - place,
                right=column.is_number,
                least=None if column.is_number else 8,
            )
            for place, column in enumerate(columns)
        ),
    ]
    rows = [
        (
            comparison.name_of(index),
            comparison.models[index].id[:8],
            comparison.models[index].name,
            *(column.cell(index) for column in columns),
        )
        for index in compared.order
    ]
    for line in (
        *table_lines(layout, rows, table_width_of(context)),
        *sentence_lines(comparison.sentences, width, indent="  "),
    ):
        context.out.write(f"{line}\n")
    if any(column.best for column in columns):
        context.say(LEGEND)


def _print(context: Context, comparison: Comparison, *, everything: bool) -> None:
    for index, model in enumerate(comparison.models):
        context.out.write(f"{comparison.name_of(index)}  {model.id[:8]}  {model.name}\n")
    for told in sentence_lines(comparison.sentences, width_of(context), indent="   "):
        context.out.write(f"{told}\n")
    rows = comparison.shown(everything=everything)
    if not rows:
        context.say("No differences. --all shows every property.")
        return
    header = ("", *(comparison.name_of(index) for index in range(len(comparison.models))))
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
    width = table_width_of(context)
    if width is not None:
        _print_fitting(context, header, lines, width)
    else:
        _print_for_file(context, header, lines)
    hidden = len(comparison.shown(everything=True)) - len(rows)
    if hidden:
        context.say(f"{formats.count(hidden)} more with equal values: --all shows them.")


def _print_fitting(
    context: Context, header: Sequence[str], lines: Sequence[Sequence[str]], width: int
) -> None:
    """The table of a terminal: values are whole, names keep their ends; what does not fit goes."""
    columns = [
        Column(
            heading,
            100 - place,
            least=max(cell_width(line[place]) for line in lines)
            if place == 0
            else max([_LEAST, *(w for line in lines if (w := cell_width(line[place])) <= _WHOLE)]),
            most=_COLUMN_WIDTH,
        )
        for place, heading in enumerate(header)
    ]
    context.out.writelines(f"{line}\n" for line in ("", *table_lines(columns, lines, width)))
    hidden = hidden_headings(columns, lines, width)
    if hidden:
        context.say(f"{', '.join(hidden)} do not fit. --wide shows all.")


def _print_for_file(
    context: Context, header: Sequence[str], lines: Sequence[Sequence[str]]
) -> None:
    widths = [
        min(_COLUMN_WIDTH, max(cell_width(line[column]) for line in (header, *lines)))
        for column in range(len(header))
    ]
    context.out.write("\n")
    for line in (header, *lines):
        cells = (fit(cell, width) for cell, width in zip(line, widths, strict=True))
        context.out.write("  ".join(cells).rstrip() + "\n")
