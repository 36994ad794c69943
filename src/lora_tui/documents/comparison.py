"""Reads what a comparison tells, from the cache alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from lora_tui.cache.metrics import get_curve
from lora_tui.cache.models import get_model
from lora_tui.cache.runs import get_opinion
from lora_tui.documents.model_report import read_losses
from lora_tui.domain import CurvePoint, Model
from lora_tui.opinion import Opinion
from lora_tui.reports import MAX_COMPARED
from lora_tui.reports.best import ranking
from lora_tui.reports.compare import Comparison, compare_models
from lora_tui.reports.compared_markdown import comparison_markdown
from lora_tui.reports.model_table import best_first
from lora_tui.reports.run_losses import RunLosses


@dataclass(frozen=True)
class Compared:
    """A comparison with the second opinions that it was made from."""

    comparison: Comparison
    opinions: tuple[Opinion | None, ...]

    @property
    def order(self) -> list[int]:
        """The models, the best by its losses first; few stay in the order in which they came."""
        if len(self.comparison.models) <= MAX_COMPARED:
            return list(range(len(self.comparison.models)))
        return best_first(self.comparison, self.opinions)

    @property
    def is_ranked(self) -> bool:
        """Whether `order` has the best first: losses of different datasets rank nothing."""
        return bool(ranking(self.comparison.models, self.opinions).order)


def read_comparison(db: sqlite3.Connection, model_ids: Sequence[str]) -> Compared:
    """Compare the models that are still in the cache; takes a while for many or long runs."""
    found = [get_model(db, model_id) for model_id in model_ids]
    models = [model for model in found if model is not None]
    opinions = tuple(get_opinion(db, model.job_id) for model in models)
    return Compared(compare_models(models, opinions), opinions)


def read_document(
    db: sqlite3.Connection,
    comparison: Comparison,
    *,
    everything: bool = False,
    order: Sequence[int] | None = None,
    picture: str | None = None,
) -> str:
    """The comparison as Markdown, with the curves of the first six models of `order`."""
    places = list(range(len(comparison.models))) if order is None else order
    shown = set(places[:MAX_COMPARED])
    losses = [
        read_losses(db, model) if index in shown else RunLosses()
        for index, model in enumerate(comparison.models)
    ]
    return comparison_markdown(
        comparison, losses, everything=everything, order=places, picture=picture
    )


def read_curves(db: sqlite3.Connection, models: Sequence[Model]) -> list[Sequence[CurvePoint]]:
    """The curves for a picture."""
    return [get_curve(db, model.job_id) or model.training.loss_curve for model in models]
