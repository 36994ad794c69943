"""What the models of a list have cost together."""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from lora_tui.cache.keyset import FEW_MATCHES
from lora_tui.cache.model_query import ModelQuery, Sort, order_of
from lora_tui.cache.search import find_matches
from lora_tui.domain.cost_records import MICROS, MOST_DOLLARS

_INDEX: Final = order_of(Sort.COST, reverse=False).index_name
"""It holds the costs; reading them from the rows of many models would take ten times as long."""


class ListCost(NamedTuple):
    """A sum, and how much of it is known."""

    dollars: float
    unknown: int
    """Models without a known cost."""


def cost_of_matches(db: sqlite3.Connection, query: ModelQuery) -> ListCost:
    """The cost of all models that a query with a search or filters matches."""
    total = find_matches(db, query)
    if total <= FEW_MATCHES:
        source = "temp.matches x CROSS JOIN models m ON m.n = x.n"
    else:
        source = f"models m INDEXED BY {_INDEX} CROSS JOIN temp.matches x ON x.n = m.n"
    sql = (
        f"SELECT ifnull(sum(CAST(round(m.cost * {MICROS}) AS INTEGER)), 0), count(*)"
        f" FROM {source} WHERE abs(m.cost) < {MOST_DOLLARS}"
    )
    micros, known = db.execute(sql).fetchone()
    return ListCost(micros / MICROS, total - known)
