"""`leaderboard`: the best few models of each dataset and base model, from the cache alone."""

from __future__ import annotations

from typing import Final

from lora_tui import clock, formats
from lora_tui.cache import metadata
from lora_tui.commands.context import CACHE_REBUILT, Context
from lora_tui.commands.style import width_of
from lora_tui.commands.table import Column, sentence_lines, table_lines
from lora_tui.documents.leaderboard import read_boards
from lora_tui.errors import UsageError
from lora_tui.reports import MAX_COMPARED
from lora_tui.reports.leaderboard import Board, Place, board_data

_COLUMNS: Final = (
    Column("", 100, right=True),
    Column("ID", 95),
    Column("NAME", 90, least=12),
    Column("VALIDATION", 99, right=True),
    Column("AT STEP", 50, right=True),
    Column("LOWEST", 60, right=True),
    Column("AT STEP", 40, right=True),
    Column("TRAINING", 30, right=True),
)


def show_leaderboard(context: Context) -> None:
    """Print the boards as text or JSON."""
    limit = int(context.arguments.limit)
    if limit > MAX_COMPARED:
        raise UsageError(
            f"--limit is at most {MAX_COMPARED}, not {formats.count(limit)}",
            remedy="`lora-tui list --sort loss` lists more",
        )
    with context.cache() as db:
        boards, unknown = read_boards(db, limit)
        state = metadata.get_sync_state(db)
    if state.rebuilt:
        context.say(CACHE_REBUILT)
    if context.json:
        context.print_data({"boards": [board_data(each) for each in boards], "unknown": unknown})
        return
    context.out.write("\n".join(_text(each, width_of(context)) for each in boards))
    if unknown:
        are = "is" if unknown == 1 else "are"
        context.say(
            f"{formats.counted(unknown, 'model')} of an unknown dataset or base model {are} not"
            " ranked."
        )
    if state.last_success is not None:
        of = formats.counted(len(boards), "dataset and base model", "datasets and base models")
        context.say(f"The best of {of}, synced {formats.age(state.last_success, clock.now())}")
    elif not state.rebuilt:
        context.say("The cache was never synced: run `lora-tui sync`.")


def _text(found: Board, width: int | None) -> str:
    name = found.dataset_name or found.dataset_id
    lines = [
        f"{name}, {found.base_model}: {formats.count(len(found.places))} of "
        f"{formats.counted(found.models, 'model')}",
        *table_lines(_COLUMNS, [_cells(place) for place in found.places], width),
        *sentence_lines(found.sentences, width, indent="  "),
    ]
    return "".join(f"{line}\n" for line in lines)


def _cells(place: Place) -> tuple[str, ...]:
    found = place.validation
    lowest = found if found and found.best is not None else None
    return (
        str(place.place),
        place.model.id[:8],
        place.model.name,
        formats.loss(found.last if found else None),
        _step(found.last_step if found else None),
        formats.loss(lowest.best if lowest else None),
        _step(lowest.best_step if lowest else None),
        formats.loss(place.training_loss),
    )


def _step(value: float | None) -> str:
    return formats.NO_VALUE if value is None else formats.step(value)
