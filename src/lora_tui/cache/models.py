"""Models in the cache: sync and harvest write them, the screens and commands read them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import Model, Row
from lora_tui.text import terminal_safe


class Sort(StrEnum):
    """What the list can be sorted by."""

    CREATED = "created"
    QUALITY = "quality"
    NAME = "name"
    COST = "cost"
    LOSS = "loss"
    DURATION = "duration"


# (column, whether the natural direction is descending)
_ORDER: Final[dict[Sort, tuple[str, bool]]] = {
    Sort.CREATED: ("m.created_at", True),
    Sort.QUALITY: ("m.stars", True),
    Sort.NAME: ("m.name COLLATE NOCASE", False),
    Sort.COST: ("m.cost", True),
    Sort.LOSS: ("m.final_loss", False),
    Sort.DURATION: ("m.duration_hours", True),
}


@dataclass(frozen=True)
class ModelQuery:
    """Which models, in which order. `reverse` turns the natural direction of `sort` around."""

    sort: Sort = Sort.CREATED
    reverse: bool = False
    search: str = ""
    """Words that must all occur in name, dataset, base model or description."""
    convergences: frozenset[str] = frozenset()
    min_stars: int = 0
    dataset: str = ""
    """A dataset's id or exact name."""


@dataclass(frozen=True)
class ModelSummary:
    """One line of the list."""

    id: str
    name: str
    version: str
    status: str
    dataset_name: str | None
    preset_id: str | None
    base_model: str | None
    stars: int | None
    convergence: str
    final_loss: float | None
    perplexity: float | None
    cost: float | None
    """US dollars."""
    duration_hours: float | None
    size: int | None
    """Bytes."""
    created_at: datetime | None
    downloaded: bool
    sparkline: tuple[float, ...] = field(default=(), repr=False)
    """Training loss over the run, down-sampled; empty where it is not cached."""


def natural_direction(sort: Sort) -> bool:
    """Whether the list descends by this order unless it is reversed."""
    return _ORDER[sort][1]


def count_models(db: sqlite3.Connection, query: ModelQuery) -> int:
    """How many models the query matches."""
    where, values = _where(query)
    (total,) = db.execute(f"SELECT count(*) {_FROM} {where}", values).fetchone()
    return int(total)


def select_models(
    db: sqlite3.Connection, query: ModelQuery, *, offset: int, limit: int
) -> list[ModelSummary]:
    """A window of the list: stable order, unknown values last in both directions."""
    where, values = _where(query)
    sql = f"SELECT {_SUMMARY} {_FROM} {where} {_order_by(query)} LIMIT ? OFFSET ?"
    return [_summary(row) for row in db.execute(sql, [*values, limit, offset])]


def position_of(db: sqlite3.Connection, query: ModelQuery, model_id: str) -> int | None:
    """Where a model stands in the list, from 0; None where the query does not match it."""
    where, values = _where(query)
    sql = (
        f"SELECT n FROM (SELECT m.id AS id, row_number() OVER ({_order_by(query)}) - 1 AS n"
        f" {_FROM} {where}) WHERE id = ?"
    )
    row = db.execute(sql, [*values, model_id]).fetchone()
    return None if row is None else int(row[0])


def select_rows(
    db: sqlite3.Connection, query: ModelQuery, *, offset: int, limit: int
) -> list[dict[str, Any]]:
    """Like `select_models`, as the backend's rows with `dataset` and `job` embedded."""
    where, values = _where(query)
    sql = f"SELECT m.id {_FROM} {where} {_order_by(query)} LIMIT ? OFFSET ?"
    rows = []
    for (model_id,) in db.execute(sql, [*values, limit, offset]).fetchall():
        row = get_row(db, model_id)
        if row is not None:
            row["dataset"] = _only(row["dataset"], ("name",))
            row["job"] = _only(row["job"], ("preset_id", "created_at"))
            rows.append(row)
    return rows


def get_row(db: sqlite3.Connection, model_id: str) -> dict[str, Any] | None:
    """One model as the backend's row, with the whole rows of its `dataset` and `job` embedded."""
    found = db.execute(
        "SELECT m.row, d.row, j.row FROM models m"
        " LEFT JOIN datasets d ON d.id = m.dataset_id LEFT JOIN jobs j ON j.id = m.job_id"
        " WHERE m.id = ?",
        [model_id],
    ).fetchone()
    if found is None:
        return None
    row: dict[str, Any] = json.loads(found[0])
    row["dataset"] = json.loads(found[1]) if found[1] else None
    row["job"] = json.loads(found[2]) if found[2] else None
    return row


def get_model(db: sqlite3.Connection, model_id: str) -> Model | None:
    """One model with its dataset and job; None where the cache has no such model."""
    row = get_row(db, model_id)
    return None if row is None else Model.from_row(row)


def names_of(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, str]:
    """The names of those of the models that are in the cache, by id."""
    sql = "SELECT id, name FROM models WHERE id IN (SELECT value FROM json_each(?))"
    return {str(row[0]): str(row[1]) for row in db.execute(sql, [json.dumps(list(ids))])}


def find_models(db: sqlite3.Connection, reference: str) -> list[ModelSummary]:
    """The models that `reference` can mean: an id, the beginning of one, or an exact name."""
    base = f"SELECT {_SUMMARY} {_FROM} WHERE"
    last = "ORDER BY m.created_at DESC, m.id LIMIT 20"
    prefix = reference.strip().lower()
    attempts = [("m.id = ?", prefix), ("m.name = ?", reference)]
    if prefix and all(character in "0123456789abcdef-" for character in prefix):
        attempts.insert(1, ("m.id LIKE ? || '%'", prefix))
    for condition, value in attempts:
        rows = db.execute(f"{base} {condition} {last}", [value]).fetchall()
        if rows:
            return [_summary(row) for row in rows]
    return []


def put_models(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace models by the backend's rows. Call inside a transaction."""
    db.executemany(_UPSERT, [_columns(row) for row in rows])


def delete_models(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Forget models. Call inside a transaction."""
    db.executemany("DELETE FROM models WHERE id = ?", [(model_id,) for model_id in ids])


def convergence_counts(db: sqlite3.Connection) -> dict[str, int]:
    """How many models of each convergence there are, for the filters."""
    sql = "SELECT convergence, count(*) FROM models GROUP BY convergence"
    return {str(name): int(total) for name, total in db.execute(sql)}


_SUMMARY: Final = (
    "m.id, m.name, m.version, m.status, d.name AS dataset_name, m.preset_id, m.base_model,"
    " m.stars, m.convergence, m.final_loss, m.perplexity, m.cost, m.duration_hours, m.size,"
    " m.created_at, c.sparkline,"
    " EXISTS (SELECT 1 FROM library l WHERE l.model_id = m.id) AS downloaded"
)
_FROM: Final = (
    "FROM models m LEFT JOIN datasets d ON d.id = m.dataset_id"
    " LEFT JOIN curves c ON c.job_id = m.job_id"
)
_COLUMNS: Final = (
    "id",
    "row",
    "name",
    "version",
    "description",
    "status",
    "dataset_id",
    "job_id",
    "preset_id",
    "base_model",
    "stars",
    "convergence",
    "final_loss",
    "perplexity",
    "cost",
    "duration_hours",
    "size",
    "created_at",
    "updated_at",
)
_UPSERT: Final = (
    f"INSERT INTO models ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"
    " ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[1:])
)


def _where(query: ModelQuery) -> tuple[str, list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    for word in terminal_safe(query.search).split():
        pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        columns = ("m.name", "d.name", "m.base_model", "m.description")
        conditions.append(
            "(" + " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns) + ")"
        )
        values.extend([pattern] * len(columns))
    if query.convergences:
        marks = ", ".join("?" for _ in query.convergences)
        conditions.append(f"m.convergence IN ({marks})")
        values.extend(sorted(query.convergences))
    if query.min_stars:
        conditions.append("m.stars >= ?")
        values.append(query.min_stars)
    if query.dataset:
        conditions.append("(m.dataset_id = ? OR d.name = ?)")
        values.extend([query.dataset, query.dataset])
    return ("WHERE " + " AND ".join(conditions) if conditions else "", values)


def _order_by(query: ModelQuery) -> str:
    column, descending = _ORDER[query.sort]
    direction = "DESC" if descending is not query.reverse else "ASC"
    plain = column.split(" ")[0]
    return f"ORDER BY {plain} IS NULL, {column} {direction}, m.created_at DESC, m.id"


def _summary(row: sqlite3.Row) -> ModelSummary:
    return ModelSummary(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        status=row["status"],
        dataset_name=row["dataset_name"],
        preset_id=row["preset_id"],
        base_model=row["base_model"],
        stars=row["stars"],
        convergence=row["convergence"],
        final_loss=row["final_loss"],
        perplexity=row["perplexity"],
        cost=row["cost"],
        duration_hours=row["duration_hours"],
        size=row["size"],
        created_at=parse_timestamp(row["created_at"]),
        downloaded=bool(row["downloaded"]),
        sparkline=tuple(json.loads(row["sparkline"])) if row["sparkline"] else (),
    )


def _columns(row: Row) -> tuple[object, ...]:
    model = Model.from_row(row)
    stored = {key: value for key, value in row.items() if key not in ("dataset", "job")}
    return (
        model.id,
        json.dumps(stored),
        model.name,
        model.version,
        model.description,
        model.status,
        model.dataset_id,
        model.job_id,
        model.preset_id,
        model.hyperparameters.base_model,
        model.quality.stars,
        model.quality.convergence,
        model.quality.final_training_loss
        if model.quality.final_training_loss is not None
        else model.training.final_loss,
        model.quality.perplexity,
        model.training.total_cost,
        model.training.duration_hours,
        model.size,
        timestamp_text(model.created_at) if model.created_at else "",
        timestamp_text(model.updated_at) if model.updated_at else "",
    )


def _only(row: dict[str, Any] | None, keys: tuple[str, ...]) -> dict[str, Any] | None:
    return None if row is None else {key: row.get(key) for key in keys}
