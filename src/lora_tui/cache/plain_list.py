"""A page of the list of all models, read with as little as can be imported.

`models.py` serves every query; this is the same page where nothing is filtered and the cache needs
no repair, no migration and no owner (docs/architecture.md, "How fast `list` is").
"""

from __future__ import annotations

import sqlite3

from lora_tui.cache.model_order import Sort, index_of, order_by
from lora_tui.cache.schema import SCHEMA_VERSION, TABLES
from lora_tui.clock import moment_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

_BUSY_SECONDS = 15.0


def open_plain(path: str) -> sqlite3.Connection:
    """A cache that is there. Raises sqlite3.Error."""
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)


def read_facts(db: sqlite3.Connection, owner: tuple[str, str]) -> dict[str, str]:
    """What the cache knows about itself. Raises ValueError where it is not quite in order.

    `owner` is a user's id and the project.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version != SCHEMA_VERSION or not tables >= TABLES:
        raise ValueError("older, newer or damaged")
    facts = dict(db.execute("SELECT key, value FROM facts").fetchall())
    if (facts.get("owner.user"), facts.get("owner.project")) != owner:
        raise ValueError("not the cache of this account")
    return facts


def count_all(db: sqlite3.Connection) -> int:
    """How many models there are."""
    (total,) = db.execute("SELECT count(*) FROM models").fetchone()
    return int(total)


def read_lines(
    db: sqlite3.Connection, sort: Sort, *, reverse: bool, offset: int, limit: int
) -> list[tuple[str, int, str, str, str | None, datetime | None, float | None, float | None]]:
    """Id, stars, convergence, name, dataset, time, final loss and cost of each model."""
    found = db.execute(
        "SELECT m.id, m.stars, m.convergence, m.name, d.name, m.created_at, m.final_loss, m.cost"
        f" FROM models m INDEXED BY {index_of(sort, reverse=reverse)}"
        " LEFT JOIN datasets d ON d.id = m.dataset_id"
        f" {order_by(sort, reverse=reverse)} LIMIT ? OFFSET ?",
        (limit, offset),
    )
    return [(*row[:5], moment_of(row[5]), *row[6:]) for row in found]


def read_rows(
    db: sqlite3.Connection, sort: Sort, *, reverse: bool, offset: int, limit: int
) -> list[dict[str, Any]]:
    """Each model as the backend's row with `dataset` and `job` embedded."""
    from lora_tui.cache.model_json import COLUMNS, JOINS, listed_row  # only JSON needs it

    found = db.execute(
        f"SELECT {COLUMNS} FROM models m INDEXED BY {index_of(sort, reverse=reverse)} {JOINS}"
        f" {order_by(sort, reverse=reverse)} LIMIT ? OFFSET ?",
        (limit, offset),
    )
    return [listed_row(row) for row in found]
