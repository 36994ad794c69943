"""Models in the cache: sync and harvest write them, screens and commands read them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lora_tui.cache.facets import FACETS, add_counts, keep_counts
from lora_tui.cache.model_list import ModelList
from lora_tui.cache.model_query import ModelQuery, Sort, natural_direction
from lora_tui.cache.search import MOST_NAMED, id_prefix, index_new_words, index_words
from lora_tui.cache.sums import SUMMED, add_sum, check_row, checksum, columns_of, keep_sums
from lora_tui.clock import moment_of
from lora_tui.errors import NotFoundError
from lora_tui.json_values import parse_json

if TYPE_CHECKING:  # `list` does not need the domain
    from lora_tui.domain import Model, Row

NOT_FOUND: Final = "Model not found or access denied"
"""The two are not distinguished."""

__all__ = [
    "NOT_FOUND",
    "ModelList",
    "ModelQuery",
    "ModelSummary",
    "Sort",
    "count_models",
    "delete_models",
    "find_models",
    "get_model",
    "get_row",
    "model_of_job",
    "names_of",
    "natural_direction",
    "put_models",
    "require_model",
    "select_models",
    "select_rows",
    "sizes_of",
    "summaries",
]


class ModelSummary(NamedTuple):
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
    sparkline: tuple[float, ...] = ()
    """Down-sampled training loss; empty if it is not cached."""
    favorite: bool = False
    values: Mapping[str, Any] = MappingProxyType({})
    """Those of other columns that were asked for, as SQL has them (model_columns.py)."""


def count_models(db: sqlite3.Connection, query: ModelQuery) -> int:
    """The number of models that match."""
    return ModelList(db, query).total


def select_models(
    db: sqlite3.Connection, query: ModelQuery, *, offset: int, limit: int
) -> list[ModelSummary]:
    """A window of the list, in a stable order; unknown values are last in both directions."""
    return summaries(db, ModelList(db, query).window(offset, limit))


def summaries(
    db: sqlite3.Connection, numbers: Sequence[int], columns: Sequence[str] = ()
) -> list[ModelSummary]:
    """The models with these numbers, from a window of a `ModelList`, without deleted ones.

    `columns`: the names of others whose values are needed too.
    """
    sql = f"SELECT m.n, {_SUMMARY} {_FROM} WHERE m.n IN (SELECT value FROM json_each(?))"
    found = {row["n"]: _summary(row) for row in db.execute(sql, [json.dumps(numbers)])}
    if columns:
        from lora_tui.cache.model_columns import values_by_number  # late: `list` has none

        for n, values in values_by_number(db, numbers, columns).items():
            if n in found:
                found[n] = found[n]._replace(values=values)
    return [found[n] for n in numbers if n in found]


def select_rows(
    db: sqlite3.Connection, query: ModelQuery, *, offset: int, limit: int
) -> list[dict[str, Any]]:
    """Like `select_models`, but backend rows with `dataset` and `job` embedded."""
    rows = []
    for n in ModelList(db, query).window(offset, limit):
        found = _rows_of(db, "m.n = ?", n)
        if found is not None:
            rows.append(_listed_row(found))
    return rows


def get_row(db: sqlite3.Connection, model_id: str) -> dict[str, Any] | None:
    """The backend row of a model with the rows of its `dataset` and `job` embedded, or None."""
    found = _rows_of(db, "m.id = ?", model_id)
    return None if found is None else _whole_row(found)


def get_model(db: sqlite3.Connection, model_id: str) -> Model | None:
    """One model with its dataset and job; None if it is not in the cache."""
    from lora_tui.domain import Model

    row = get_row(db, model_id)
    return None if row is None else Model.from_row(row)


def model_of_job(db: sqlite3.Connection, job_id: str) -> Model | None:
    """The model that a job made, with its dataset and job; None if it is not in the cache."""
    if not job_id:
        return None
    found = db.execute("SELECT id FROM models WHERE job_id = ? LIMIT 1", [job_id]).fetchone()
    return None if found is None else get_model(db, str(found[0]))


def require_model(db: sqlite3.Connection, model_id: str) -> Model:
    """One model with its dataset and job. Raises NotFoundError if it is not in the cache."""
    model = get_model(db, model_id)
    if model is None:
        raise NotFoundError(NOT_FOUND)
    return model


def names_of(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, str]:
    """Id → name, for the models that are in the cache."""
    sql = "SELECT id, name FROM models WHERE id IN (SELECT value FROM json_each(?))"
    return {str(row[0]): str(row[1]) for row in db.execute(sql, [json.dumps(list(ids))])}


def sizes_of(db: sqlite3.Connection, ids: Iterable[str]) -> dict[str, int | None]:
    """Id → size of all files in bytes, for the models that are in the cache."""
    sql = "SELECT id, size FROM models WHERE id IN (SELECT value FROM json_each(?))"
    return {str(row[0]): row[1] for row in db.execute(sql, [json.dumps(list(ids))])}


def find_models(db: sqlite3.Connection, reference: str) -> list[ModelSummary]:
    """The models that `reference` names: by an id, the beginning of one, an exact name, or @alias.

    An alias takes precedence over a name that begins with @.
    """
    base = f"SELECT {_SUMMARY} {_FROM} WHERE"
    last = f"ORDER BY m.created_at DESC, m.id LIMIT {MOST_NAMED}"
    beginning = id_prefix(reference)
    # the index of names ignores case, so it finds candidates
    attempts = [
        ("m.id = ?", beginning or reference.strip().lower()),
        ("m.name = ? COLLATE NOCASE AND m.name = ?", reference),
    ]
    if beginning is not None:
        attempts.insert(1, ("m.id >= ? AND m.id < ? || 'g'", beginning))
    if reference.startswith("@"):
        from lora_tui.cache.own_marks import model_of_alias  # late: `list` does not need it

        attempts.insert(0, ("m.id = ?", model_of_alias(db, reference[1:]) or ""))
    for condition, value in attempts:
        values = [value] * condition.count("?")
        rows = db.execute(f"{base} {condition} {last}", values).fetchall()
        if rows:
            return [_summary(row) for row in rows]
    return []


def put_models(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace models from backend rows. Call inside a transaction."""
    from lora_tui.cache.model_row import UPSERT, columns
    from lora_tui.cache.model_values import put_values

    rows = list(rows)
    values = _with_presets(db, [columns(row) for row in rows])
    ids = [str(value[0]) for value in values]
    sums = [checksum(value) for value in values]
    written = [(*value, total) for value, total in zip(values, sums, strict=True)]
    all_new = len({*ids}) == len(ids) and not _has_any(db, ids)
    if all_new:  # as in a first sync: nothing is to be read
        db.executemany(UPSERT, written)
        add_counts(db, _counts(values))
        add_sum(db, "models", len(written), sum(sums))
        (last,) = db.execute("SELECT max(n) FROM models").fetchone()
        numbers = range(last - len(ids) + 1, last + 1) if ids else range(0)
        put_values(db, rows, values, dict(zip(ids, numbers, strict=True)))
        index_new_words(db, numbers)
        return
    there = _unchanged(db, written)  # nearly all of them, where a sync fetches everything
    changed = [row for row in written if row[0] not in there]
    changed_ids = [str(row[0]) for row in changed]
    with keep_counts(db, changed_ids), keep_sums(db, "models", changed_ids):
        db.executemany(UPSERT, changed)
    put_values(db, rows, values)
    index_words(db, ids)


def follow_jobs(db: sqlite3.Connection, job_ids: Sequence[str] | None = None) -> None:
    """Write the presets that these jobs, or all, give to their models. Call inside a transaction.

    A model whose configuration names no preset has that of its job, as on its page.
    """
    sql = (
        "SELECT m.row FROM jobs j CROSS JOIN models m INDEXED BY models_job ON m.job_id = j.id"
        " CROSS JOIN model_values v ON v.n = m.n WHERE v.preset_id IS NOT j.preset_id"
    )
    if job_ids is None:
        found = db.execute(sql)
    else:
        sql += " AND j.id IN (SELECT value FROM json_each(?))"
        found = db.execute(sql, [json.dumps(job_ids)])
    rows = [parse_json(row) for (row,) in found]
    if rows:
        put_models(db, rows)


def _with_presets(
    db: sqlite3.Connection, values: list[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    """The columns of models, with the presets of their jobs where they have none."""
    jobs = [row[_JOB] for row in values if row[_PRESET] is None]
    if not any(jobs):
        return values
    sql = "SELECT id, preset_id FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
    presets = dict(db.execute(sql, [json.dumps(jobs)]).fetchall())
    return [
        row
        if row[_PRESET] is not None
        else (*row[:_PRESET], presets.get(row[_JOB]), *row[_PRESET + 1 :])
        for row in values
    ]


def _unchanged(db: sqlite3.Connection, written: Sequence[Sequence[Any]]) -> set[str]:
    """The ids of rows that the cache has as they are, going by `updated_at` and the checksum."""
    ids = [row[0] for row in written]
    if len({*ids}) < len(ids):  # the last one counts
        return set()
    sql = "SELECT id, updated_at, sum FROM models WHERE id IN (SELECT value FROM json_each(?))"
    there = {row[0]: (row[1], row[2]) for row in db.execute(sql, [json.dumps(ids)])}
    return {row[0] for row in written if there.get(row[0]) == (row[-2], row[-1])}


def _counts(values: Sequence[Sequence[object]]) -> Counter[tuple[str, Any]]:
    """(facet, value) → the number of models that have it, of the columns of new models."""
    found: Counter[tuple[str, Any]] = Counter()
    for facet in FACETS:
        place = SUMMED["models"].index(facet)
        for value, total in Counter([row[place] for row in values]).items():
            found[facet, "" if value is None else value] += total
    return found


def _has_any(db: sqlite3.Connection, ids: Sequence[str]) -> bool:
    sql = "SELECT 1 FROM models WHERE id IN (SELECT value FROM json_each(?)) LIMIT 1"
    return db.execute(sql, [json.dumps(ids)]).fetchone() is not None


def delete_models(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Delete models. Call inside a transaction."""
    with keep_counts(db, ids), keep_sums(db, "models", ids):
        db.executemany("DELETE FROM models WHERE id = ?", [(model_id,) for model_id in ids])


_JOB, _PRESET = map(SUMMED["models"].index, ("job_id", "preset_id"))
_SUMMARY: Final = (
    "m.id, m.name, m.version, m.status, d.name AS dataset_name, m.preset_id, m.base_model,"
    " m.stars, m.convergence, m.final_loss, m.perplexity, m.cost, m.duration_hours, m.size,"
    " m.created_at, c.sparkline,"
    " EXISTS (SELECT 1 FROM library l WHERE l.model_id = m.id AND l.intact) AS downloaded,"
    " (SELECT k.favorite FROM own_marks k WHERE k.model_id = m.id) AS favorite,"
    f" {columns_of('models', 'm')}, {columns_of('datasets', 'd')}"
)
_MODEL: Final = len(SUMMED["models"]) + 1
_DATASET: Final = len(SUMMED["datasets"]) + 1
_FROM: Final = (
    "FROM models m LEFT JOIN datasets d ON d.id = m.dataset_id"
    " LEFT JOIN curves c ON c.job_id = m.job_id"
)


_ROW_COLUMNS: Final = (
    f"{columns_of('models', 'm')}, {columns_of('datasets', 'd')}, {columns_of('jobs', 'j')}"
)
_ROW: Final = 1
"""The place of the backend's own row among the summed columns of each table."""
_ROW_JOINS: Final = (
    "LEFT JOIN datasets d ON d.id = m.dataset_id LEFT JOIN jobs j ON j.id = m.job_id"
)


def _rows_of(db: sqlite3.Connection, condition: str, value: object) -> sqlite3.Row | None:
    sql = f"SELECT {_ROW_COLUMNS} FROM models m {_ROW_JOINS} WHERE {condition}"
    found: sqlite3.Row | None = db.execute(sql, [value]).fetchone()
    return found


def _whole_row(found: Sequence[object]) -> dict[str, Any]:
    """The backend row of a model from the values of `_ROW_COLUMNS`.

    Raises DamagedCacheError if the model, dataset or job does not match its checksum.
    """
    rows, start = [], 0
    for table in ("models", "datasets", "jobs"):
        values = found[start : start + len(SUMMED[table]) + 1]
        check_row(values)
        rows.append(parse_json(str(values[_ROW])) if values[_ROW] else None)
        start += len(values)
    row: dict[str, Any] = rows[0] or {}
    row["dataset"], row["job"] = rows[1:]
    return row


def _listed_row(found: Sequence[object]) -> dict[str, Any]:
    """Like `_whole_row`, with the few keys of `dataset` and `job` that a list has."""
    row = _whole_row(found)
    row["dataset"] = _only(row["dataset"], ("name",))
    row["job"] = _only(row["job"], ("preset_id", "created_at"))
    return row


def _only(row: dict[str, Any] | None, keys: tuple[str, ...]) -> dict[str, Any] | None:
    return None if row is None else {key: row.get(key) for key in keys}


def _summary(row: sqlite3.Row) -> ModelSummary:
    check_row(row[-_DATASET - _MODEL : -_DATASET])
    check_row(row[-_DATASET:])
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
        created_at=moment_of(row["created_at"]),
        downloaded=bool(row["downloaded"]),
        sparkline=tuple(json.loads(row["sparkline"])) if row["sparkline"] else (),
        favorite=bool(row["favorite"]),
    )
