"""Reads what the report on a model tells, from the cache alone."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Final

from lora_tui.adapters.snippets import ServedAdapter, snippet
from lora_tui.cache.metrics import get_curve, get_logged
from lora_tui.cache.models import require_model
from lora_tui.cache.runs import gc_paused, get_opinion
from lora_tui.curves.series import from_curve
from lora_tui.documents.facts import model_lines, opinion_lines
from lora_tui.domain import Model
from lora_tui.errors import UsageError
from lora_tui.filenames import slug
from lora_tui.reports.model_card import ModelCard
from lora_tui.reports.run_losses import RunLosses, run_losses

_PROGRAMS: Final = ("vllm", "peft")
_ELSEWHERE: Final = ("Name", "File")
"""Facts that have a place of their own in the document."""


def read_card(db: sqlite3.Connection, model_id: str) -> ModelCard:
    """The content of the document; takes seconds for a run of a million points.

    Raises NotFoundError.
    """
    model = require_model(db, model_id)
    opinion = get_opinion(db, model.job_id)
    return ModelCard(
        model=model,
        metadata=[row for row in model_lines(model, opinion) if row[0] not in _ELSEWHERE],
        opinion=[f"{label.strip()}: {text}" for label, text in opinion_lines(opinion, model)],
        curve=get_curve(db, model.job_id) or model.training.loss_curve,
        snippets=_snippets(model),
        verdict=opinion,
        losses=read_losses(db, model),
    )


def read_losses(db: sqlite3.Connection, model: Model) -> RunLosses:
    """All cached losses of the model's run, else those of the curve that came with the model."""
    with gc_paused():
        logged = get_logged(db, model.job_id)
        return run_losses(logged or from_curve(model.training.loss_curve))


def _snippets(model: Model) -> list[tuple[str, str]]:
    """Snippets without local paths, because the document is for other people."""
    hyper = model.hyperparameters
    served = ServedAdapter(slug(model.name), None, hyper.base_model or "", hyper.rank)
    found = []
    for program in _PROGRAMS:
        with suppress(UsageError):  # for example a rank that vLLM does not support
            found.append((program, snippet(served, program)))
    return found
