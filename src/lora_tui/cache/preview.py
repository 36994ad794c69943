"""What the cache knows of one model at a glance: read for the pane beside the list."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.metrics import get_curve, get_points
from lora_tui.cache.models import get_model
from lora_tui.cache.transfers import Transfer, transfers_of
from lora_tui.domain import CurvePoint, Model
from lora_tui.opinion import Comparison, Opinion, compare_with_rating, second_opinion

_MOST_POINTS: Final = 2_000
"""Beyond it an opinion takes longer than a key press may wait; the model's own page has it."""


@dataclass(frozen=True)
class Preview:
    """One model, its curve, what we think of it, and its files on this disk."""

    model: Model
    curve: tuple[CurvePoint, ...]
    opinion: Opinion | None
    comparison: Comparison | None
    transfers: tuple[Transfer, ...]
    directory: Path | None
    """Where the whole model lies."""


def read_preview(db: sqlite3.Connection, model_id: str) -> Preview | None:
    """None where the cache has no such model."""
    model = get_model(db, model_id)
    if model is None:
        return None
    curve = get_curve(db, model.job_id)
    opinion = _opinion(db, model.job_id, curve)
    return Preview(
        model,
        curve,
        opinion,
        compare_with_rating(opinion, model.quality) if opinion else None,
        tuple(transfers_of(db, model_id)),
        downloaded_to(db, model_id),
    )


def _opinion(db: sqlite3.Connection, job_id: str, curve: tuple[CurvePoint, ...]) -> Opinion | None:
    """The same that the model's page has: of all points where they were logged."""
    counted = db.execute("SELECT total FROM curves WHERE job_id = ?", [job_id]).fetchone()
    if counted is None or counted[0] > _MOST_POINTS:
        return None
    points = get_points(db, job_id) or curve
    return second_opinion(points, downsampled=points is curve) if points else None
