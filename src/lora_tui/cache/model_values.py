"""What conditions and orders need of a model, in narrow rows: `model_values`.

The rows of `models` hold the backend's JSON; reading a million of them takes many seconds. Each
writer of models, curves and weights keeps these values right. They equal what `show`, `compare`
and `leaderboard` say: `reports/best.py` decides on losses. What is not a copy is NULL where it is
not known.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from lora_tui.cache.model_row import COLUMNS, final_loss
from lora_tui.cache.sums import checksum, keep_sums
from lora_tui.json_values import Row, first_of, integer, mapping, number, text_or_none

if TYPE_CHECKING:
    from lora_tui.opinion.recorded import Recorded

COPIED: Final = (
    *("stars", "final_loss", "perplexity", "cost", "duration_hours", "size", "created_at"),
    *("id", "job_id"),
    *("name", "version", "status", "dataset_id", "base_model", "preset_id", "convergence"),
    "description",
)
"""Columns of `models` that are copied as they are."""
_copied: Final = itemgetter(*(COLUMNS.index(column) for column in COPIED))
_LOSS, _ID, _JOB, _ROW = map(COLUMNS.index, ("final_loss", "id", "job_id", "row"))
_COMPUTED: Final = (
    *("gpu", "rank", "alpha", "learning_rate", "batch_size", "epochs", "effective_rank"),
    *("last_validation", "last_validation_step", "best_validation", "best_validation_step"),
    *("broken", "judged", "suggested_stars", "facts"),
)
_WRITTEN: Final = ("n", *COPIED, *_COMPUTED)
_INSERT: Final = (
    f"INSERT OR REPLACE INTO model_values ({', '.join(_WRITTEN)})"
    f" VALUES ({', '.join('?' for _ in _WRITTEN)})"
)
_TABLE: Final = (
    # figures first: what is behind long texts is slower to read. `broken`: the weights are of the
    # end of a run that ended with losses that are not numbers. `judged`: NULL without a curve, 0
    # while `suggested_stars` is to be computed (suggested_ratings.py); `facts` is what that depends
    # on beside the curve
    "CREATE TABLE model_values (n INTEGER PRIMARY KEY, suggested_stars INTEGER, stars INTEGER,"
    " final_loss REAL, last_validation REAL, last_validation_step REAL, best_validation REAL,"
    " best_validation_step REAL, perplexity REAL, cost REAL, duration_hours REAL, size INTEGER,"
    " created_at INTEGER NOT NULL DEFAULT 0, rank INTEGER, alpha REAL, learning_rate REAL,"
    " batch_size INTEGER, epochs REAL, effective_rank REAL, broken INTEGER NOT NULL DEFAULT 0,"
    " judged INTEGER, id TEXT, status TEXT, preset_id TEXT, gpu TEXT, convergence TEXT,"
    " dataset_id TEXT, base_model TEXT, name TEXT, version TEXT, job_id TEXT, facts TEXT,"
    " description TEXT)"
)
SCHEMA: Final = (
    _TABLE,
    # of no row, as a rule: only of those that are to be judged
    "CREATE INDEX model_values_unjudged ON model_values (n) WHERE judged = 0",
    "CREATE TRIGGER model_values_delete AFTER DELETE ON models BEGIN"
    " DELETE FROM model_values WHERE n = old.n; END",
    "CREATE TABLE run_values (job_id TEXT PRIMARY KEY, last_validation REAL,"
    " last_validation_step REAL, best_validation REAL, best_validation_step REAL,"
    " ends_bad INTEGER NOT NULL, last_step REAL, of_curve INTEGER NOT NULL) WITHOUT ROWID",
)
"""The statements that make the tables."""
_BATCH: Final = 500
"""Models that are read at once when all are written again."""

Flat = Sequence[Any]
"""The values of `model_row.COLUMNS` of a model."""


def put_values(
    db: sqlite3.Connection,
    rows: Sequence[Row],
    flat: Sequence[Flat],
    numbers: Mapping[str, int] | None = None,
) -> None:
    """Write the values of models that were just written. Call inside that transaction.

    `flat` has the columns of each of the backend's rows; `numbers` is their id → `n`, if known.
    """
    ids = json.dumps([values[_ID] for values in flat])
    if numbers is None:
        sql = "SELECT id, n FROM models WHERE id IN (SELECT value FROM json_each(?))"
        numbers = dict(db.execute(sql, [ids]).fetchall())
    runs = _runs(db, [values[_JOB] for values in flat])
    weights = _weights(db, ids)
    kept = _judgements(db, numbers) if runs else {}
    written, corrected = [], []
    for row, values in zip(rows, flat, strict=True):
        loss, *computed = _computed(
            row,
            final_loss(row) if values[_LOSS] is None else values[_LOSS],
            runs.get(values[_JOB]) if runs else None,
            kept.get(values[_ID]),
            weights.get(values[_ID]) if weights else None,
        )
        if loss != values[_LOSS]:
            values = (*values[:_LOSS], loss, *values[_LOSS + 1 :])
            corrected.append(values)
        written.append((numbers[values[_ID]], *_copied(values), *computed))
    db.executemany(_INSERT, written)
    if corrected:
        _correct_losses(db, corrected)


def refresh_job(db: sqlite3.Connection, job_id: str) -> None:
    """Write the values of a job's models again: its curve has changed.

    Call inside the transaction that changed it.
    """
    sql = "SELECT n FROM models INDEXED BY models_job WHERE job_id = ?"
    _refresh(db, [row[0] for row in db.execute(sql, [job_id])], judge_again=True)


def refresh_model(db: sqlite3.Connection, model_id: str) -> None:
    """Write the values of a model again: its weights were measured. Call inside a transaction."""
    sql = "SELECT n FROM models WHERE id = ?"
    _refresh(db, [row[0] for row in db.execute(sql, [model_id])])


def judge_again(db: sqlite3.Connection, dataset_id: str) -> None:
    """Note that the suggested ratings of a dataset's models have to be computed again.

    Call inside a transaction.
    """
    db.execute(
        "UPDATE model_values SET judged = 0, suggested_stars = NULL WHERE judged = 1 AND n IN"
        " (SELECT n FROM models INDEXED BY models_filters WHERE dataset_id = ?)",
        [dataset_id],
    )


def rewrite_values(db: sqlite3.Connection) -> None:
    """Compute all values from what the cache has. Call inside a transaction."""
    db.execute("DELETE FROM model_values")
    db.execute("DELETE FROM run_values")
    last = -1
    while batch := db.execute(
        "SELECT n FROM models WHERE n > ? ORDER BY n LIMIT ?", [last, _BATCH]
    ).fetchall():
        _refresh(db, [row[0] for row in batch])
        last = batch[-1][0]


def _refresh(db: sqlite3.Connection, numbers: Sequence[int], *, judge_again: bool = False) -> None:
    if not numbers:
        return
    sql = f"SELECT {', '.join(COLUMNS)} FROM models WHERE n IN (SELECT value FROM json_each(?))"
    flat = [tuple(row) for row in db.execute(sql, [json.dumps(numbers)])]
    if judge_again:
        db.executemany("UPDATE model_values SET facts = NULL WHERE n = ?", [(n,) for n in numbers])
    put_values(db, [mapping(values[_ROW]) for values in flat], flat)


def _correct_losses(db: sqlite3.Connection, flat: Sequence[Flat]) -> None:
    """Write the losses of models, so that the list and its order by loss show no other ones."""
    with keep_sums(db, "models", [values[_ID] for values in flat]):
        db.executemany(
            "UPDATE models SET final_loss = ?, sum = ? WHERE id = ?",
            [(values[_LOSS], checksum(values), values[_ID]) for values in flat],
        )


def _computed(
    row: Row,
    loss: float | None,
    run: Recorded | None,
    kept: tuple[str | None, int | None, int | None] | None,
    summary: str | None,
) -> tuple[Any, ...]:
    """The final loss of a row with this one, then the values of `_COMPUTED`."""
    configuration = mapping(row.get("configuration"))
    gpu = mapping(configuration.get("gpu_config"))
    chosen = mapping(configuration.get("hyperparameters"))
    weights = configuration.get("weights")
    settings = (
        text_or_none(first_of(gpu, "gpu_type", "type")),
        integer(first_of(chosen, "lora_rank", "rank", "r")),
        number(first_of(chosen, "lora_alpha", "alpha")),
        number(chosen.get("learning_rate")),
        integer(chosen.get("batch_size")),
        number(first_of(chosen, "num_epochs", "epochs")),
        None if weights is None and summary is None else _effective_rank(weights, summary),
    )
    training = mapping(row.get("training_summary"))
    if run is None and not any(training.get(key) for key in _RECORDED):
        stored = number(mapping(row.get("quality_metrics")).get("final_validation_loss"))
        return (loss, *settings, stored, None, None, None, 0, None, None, None)
    ends_bad, losses = _losses(row, run, settings[5], kept)
    return (None if ends_bad else loss, *settings, *losses)


_RECORDED: Final = ("loss_curve", "last_validation", "evaluation_sets")
"""What a `training_summary` may have that tells more than the last point."""


def _losses(
    row: Row,
    run: Recorded | None,
    epochs: float | None,
    kept: tuple[str | None, int | None, int | None] | None,
) -> tuple[bool, tuple[Any, ...]]:
    """Of a run of which something was recorded: whether it ended with losses that are not numbers,
    its validation losses, and what is known of its judgement."""
    from lora_tui.domain import Quality, Training
    from lora_tui.reports.best import is_broken, validation_from

    training = Training.from_json(row.get("training_summary"))
    quality = Quality.from_json(row.get("quality_metrics"))
    found = validation_from(quality, training, run.validation if run else None)
    losses = (found.last, found.last_step, found.best, found.best_step) if found else (None,) * 4
    if run is None:
        return False, (*losses, int(training.bad_from is not None), None, None, None)
    facts = (
        training.epochs_completed or epochs,
        training.weights_step,
        training.weights_step_is_certain,
        training.bad_from,
        training.total_steps,
        training.curve_is_complete,
    )
    ends_bad = run.ends_bad or (run.of_curve and training.bad_from is not None)
    judged: tuple[int | None, int | None] = (0, None)
    if kept is not None and kept[0] == repr(facts):
        judged = kept[1:]
    broken = int(is_broken(training, ends_bad, run.last_step))
    return ends_bad, (*losses, broken, *judged, repr(facts))


def _effective_rank(stored: object, measured: str | None) -> float | None:
    from lora_tui.domain import WeightSummary

    for value in (measured, stored):
        summary = None if value is None else WeightSummary.from_json(value)
        if summary is not None:
            return summary.effective_rank
    return None


def _runs(db: sqlite3.Connection, job_ids: Sequence[str]) -> dict[str, Recorded]:
    if db.execute("SELECT 1 FROM curves LIMIT 1").fetchone() is None:
        return {}
    from lora_tui.cache.run_values import read_runs

    return read_runs(db, job_ids)


def _weights(db: sqlite3.Connection, ids: str) -> dict[str, str]:
    """The summaries of measured weights, as JSON, by the model's id."""
    if db.execute("SELECT 1 FROM weights LIMIT 1").fetchone() is None:
        return {}
    sql = (
        "SELECT model_id, summary FROM weights WHERE summary IS NOT NULL"
        " AND model_id IN (SELECT value FROM json_each(?))"
    )
    return dict(db.execute(sql, [ids]).fetchall())


def _judgements(
    db: sqlite3.Connection, numbers: Mapping[str, int]
) -> dict[str, tuple[str | None, int | None, int | None]]:
    """Of models that have a judgement by now: the facts that it is of, `judged`, and the stars."""
    sql = (
        "SELECT id, facts, judged, suggested_stars FROM model_values"
        " WHERE judged IS NOT NULL AND n IN (SELECT value FROM json_each(?))"
    )
    found = db.execute(sql, [json.dumps(list(numbers.values()))])
    return {row[0]: (row[1], row[2], row[3]) for row in found}
