"""What was computed from the weights of downloaded models: a summary, and figures by module.

Both are JSON of `adapters/weight_facts.py`. They belong to one state of the file on this disk, the
`stamp`; losing them costs computing them again.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from lora_tui.cache.model_values import refresh_model
from lora_tui.domain import WeightSummary
from lora_tui.json_values import json_text, mapping, parse_json

_MOST_PEERS: Final = 40


def put_weights(
    db: sqlite3.Connection,
    model_id: str,
    stamp: str,
    summary: WeightSummary | None,
    document: Any,
) -> None:
    """Store what was computed; None where it can't be. Call inside a transaction."""
    db.execute(
        "INSERT OR REPLACE INTO weights (model_id, stamp, summary, document) VALUES (?, ?, ?, ?)",
        [
            model_id,
            stamp,
            None if summary is None else json_text(summary.as_json()),
            None if document is None else json_text(document),
        ],
    )
    refresh_model(db, model_id)


def weight_stamps(db: sqlite3.Connection) -> dict[str, str]:
    """Model id → the state of the file that its figures are of, also where there are none."""
    return dict(db.execute("SELECT model_id, stamp FROM weights").fetchall())


def get_weights(db: sqlite3.Connection, model_id: str) -> Any:
    """The figures by module, as JSON has them; None where there are none."""
    return _json(db, "document", model_id)


def get_weight_summary(db: sqlite3.Connection, model_id: str) -> WeightSummary | None:
    """The summary of the weights on this disk; None where there is none."""
    return WeightSummary.from_json(_json(db, "summary", model_id))


def weights_of_peers(
    db: sqlite3.Connection, model_id: str, dataset_id: str, base_model: str
) -> list[WeightSummary]:
    """The summaries of other models of this dataset and base model, the newest first."""
    rows = db.execute(
        "SELECT models.row, weights.summary FROM models"
        " LEFT JOIN weights ON weights.model_id = models.id"
        " WHERE models.dataset_id = ? AND models.base_model = ? AND models.id <> ?"
        " ORDER BY models.created_at DESC LIMIT ?",
        [dataset_id, base_model, model_id, _MOST_PEERS],
    )
    found = []
    for row, summary in rows:
        stored = mapping(mapping(row).get("configuration")).get("weights")
        known = WeightSummary.from_json(summary) or WeightSummary.from_json(stored)
        found += [] if known is None else [known]
    return found


def delete_weights(db: sqlite3.Connection, model_id: str) -> None:
    """Delete the figures of a model. Call inside a transaction."""
    db.execute("DELETE FROM weights WHERE model_id = ?", [model_id])
    refresh_model(db, model_id)


def _json(db: sqlite3.Connection, column: str, model_id: str) -> Any:
    found = db.execute(f"SELECT {column} FROM weights WHERE model_id = ?", [model_id]).fetchone()
    if found is None or not isinstance(found[0], str):
        return None
    try:
        return parse_json(found[0])
    except (ValueError, RecursionError):
        return None
