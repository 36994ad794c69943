"""The training of a model: rating, summary, loss curve, hyperparameters, GPU, metric points."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from lora_tui.json_values import (
    Row,
    identifier,
    identifiers,
    integer,
    mapping,
    measured,
    measured_numbers,
    number,
    numbers,
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
        return cls(
            stars=stars_of(data),
            convergence=convergence_of(data),
            final_training_loss=number(data.get("final_training_loss")),
            final_validation_loss=number(data.get("final_validation_loss")),
            perplexity=number(data.get("perplexity")),
            loss_reduction_percent=number(data.get("loss_reduction_percent")),
        )


def stars_of(quality: Row) -> int | None:
    """The rating in a `quality_metrics` column, 1 to 5 stars."""
    stars = integer(quality.get("overall_score"))
    return None if stars is None else min(5, max(1, stars))


def convergence_of(quality: Row) -> str:
    """The judgement of the run in a `quality_metrics` column."""
    return (text_or_none(quality.get("convergence_quality"), limit=20) or "unknown").lower()


class CurvePoint(NamedTuple):
    """One point of a loss curve, for charts."""

    step: float
    training_loss: float
    validation_loss: float | None = None
    after_gap: bool = False
    """Whether losses that are not numbers were logged since the previous point."""


@dataclass(frozen=True)
class StepLoss:
    """A loss, in nats a token, and the step at which it was logged."""

    step: float
    loss: float

    @classmethod
    def from_json(cls, value: object) -> StepLoss | None:
        """Read `{step, loss}`; None unless both are finite numbers."""
        data = mapping(value)
        step, loss = number(data.get("step")), number(data.get("loss"))
        return None if step is None or loss is None else cls(step, loss)


@dataclass(frozen=True)
class EvaluationSet:
    """The losses of one of several evaluation sets."""

    name: str
    last: StepLoss | None
    best: StepLoss | None


@dataclass(frozen=True)
class Training:
    """The summary of the run that made a model.

    What follows `total_cost` is written by the harvest and the push of lora-tui only.
    """

    epochs_completed: float | None
    total_steps: int | None
    final_loss: float | None
    duration_hours: float | None
    total_cost: float | None
    """US dollars."""
    loss_curve: tuple[CurvePoint, ...] = ()
    """Down-sampled."""
    curve_is_complete: bool = False
    """Whether `loss_curve` has every point that is a number."""
    bad_from: float | None = None
    """The step from which on no loss was a number, after the last point of `loss_curve`; None where
    the run ended with a number."""
    last_validation: StepLoss | None = None
    """The last validation loss that was recorded, which may be before the last point."""
    evaluation_sets: tuple[EvaluationSet, ...] = ()
    """Empty unless there were several; the first one is the validation loss."""
    mean_loss: float | None = None
    """The mean training loss of the whole run."""
    weights_step: int | None = None
    """The step that the weights are of; None where it is the last one, or unknown."""
    weights_step_is_certain: bool = False

    @classmethod
    def from_json(cls, value: object) -> Training:
        """Read a `training_summary` column."""
        data = mapping(value)
        curve, bad_from = _curve(data.get("loss_curve"))
        weights = mapping(data.get("weights_of"))
        return cls(
            epochs_completed=number(data.get("epochs_completed")),
            total_steps=integer(data.get("total_steps")),
            final_loss=number(data.get("final_loss")),
            duration_hours=number(data.get("training_duration_hours")),
            total_cost=number(data.get("total_cost")),
            loss_curve=curve,
            curve_is_complete=_is_complete(len(curve), integer(data.get("logged_points"))),
            bad_from=bad_from,
            last_validation=StepLoss.from_json(data.get("last_validation")),
            evaluation_sets=tuple(
                EvaluationSet(
                    terminal_safe(name, limit=60),
                    StepLoss.from_json(mapping(losses).get("last")),
                    StepLoss.from_json(mapping(losses).get("best")),
                )
                for name, losses in [*mapping(data.get("evaluation_sets")).items()][:_MOST_SETS]
            ),
            mean_loss=number(data.get("mean_training_loss")),
            weights_step=integer(weights.get("step")),
            weights_step_is_certain=weights.get("certain") is True,
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


_PLAIN_TIME: Final = re.compile(r"[0-9]{4}-[0-9T:.+-]{6,30}")
"""A timestamp with nothing to make safe for terminals."""


class MetricPoint(NamedTuple):
    """One row of `metrics_points`; losses in nats a token."""

    id: str
    timestamp: str
    step: float | None
    epoch: float | None
    training_loss: float | None
    """None where it is not a number."""
    validation_loss: float | None
    """None where there was no evaluation; NaN where its loss is not a number."""
    learning_rate: float | None = None
    gradient_norm: float | None = None
    """Before clipping; NaN and infinite where it was logged so."""
    throughput: float | None = None
    """As the worker measures it, usually tokens a second."""
    gpu_utilization: float | None = None
    """Percent."""

    @classmethod
    def from_row(cls, row: Row) -> MetricPoint:
        """Read a row; the timestamp keeps its text, because it is the keyset."""
        return cls(
            id=identifier(row.get("id")),
            timestamp=_time_text(row.get("timestamp")),
            step=number(row.get("step")),
            epoch=number(row.get("epoch")),
            training_loss=number(row.get("training_loss")),
            validation_loss=measured(row.get("validation_loss")),
            learning_rate=number(row.get("learning_rate")),
            gradient_norm=measured(row.get("gradient_norm")),
            throughput=number(row.get("throughput")),
            gpu_utilization=number(row.get("gpu_utilization")),
        )

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> list[MetricPoint]:
        """Read many rows like `from_row`, column by column: a run has thousands."""

        def column(name: str) -> list[object]:
            return [row.get(name) for row in rows]

        return list(
            map(
                cls,
                identifiers(column("id")),
                map(_time_text, column("timestamp")),
                numbers(column("step")),
                numbers(column("epoch")),
                numbers(column("training_loss")),
                measured_numbers(column("validation_loss")),
                numbers(column("learning_rate")),
                measured_numbers(column("gradient_norm")),
                numbers(column("throughput")),
                numbers(column("gpu_utilization")),
            )
        )


def _time_text(value: object) -> str:
    if isinstance(value, str) and _PLAIN_TIME.fullmatch(value):  # one of very many
        return value
    return terminal_safe(value, limit=64)


def usable_loss(loss: float | None, gradient_norm: float | None = None) -> float | None:
    """The training loss of a point; None where it was not a number.

    Trainer of Hugging Face leaves losses that are NaN or infinite out of the mean that it logs
    (`logging_nan_inf_filter`, on by default), so it logs exactly 0.0 where all of them were. The
    gradient norm of such a step is not finite.
    """
    if loss is None or not math.isfinite(loss):
        return None
    if loss == 0 and gradient_norm is not None and not math.isfinite(gradient_norm):
        return None
    return loss


def finite(value: float | None) -> float | None:
    """The value; None where it is NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def curve_from_points(points: Iterable[MetricPoint]) -> tuple[CurvePoint, ...]:
    """The points that a chart can draw, in their order; a missing step is the index."""
    curve: list[CurvePoint] = []
    gap = False
    for index, point in enumerate(points):
        loss = usable_loss(point.training_loss, point.gradient_norm)
        if loss is None:
            gap = bool(curve)
            continue
        step = float(index) if point.step is None else point.step
        curve.append(CurvePoint(step, loss, finite(point.validation_loss), gap))
        gap = False
    return tuple(curve)


_MOST_SETS: Final = 50
_WHOLE_BELOW: Final = 200
"""Points; the harvest down-samples longer curves, and earlier versions did not count them."""


def _is_complete(points: int, logged: int | None) -> bool:
    return points < _WHOLE_BELOW if logged is None else points == logged


def _curve(value: object) -> tuple[tuple[CurvePoint, ...], float | None]:
    """The points of a `loss_curve`, and the step of losses that are not numbers after them."""
    if not isinstance(value, list):
        return (), None
    points: list[CurvePoint] = []
    gap = False
    bad_from: float | None = None
    for item in value:
        if not isinstance(item, list) or len(item) < 2:
            continue
        step, training = number(item[0]), number(item[1])
        if step is None or training is None:
            gap = bool(points)
            bad_from = step if step is not None else points[-1].step if points else 0.0
            continue
        validation = number(item[2]) if len(item) > 2 else None
        points.append(CurvePoint(step, training, validation, gap))
        gap, bad_from = False, None
    return tuple(points), bad_from
