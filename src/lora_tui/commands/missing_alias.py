"""The error for an alias that names no model in the cache, with what became of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from lora_tui import formats
from lora_tui.cache.deleted_models import find_deleted
from lora_tui.cache.own_marks import alias_histories, history_of
from lora_tui.clock import parse_timestamp
from lora_tui.commands.context import deleted_model
from lora_tui.domain.own_marks import AliasMove
from lora_tui.errors import NotFoundError
from lora_tui.text import terminal_safe

_MOST_MOVES: Final = 4


def missing_alias(db: sqlite3.Connection, alias: str) -> NotFoundError:
    """Why @ALIAS names no model: there is none, it was removed, or its model is not in the cache.

    Names the aliases that come near, or the last models that it named.
    """
    found = history_of(db, alias)
    if found is None:
        near = [f"@{name}" for name in near_aliases(db, alias)]
        return NotFoundError(
            f"There is no alias @{terminal_safe(alias, limit=60)}",
            details=f"similar: {', '.join(near)}" if near else None,
            remedy="run `lora-tui alias list` to see the aliases",
        )
    name, moves = found
    last = moves[-1]
    if not last.model_id:
        return NotFoundError(
            f"The alias @{name} was removed",
            details=f"history: {_history(moves)}",
            remedy=f"run `lora-tui alias set {name} MODEL` to use it again",
        )
    if deleted := find_deleted(db, last.model_id):
        return deleted_model(deleted[0])
    return NotFoundError(
        f"The model of @{name} is not in the cache: {model_text(last)}",
        details=f"history: {_history(moves)}",
        remedy="it was deleted, or `lora-tui sync` fetches it;"
        f" `lora-tui alias set {name} MODEL` moves the alias",
    )


def near_aliases(db: sqlite3.Connection, typed: str) -> list[str]:
    """The aliases in use that come near, the nearest first."""
    from lora_tui.cache.closeness import nearest

    return nearest(
        typed, [alias for alias, moves in alias_histories(db).items() if moves[-1].model_id]
    )


def model_text(move: AliasMove) -> str:
    """`NAME (start of its id)`; `nothing` where the alias was removed."""
    if not move.model_id:
        return "nothing"
    short = terminal_safe(move.model_id[:8], limit=20)
    return f"{terminal_safe(move.name, limit=60)} ({short})" if move.name else short


def _history(moves: Sequence[AliasMove]) -> str:
    """The last moves, the newest first."""
    texts = [
        f"{formats.date(parse_timestamp(move.at))} "
        + (model_text(move) if move.model_id else "removed")
        for move in moves[::-1][:_MOST_MOVES]
    ]
    return ", ".join(texts)
