"""The training of a model: rating, summary, loss curve, hyperparameters, GPU, metric points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lora_tui.json_values import (
    Row,
    identifier,
    integer,
    mapping,
    number,
    pop_first,
    remaining_values,
    text_or_none,
)
from lora_tui.text import terminal_safe

CONVERGENCES: Final = ("excellent", "good", "fair", "poor", "overfit", "unknown")


@dataclass(frozen=True)
class Quality:
    """The stored rating, version 1 (quality.py). Losses are in nats a token."""

    stars: int | None
    convergence: str
    final_training_loss: float | None
    final_validation_loss: float | None
    perplexity: float | None
    loss_reduction_percent: float | None

    @classmethod
    def from_json(cls, value: object) -> Quality:
        """Read a `quality_metrics` column."""
        data = mapping(value)
        stars = integer(data.get("overall_score"))
        convergence = text_or_none(data.get("convergence_quality"), limit=20) or "unknown"
        return cls(
            stars=None if stars is None else min(5, max(1, stars)),
            convergence=convergence.lower(),
            final_training_loss=number(data.get("final_training_loss")),
            final_validation_loss=number(data.get("final_validation_loss")),
            perplexity=number(data.get("perplexity")),
            loss_reduction_percent=number(data.get("loss_reduction_percent")),
        )


@dataclass(frozen=True)
class CurvePoint:
    """One point of a loss curve, for charts."""

    step: float
    training_loss: float
    validation_loss: float | None = None
    after_gap: bool = False
    """Whether losses that are not numbers were logged since the previous point."""


@dataclass(frozen=True)
class Training:
    """The summary of the run that made a model."""

    epochs_completed: float | None
    total_steps: int | None
    final_loss: float | None
    duration_hours: float | None
    total_cost: float | None
    """US dollars."""
    loss_curve: tuple[CurvePoint, ...] = ()
    """Down-sampled; only the harvest of lora-tui writes it."""

    @classmethod
    def from_json(cls, value: object) -> Training:
        """Read a `training_summary` column."""
        data = mapping(value)
        return cls(
            epochs_completed=number(data.get("epochs_completed")),
            total_steps=integer(data.get("total_steps")),
            final_loss=number(data.get("final_loss")),
            duration_hours=number(data.get("training_duration_hours")),
            total_cost=number(data.get("total_cost")),
            loss_curve=_curve(data.get("loss_curve")),
        )


@dataclass(frozen=True)
class Hyperparameters:
    """LoRA and optimiser settings; `other_settings` holds keys that this version does not know."""

    base_model: str | None
    rank: int | None
    alpha: float | None
    dropout: float | None
    learning_rate: float | None
    batch_size: int | None
    epochs: float | None
    warmup_steps: int | None
    weight_decay: float | None
    other_settings: tuple[tuple[str, str], ...]

    @classmethod
    def from_json(cls, value: object) -> Hyperparameters:
        """Read `hyperparameters` in either dialect."""
        data = dict(mapping(value))
        return cls(
            base_model=text_or_none(pop_first(data, "base_model", "model_name")),
            rank=integer(pop_first(data, "lora_rank", "rank", "r")),
            alpha=number(pop_first(data, "lora_alpha", "alpha")),
            dropout=number(pop_first(data, "lora_dropout", "dropout")),
            learning_rate=number(pop_first(data, "learning_rate")),
            batch_size=integer(pop_first(data, "batch_size")),
            epochs=number(pop_first(data, "num_epochs", "epochs")),
            warmup_steps=integer(pop_first(data, "warmup_steps")),
            weight_decay=number(pop_first(data, "weight_decay")),
            other_settings=remaining_values(data),
        )


@dataclass(frozen=True)
class Gpu:
    """The GPUs of the run."""

    type: str | None
    count: int | None
    memory_gb: float | None
    cost_per_hour: float | None
    """US dollars per GPU and hour."""
    other_settings: tuple[tuple[str, str], ...]

    @classmethod
    def from_json(cls, value: object) -> Gpu:
        """Read `gpu_config` in either dialect."""
        data = dict(mapping(value))
        return cls(
            type=text_or_none(pop_first(data, "gpu_type", "type")),
            count=integer(pop_first(data, "num_gpus", "count")),
            memory_gb=number(pop_first(data, "gpu_memory_gb")),
            cost_per_hour=number(pop_first(data, "cost_per_gpu_hour")),
            other_settings=remaining_values(data),
        )


@dataclass(frozen=True)
class MetricPoint:
    """One row of `metrics_points`; losses in nats a token."""

    id: str
    timestamp: str
    step: float | None
    epoch: float | None
    training_loss: float | None
    validation_loss: float | None

    @classmethod
    def from_row(cls, row: Row) -> MetricPoint:
        """Read a row; the timestamp keeps its text, because it is the keyset."""
        return cls(
            id=identifier(row.get("id")),
            timestamp=terminal_safe(row.get("timestamp"), limit=64),
            step=number(row.get("step")),
            epoch=number(row.get("epoch")),
            training_loss=number(row.get("training_loss")),
            validation_loss=number(row.get("validation_loss")),
        )


def curve_from_points(points: Iterable[MetricPoint]) -> tuple[CurvePoint, ...]:
    """The points that a chart can draw, in their order; a missing step is the index."""
    curve: list[CurvePoint] = []
    gap = False
    for index, point in enumerate(points):
        if point.training_loss is None:
            gap = bool(curve)
            continue
        step = float(index) if point.step is None else point.step
        curve.append(CurvePoint(step, point.training_loss, point.validation_loss, gap))
        gap = False
    return tuple(curve)


def _curve(value: object) -> tuple[CurvePoint, ...]:
    if not isinstance(value, list):
        return ()
    points: list[CurvePoint] = []
    gap = False
    for item in value:
        if not isinstance(item, list) or len(item) < 2:
            continue
        step, training = number(item[0]), number(item[1])
        if step is None or training is None:
            gap = bool(points)
            continue
        validation = number(item[2]) if len(item) > 2 else None
        points.append(CurvePoint(step, training, validation, gap))
        gap = False
    return tuple(points)
