"""A page of the list of all models, read with as little as can be imported.

`models.py` serves every query; this is the same page where nothing is filtered and the cache needs
no repair, no migration and no owner (docs/architecture.md, "How fast `list` is").
"""

from __future__ import annotations

import sqlite3

from lora_tui.cache.model_order import Sort, index_of, order_by
from lora_tui.cache.schema import SCHEMA_VERSION, TABLES
from lora_tui.cache.sums import (
    SUMMED,
    columns_of,
    find_fault,
    matches_checksum,
    schema_sum,
    table_sums,
)
from lora_tui.clock import moment_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

_BUSY_SECONDS = 15.0
_LINE = 8
_MODEL = len(SUMMED["models"]) + 1


def open_plain(path: str) -> sqlite3.Connection:
    """A cache that is there. Raises sqlite3.Error."""
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)


def read_facts(db: sqlite3.Connection, owner: tuple[str, str]) -> dict[str, str]:
    """What the cache knows about itself. Raises ValueError where it is not quite in order.

    `owner` is a user's id and the project.
    """
    (encoding,) = db.execute("PRAGMA encoding").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version != SCHEMA_VERSION or not tables >= TABLES or encoding != "UTF-8":
        raise ValueError("older, newer or damaged")
    if table_sums(db)["schema"] != (0, schema_sum(db)) or find_fault(db):
        raise ValueError("damaged")
    facts = dict(db.execute("SELECT key, value FROM facts").fetchall())
    if (facts.get("owner.user"), facts.get("owner.project")) != owner:
        raise ValueError("not the cache of this account")
    return facts


def count_all(db: sqlite3.Connection) -> int:
    """How many models there are. Raises ValueError where that is not how many were written."""
    (total,) = db.execute("SELECT count(*) FROM models").fetchone()
    if table_sums(db)["models"][0] != total:
        raise ValueError("damaged")
    return int(total)


def read_lines(
    db: sqlite3.Connection, sort: Sort, *, reverse: bool, offset: int, limit: int
) -> list[tuple[str, int, str, str, str | None, datetime | None, float | None, float | None]]:
    """Id, stars, convergence, name, dataset, time, final loss and cost of each model.

    Raises ValueError where a row does not match its checksum.
    """
    found = db.execute(
        "SELECT m.id, m.stars, m.convergence, m.name, d.name, m.created_at, m.final_loss, m.cost,"
        f" {columns_of('models', 'm')}, {columns_of('datasets', 'd')}"
        f" FROM models m INDEXED BY {index_of(sort, reverse=reverse)}"
        " LEFT JOIN datasets d ON d.id = m.dataset_id"
        f" {order_by(sort, reverse=reverse)} LIMIT ? OFFSET ?",
        (limit, offset),
    )
    lines = []
    for row in found:
        if not (
            matches_checksum(row[_LINE : _LINE + _MODEL])
            and matches_checksum(row[_LINE + _MODEL :])
        ):
            raise ValueError("damaged")
        lines.append((*row[:5], moment_of(row[5]), *row[6:_LINE]))
    if len({line[0] for line in lines}) < len(lines):
        raise ValueError("damaged")
    return lines


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
