"""Finds the models of each dataset and base model that may be the best: those with the lowest loss.

One pass over a narrow table, which keeps few models a group. What a run's points say of a model is
read by those who ask, only for these (`reports/leaderboard.py`).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Final

from lora_tui.cache.model_query import ModelQuery
from lora_tui.cache.search import find_matches

_KEPT: Final = 30
"""Candidates of a group: more than are shown."""
_SQL: Final = (
    "SELECT v.id, v.dataset_id, v.base_model, v.final_loss, v.last_validation, v.broken"
    " FROM model_values v"
)

_EVERYTHING: Final = ModelQuery()
_Candidate = tuple[bool, bool, float, str]
"""Whether there is no validation loss, whether it is not ranked (the run ended with losses that are
not numbers, or the loss that decides is exactly 0), the loss, the id: the best one is the
least."""


@dataclass
class Group:
    """The models of one dataset and one base model."""

    dataset_id: str
    dataset_name: str | None
    base_model: str
    models: int = 0
    validated: int = 0
    """How many have a validation loss."""
    broken: int = 0
    """How many ended with losses that are not numbers."""
    broken_validated: int = 0
    """How many of those have a validation loss."""
    candidates: list[_Candidate] = field(default_factory=list)

    def ids(self) -> list[str]:
        """Those with the lowest last recorded validation loss, the lowest first.

        Where no model has one, those with the lowest training loss.
        """
        return [
            model_id
            for lacks_validation, _, _, model_id in sorted(self.candidates)
            if lacks_validation == (not self.validated)
        ]


def read_groups(db: sqlite3.Connection, query: ModelQuery = _EVERYTHING) -> tuple[list[Group], int]:
    """The groups, those with several models first, then by name of dataset and base model.

    Also how many models are of an unknown one.

    Only of the models that match the query.
    """
    groups: dict[tuple[str, str], Group] = {}
    names = dict(db.execute("SELECT id, name FROM datasets").fetchall())
    unknown = 0
    sql = _SQL
    if not query.is_everything:
        find_matches(db, query)
        sql += " JOIN temp.matches x ON x.n = v.n"
    for model_id, dataset_id, base, trained, loss, broken in db.execute(sql):
        if not dataset_id or not base:
            unknown += 1
            continue
        group = groups.get((dataset_id, base))
        if group is None:
            group = Group(dataset_id, names.get(dataset_id), base)
            groups[dataset_id, base] = group
        group.models += 1
        group.validated += loss is not None
        group.broken += bool(broken)
        group.broken_validated += bool(broken) and loss is not None
        if loss is None and trained is None:
            continue
        lowest = trained if loss is None else loss
        is_unranked = bool(broken) or lowest == 0
        group.candidates.append((loss is None, is_unranked, lowest, model_id))
        if len(group.candidates) > 8 * _KEPT:
            group.candidates = sorted(group.candidates)[:_KEPT]
    for group in groups.values():
        group.candidates = sorted(group.candidates)[:_KEPT]
    found = sorted(
        groups.values(),
        key=lambda group: (
            group.models < 2,  # nothing to choose between
            (group.dataset_name or "").casefold(),
            group.base_model,
            group.dataset_id,
        ),
    )
    return found, unknown
