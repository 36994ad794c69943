"""Reads the best few models of each dataset and base model, from the cache alone."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from lora_tui.cache import leaders
from lora_tui.cache.models import ModelQuery, get_model
from lora_tui.cache.runs import get_opinion
from lora_tui.domain import Model
from lora_tui.opinion import Opinion
from lora_tui.reports.best import ranking
from lora_tui.reports.leaderboard import Board, Counts, board

_EVERYTHING: Final = ModelQuery()


class Boards(NamedTuple):
    """The boards, and who is on none."""

    boards: tuple[Board, ...]
    """Those with several models first, then by the names of dataset and base model."""
    unknown: int
    """How many models have an unknown dataset or base model."""


def read_boards(db: sqlite3.Connection, limit: int, query: ModelQuery = _EVERYTHING) -> Boards:
    """The best `limit` of the matching models of each group.

    Takes a while for many models or long runs. Raises ConditionError.
    """
    groups, unknown = leaders.read_groups(db, query)
    return Boards(tuple(_board(db, group, limit) for group in groups), unknown)


def _board(db: sqlite3.Connection, group: leaders.Group, limit: int) -> Board:
    found: list[Model] = []
    opinions: list[Opinion | None] = []
    for model_id in group.ids():
        # opinions are slow to compute: no more than are needed; broken runs are not ranked
        if len(found) >= limit and len(ranking(found, opinions).order) >= limit:
            break
        model = get_model(db, model_id)
        if model is not None:
            found.append(model)
            opinions.append(get_opinion(db, model.job_id))
    return board(
        (group.dataset_id, group.dataset_name, group.base_model),
        Counts(
            group.models,
            group.validated,
            group.broken_validated if group.validated else group.broken,
        ),
        found,
        opinions,
        limit,
    )
