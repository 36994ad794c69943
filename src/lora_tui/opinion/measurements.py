"""Measures a run's logged losses: level, noise, start and end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Protocol

from lora_tui.curves.downsample_and_smooth import rolling_level, rolling_median

MIN_POINTS: Final = 20
"""With fewer points a trend can't be told from noise."""

_CORRELATION: Final = 2.0
"""Factor on the errors of medians, because the noise of neighbouring batches is correlated."""
SIGMA: Final = 1.4826
"""Factor from the median absolute deviation to the standard deviation of normal noise."""
_LARGEST: Final = 1e12
_LEVEL_HALF, _NOISE_HALF = 10, 50


class LoggedPoint(Protocol):
    """A logged point, such as MetricPoint and CurvePoint. A loss of None is not a number."""

    @property
    def step(self) -> float | None: ...
    @property
    def training_loss(self) -> float | None: ...
    @property
    def validation_loss(self) -> float | None: ...


@dataclass(frozen=True)
class Run:
    """A run's finite training losses with their level and noise, and its validation losses."""

    steps: tuple[float, ...]
    losses: tuple[float, ...]
    levels: list[float]
    """The rolling level of the losses, one for each."""
    noises: list[float]
    """The standard deviation of the noise near each point."""
    validations: tuple[tuple[float, float], ...]
    """(step, loss) pairs; the losses are finite."""
    last_has_validation: bool
    bad: tuple[float, ...]
    """The steps at which the training loss is not a finite number."""
    bad_validations: tuple[float, ...]
    ends_bad: bool
    last_step: float
    total: int

    @classmethod
    def from_points(cls, points: Sequence[LoggedPoint]) -> Run:
        """Measure the points; a missing step counts as the index of its point."""
        logged = [
            (
                float(index) if point.step is None or not math.isfinite(point.step) else point.step,
                point.training_loss,
                point.validation_loss,
            )
            for index, point in enumerate(points)
        ]
        usable = [(step, _clamped(loss)) for step, loss, _ in logged if _is_finite(loss)]
        losses = tuple(loss for _, loss in usable)
        near = rolling_median(losses, _LEVEL_HALF)
        deviations = [abs(loss - level) for loss, level in zip(losses, near, strict=True)]
        return cls(
            steps=tuple(step for step, _ in usable),
            losses=losses,
            levels=rolling_level(losses, max(3, len(losses) // 40)),
            noises=[SIGMA * value for value in rolling_median(deviations, _NOISE_HALF)],
            validations=tuple(
                (step, _clamped(loss)) for step, _, loss in logged if _is_finite(loss)
            ),
            last_has_validation=bool(logged) and _is_finite(logged[-1][2]),
            bad=tuple(step for step, loss, _ in logged if not _is_finite(loss)),
            bad_validations=tuple(
                step for step, _, loss in logged if loss is not None and not _is_finite(loss)
            ),
            ends_bad=bool(logged) and not _is_finite(logged[-1][1]),
            last_step=max((step for step, _, _ in logged), default=0.0),
            total=len(logged),
        )

    @property
    def start(self) -> float:
        """The level at the start, from few points because the loss falls fast there."""
        return median(self.losses[: _clip(len(self.losses) // 50, 5, 25)])

    @property
    def end_count(self) -> int:
        """The number of points at the end whose median is `end`."""
        return _clip(len(self.losses) // 20, 5, 50)

    @property
    def end(self) -> float:
        """The level at the end."""
        return median(self.losses[-self.end_count :])

    def error(self, count: int, near: int) -> float:
        """The standard error of a median of `count` losses around the point at index `near`."""
        return 1.25 * _CORRELATION * self.noises[near] / math.sqrt(count)

    def level_at(self, step: float) -> float:
        """The level of the training loss at the point nearest to a step."""
        index = min(range(len(self.steps)), key=lambda at: abs(self.steps[at] - step))
        return self.levels[index]


def _clamped(value: float | None) -> float:
    return max(-_LARGEST, min(_LARGEST, value or 0.0))


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))
