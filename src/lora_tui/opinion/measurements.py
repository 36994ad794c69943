"""Measures a run's logged losses: level, noise, start and end."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Protocol

from lora_tui.curves.downsample_and_smooth import rolling_level, rolling_median
from lora_tui.domain import finite, usable_loss

MIN_POINTS: Final = 20
"""With fewer points a trend can't be told from noise."""

_CORRELATION: Final = 2.0
"""Factor on the errors of medians, because the noise of neighbouring batches is correlated."""
SIGMA: Final = 1.4826
"""Factor from the median absolute deviation to the standard deviation of normal noise."""
_LARGEST: Final = 1e12
_LEVEL_HALF, _NOISE_HALF = 10, 50


class LoggedPoint(Protocol):
    """A logged point, such as MetricPoint, Logged and CurvePoint.

    `gradient_norm` and `learning_rate` are read where a point has them. A training loss of None is
    not a number; a validation loss of None was not recorded.
    """

    @property
    def step(self) -> float | None: ...
    @property
    def training_loss(self) -> float | None: ...
    @property
    def validation_loss(self) -> float | None: ...


@dataclass(frozen=True)
class Run:
    """A run's finite training losses with their level and noise, and what else was logged."""

    steps: tuple[float, ...]
    losses: tuple[float, ...]
    levels: list[float]
    """The rolling level of the losses, one for each."""
    noises: list[float]
    """The standard deviation of the noise near each point."""
    rates: tuple[float | None, ...]
    """The learning rates, one for each loss."""
    validations: tuple[tuple[float, float], ...]
    """(step, loss) pairs; the losses are finite."""
    last_has_validation: bool
    """Whether the last point had an evaluation, with whatever loss."""
    bad: tuple[float, ...]
    """The steps at which the training loss is not a finite number."""
    zeroed: int
    """How many of `bad` were logged as exactly 0."""
    bad_from: float | None
    """The first step of the losses at the end that are not numbers; None if the run ends well."""
    bad_validations: tuple[float, ...]
    gradients: tuple[float, ...]
    """The gradient norms of the points with a finite loss that are numbers."""
    bad_gradients: tuple[float, ...]
    """The steps with a finite loss and a gradient norm that is NaN or infinite."""
    broken_gradient_from: float | None
    """The first step of the gradient norms at the end that are NaN; None if the last is not."""
    first_loss: float | None
    """The first logged loss, which the stored rating reads; None where it is not a number."""
    begin: float
    """The step at which the run began."""
    last_step: float
    total: int

    @classmethod
    def from_points(cls, points: Sequence[LoggedPoint]) -> Run:
        """Measure the points; a missing step counts as the index of its point."""
        steps = [
            float(index) if point.step is None or not math.isfinite(point.step) else point.step
            for index, point in enumerate(points)
        ]
        logged = [point.training_loss for point in points]
        gradients = [_signal(point, "gradient_norm") for point in points]
        good = usable_points(logged, gradients)
        usable = [index for index, is_good in enumerate(good) if is_good]
        losses = tuple(clamped(logged[index]) for index in usable)
        near = rolling_median(losses, _LEVEL_HALF)
        deviations = [abs(loss - level) for loss, level in zip(losses, near, strict=True)]
        bad = [index for index, is_good in enumerate(good) if not is_good]
        bad_from = len(good) if not good or good[-1] else (usable[-1] + 1 if usable else 0)
        known = [index for index in usable if gradients[index] is not None]
        validations = [(at, point.validation_loss) for at, point in zip(steps, points, strict=True)]
        return cls(
            steps=tuple(steps[index] for index in usable),
            losses=losses,
            levels=rolling_level(losses, max(3, len(losses) // 40)),
            noises=[SIGMA * value for value in rolling_median(deviations, _NOISE_HALF)],
            rates=tuple(finite(_signal(points[index], "learning_rate")) for index in usable),
            validations=tuple(
                (step, clamped(loss)) for step, loss in validations if finite(loss) is not None
            ),
            last_has_validation=bool(points) and points[-1].validation_loss is not None,
            bad=tuple(steps[index] for index in bad),
            zeroed=sum(logged[index] == 0 for index in bad),
            bad_from=steps[bad_from] if bad_from < len(steps) else None,
            bad_validations=tuple(
                step for step, loss in validations if loss is not None and not math.isfinite(loss)
            ),
            gradients=tuple(
                found for index in known if (found := finite(gradients[index])) is not None
            ),
            bad_gradients=tuple(steps[i] for i in known if finite(gradients[i]) is None),
            broken_gradient_from=_broken_from(
                [(steps[index], gradients[index]) for index in known]
            ),
            first_loss=logged[0] if good and good[0] else None,
            begin=_begin(steps),
            last_step=max(steps, default=0.0),
            total=len(points),
        )

    @property
    def ends_bad(self) -> bool:
        """Whether the last training loss is not a number."""
        return self.bad_from is not None

    @property
    def start(self) -> float:
        """The level at the start, from few points because the loss falls fast there."""
        return median(self.losses[: _clip(len(self.losses) // 50, 5, 25)])

    @property
    def has_scale(self) -> bool:
        """Whether the loss started above zero, so that a share of it means something."""
        return self.start > 0

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


def usable_points(losses: Sequence[float | None], gradients: Sequence[float | None]) -> list[bool]:
    """Whether the training loss of each point is a number, as far as the run tells it."""
    good = [
        usable_loss(loss, gradient) is not None
        for loss, gradient in zip(losses, gradients, strict=True)
    ]
    if 0 in losses:
        for stretch in _broken_zeros(losses, good):
            for index in stretch:
                good[index] = False
    return good


def clamped(value: float | None) -> float:
    """A loss within the bounds of the arithmetic."""
    return max(-_LARGEST, min(_LARGEST, value or 0.0))


ZERO_STRETCH: Final = 3
"""Exact zeros in a row that are no losses; fewer at the end of a run."""
_BEFORE: Final = 5
"""Losses before a stretch of zeros that it is compared with."""
_NO_SMALL_LOSS: Final = 0.05
"""Nats a token. Below this level a loss that is rounded to a few digits may well become 0."""


def _broken_zeros(losses: Sequence[float | None], good: Sequence[bool]) -> Iterator[range]:
    """Stretches of exact zeros that follow ordinary losses at once.

    No cross-entropy falls so. Trainer logs a NaN as 0 (see `usable_loss`), and older versions of it
    log no gradient norm that would prove it. A loss that was small before may be rounded to 0, and
    a loss that starts at 0 belongs to another objective, such as GRPO.
    """
    before: deque[float] = deque(maxlen=_BEFORE)
    start = 0
    while start < len(losses):
        end = start
        while end < len(losses) and losses[end] == 0:
            end += 1
        if end > start:
            is_long = end - start >= ZERO_STRETCH or end == len(losses)
            is_sudden = len(before) >= 3 and min(before) > 0 and median(before) > _NO_SMALL_LOSS
            if is_long and is_sudden:
                yield range(start, end)
            elif good[start]:
                before.extend([0.0] * (end - start))
            start = end
        else:
            if good[start]:
                before.append(losses[start] or 0.0)
            start += 1


def _broken_from(gradients: Sequence[tuple[float, float | None]]) -> float | None:
    """The first step of the NaNs that end a list of (step, gradient norm)."""
    first = None
    for step, norm in reversed(gradients):
        if norm is None or not math.isnan(norm):
            break
        first = step
    return first


def _begin(steps: Sequence[float]) -> float:
    """Where a run began, by its first logged step and the usual distance of two."""
    if len(steps) < 2:
        return 0.0
    return max(0.0, steps[0] - max(0.0, steps[-1] - steps[0]) / (len(steps) - 1))


def _signal(point: LoggedPoint, name: str) -> float | None:
    """A value that raw points have, and points of a drawn curve don't."""
    value: Any = getattr(point, name, None)
    return None if value is None else float(value)


def _clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))
