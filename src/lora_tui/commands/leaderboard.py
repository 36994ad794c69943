"""`leaderboard`: the best few models of each dataset and base model, from the cache alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lora_tui import clock, formats
from lora_tui.cache import metadata
from lora_tui.cache.models import ModelQuery
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.commands.due_values import check_used
from lora_tui.commands.style import table_width_of, width_of
from lora_tui.commands.table import Column, sentence_lines, table_lines
from lora_tui.documents.leaderboard import read_boards
from lora_tui.errors import UsageError
from lora_tui.reports import MAX_COMPARED
from lora_tui.reports.exports import csv_table
from lora_tui.reports.leaderboard import HEADINGS, Board, Place, board_data, place_texts

_COLUMNS: Final = (
    Column(HEADINGS.place, 100, right=True),
    Column("ID", 95),
    Column(HEADINGS.name, 90, least=12),
    Column(HEADINGS.last, 99, right=True),
    Column(HEADINGS.last_step, 50, right=True),
    Column(HEADINGS.lowest, 60, right=True),
    Column(HEADINGS.lowest_step, 40, right=True),
    Column(HEADINGS.training, 30, right=True),
)


def show_leaderboard(context: Context) -> None:
    """Print the boards as text or JSON."""
    limit = int(context.arguments.limit)
    if limit > MAX_COMPARED:
        raise UsageError(
            f"--limit is at most {MAX_COMPARED}, not {formats.count(limit)}",
            remedy="`lora-tui list --sort loss` lists more",
        )
    query = _query(context)
    with context.cache() as db:
        check_used(context, db, query)
        boards, unknown = read_boards(db, limit, query)
        state = metadata.get_sync_state(db)
    if state.rebuilt:
        context.say(CACHE_REBUILT)
    if context.json:
        context.print_data({"boards": [board_data(each) for each in boards], "unknown": unknown})
        return
    if context.arguments.csv:
        context.out.write(_csv(boards))
        return
    context.out.write("\n".join(_text(context, each) for each in boards))
    if unknown:
        are = "is" if unknown == 1 else "are"
        context.say(
            f"{formats.counted(unknown, 'model')} of an unknown dataset or base model {are} not"
            " ranked."
        )
    if state.last_success is not None:
        of = formats.counted(len(boards), "dataset and base model", "datasets and base models")
        which = f"The best of {of}" if boards or query.is_everything else "No matching models"
        context.say(f"{which}, synced {formats.age(state.last_success, clock.now())}")
    elif not state.rebuilt:
        context.say("The cache was never synced: run `lora-tui sync`.")


def _query(context: Context) -> ModelQuery:
    """Which models are ranked. Raises ConditionError before the cache is opened."""
    arguments = context.arguments
    if arguments.where is not None:
        from lora_tui.cache.conditions import parse

        parse(arguments.where)
    return ModelQuery(
        where=arguments.where or "",
        dataset=arguments.dataset or "",
        base_model=arguments.base_model or "",
    )


def _csv(boards: Sequence[Board]) -> str:
    """A line for each place; columns of models have their names of `list --columns help`."""
    header = (
        "dataset", "base_model", "ranked_by", "place", "id", "name", "last_validation_loss",
        "last_validation_step", "best_validation_loss", "best_validation_step", "final_loss",
    )  # fmt: skip
    lines = [
        (
            found.dataset_name or found.dataset_id, found.base_model,
            found.basis.value if found.basis else None, place.place,
            place.model.id, place.model.name, *_validation(place), place.training_loss,
        )
        for found in boards
        for place in found.places
    ]  # fmt: skip
    return csv_table(header, lines)


def _validation(place: Place) -> tuple[float | None, ...]:
    found = place.validation
    if found is None:
        return (None,) * 4
    return found.last, found.last_step, found.best, found.best_step


def _text(context: Context, found: Board) -> str:
    width = width_of(context)
    name = found.dataset_name or found.dataset_id
    title = (
        f"{name}, {found.base_model}: {formats.count(len(found.places))} of "
        f"{formats.counted(found.models, 'model')}"
    )
    lines = [
        *sentence_lines([title], width, indent=""),
        *table_lines(_COLUMNS, [_cells(place) for place in found.places], table_width_of(context)),
        *sentence_lines(found.sentences, width, indent="  "),
    ]
    return "".join(f"{line}\n" for line in lines)


def _cells(place: Place) -> tuple[str, ...]:
    number, *texts = place_texts(place)
    return (number, place.model.id[:8], *texts)
