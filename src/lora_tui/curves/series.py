"""A loss curve of any length as columns, and its decimation for drawing.

A million points take 40 MB. Any range is decimated in milliseconds: each bucket keeps its first,
lowest, highest and last point, so that spikes stay visible.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

from lora_tui.curves.downsample_and_smooth import trend
from lora_tui.domain import CurvePoint, usable_loss

MAX_MAGNITUDE: Final = 1e100
"""Larger losses are clamped to this, so that differences stay finite."""
_COARSE_BUCKETS: Final = 8192
_MAX_FULL_DECIMATION: Final = 16 * _COARSE_BUCKETS
"""A range of more points is decimated from the coarse choice of the whole curve."""
_PER_BUCKET: Final = 4
_MAX_SMOOTHED: Final = 16_384
"""Longer curves are smoothed as means of short stretches."""


class Smoothing(IntEnum):
    """How strongly a training loss is smoothed; OFF is false."""

    OFF = 0
    LIGHT = 1
    NORMAL = 2
    STRONG = 3


_SPREAD: Final = {Smoothing.LIGHT: 1 / 80, Smoothing.STRONG: 1 / 8}
"""The `share` argument of `trend`; NORMAL uses its default."""


class Logged(NamedTuple):
    """A logged point."""

    step: float | None
    training_loss: float | None
    """None where it is not a number."""
    validation_loss: float | None
    """None where there was no evaluation; NaN where its loss is not a number."""
    seconds: float | None = None
    """Seconds since the first point; None if unknown."""
    learning_rate: float | None = None
    gradient_norm: float | None = None
    """None if unknown; NaN and infinite where it was logged so."""


def from_curve(points: Sequence[CurvePoint], *, bad_steps: Sequence[float] = ()) -> list[Logged]:
    """The points of a drawn curve as logged points, with one that is not a number for each gap.

    `bad_steps` are steps after the last point whose losses are not numbers.
    """
    logged: list[Logged] = []
    for point in points:
        if point.after_gap:
            logged.append(Logged(point.step, None, None))
        logged.append(Logged(point.step, point.training_loss, point.validation_loss))
    return [*logged, *(Logged(step, None, None) for step in bad_steps)]


class Reading(NamedTuple):
    """The values at one point of the curve; losses in nats a token."""

    step: float
    training: float
    smoothed: float
    validation: float | None
    """The last one recorded up to this step."""
    validation_step: float | None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Series:
    """The points of a curve that can be drawn; create it by `from_points` or `from_logged`."""

    steps: array[float]
    training: array[float]
    smoothed: array[float]
    validation_indices: array[int]
    """Indices of the points with a validation loss, ascending."""
    validation: array[float]
    """Their validation losses."""
    seconds: array[float] | None
    """Ascending times; None if any time is unknown."""
    gaps: array[int]
    """Indices of points before which losses were logged that are not finite, ascending."""
    _steps_ascend: bool
    _coarse: array[int]

    @classmethod
    def from_points(cls, points: Sequence[CurvePoint]) -> Series:
        """Create a series without times; points that are not finite become gaps."""
        return cls.from_logged(from_curve(points))

    @classmethod
    def from_logged(cls, points: Sequence[Logged]) -> Series:
        """Create a series; points that are not finite become gaps, a missing step is the index."""
        steps, training, seconds = array("d"), array("d"), array("d")
        validation_indices, validation = array("q"), array("d")
        gaps = array("q")
        timed = bool(points)
        interrupted = False
        for number, (step, logged, held_out, second, _, gradient) in enumerate(points):
            at = float(number) if step is None else step
            loss = usable_loss(logged, gradient)
            if loss is None or not math.isfinite(at):
                interrupted = len(steps) > 0
                continue
            if interrupted:
                gaps.append(len(steps))
                interrupted = False
            if held_out is not None and math.isfinite(held_out):
                validation_indices.append(len(steps))
                validation.append(_clamped(held_out))
            steps.append(_clamped(at))
            training.append(_clamped(loss))
            if second is None:
                timed = False
            else:
                seconds.append(second)
        timed = timed and len(seconds) == len(steps) > 1 and seconds[-1] > seconds[0]
        series = cls(
            steps,
            training,
            array("d", trend(training)),
            validation_indices,
            validation,
            seconds if timed and _ascends(seconds) else None,
            gaps,
            _ascends(steps),
            array("q"),
        )
        if len(steps) > _MAX_FULL_DECIMATION:
            coarse = series.decimate(range(len(steps)), _COARSE_BUCKETS)
            object.__setattr__(series, "_coarse", array("q", coarse))
        return series

    def __len__(self) -> int:
        return len(self.steps)

    def has_same_points(self, other: Series) -> bool:
        """Whether both series draw the same picture."""
        return (
            self.steps == other.steps
            and self.training == other.training
            and self.validation_indices == other.validation_indices
            and self.validation == other.validation
            and self.seconds == other.seconds
            and self.gaps == other.gaps
        )

    def x_values(self, *, over_time: bool) -> array[float]:
        """The x value of each point: seconds if wanted and known, else steps."""
        return self.seconds if over_time and self.seconds is not None else self.steps

    def extent(self, *, over_time: bool) -> tuple[float, float]:
        """The least and the greatest x value; (0, 0) without points."""
        return self._times if over_time and self.seconds is not None else self._steps

    @cached_property
    def _steps(self) -> tuple[float, float]:
        return (min(self.steps), max(self.steps)) if self.steps else (0.0, 0.0)

    @cached_property
    def _times(self) -> tuple[float, float]:
        return (self.seconds[0], self.seconds[-1]) if self.seconds else (0.0, 0.0)

    def indices_in(self, low: float, high: float, *, over_time: bool = False) -> Sequence[int]:
        """Indices of the points in [low, high], and one beyond each end to continue the line."""
        across = self.x_values(over_time=over_time)
        if across is self.steps and not self._steps_ascend:
            return [number for number, at in enumerate(across) if low <= at <= high]
        first, end = bisect_left(across, low), bisect_right(across, high)
        return range(max(0, first - 1), min(len(across), end + 1))

    def index_at(self, step: float) -> int | None:
        """Index of the last point up to a step; None outside the run."""
        low, high = self._steps
        if not self.steps or not low <= step <= high:
            return None
        if self._steps_ascend:
            return bisect_right(self.steps, step) - 1
        return max(number for number, at in enumerate(self.steps) if at <= step)

    def decimate(self, numbers: Sequence[int], buckets: int) -> list[int]:
        """Choose about four of the indices per bucket, as many validation losses, and gap edges."""
        if len(numbers) <= _PER_BUCKET * buckets:
            return list(numbers)
        chosen = {numbers[0], numbers[-1]}
        candidates = numbers
        if len(numbers) > _MAX_FULL_DECIMATION and self._coarse and isinstance(numbers, range):
            first = bisect_left(self._coarse, numbers[0])
            candidates = self._coarse[first : bisect_right(self._coarse, numbers[-1])]
        chosen |= _extremes(candidates, _values(self.training, candidates), buckets)
        first = bisect_left(self.validation_indices, numbers[0])
        held_out = range(first, bisect_right(self.validation_indices, numbers[-1]))
        places: Sequence[int] = held_out
        if len(held_out) > _PER_BUCKET * buckets:
            places = sorted(_extremes(held_out, _values(self.validation, held_out), buckets))
        first, end = bisect_right(self.gaps, numbers[0]), bisect_right(self.gaps, numbers[-1])
        if end - first <= buckets:
            for number in self.gaps[first:end]:
                chosen |= {number - 1, number}
        return sorted(chosen.union(self.validation_indices[place] for place in places))

    def has_gap_between(self, before: int, after: int) -> bool:
        """Whether the curve has a gap between two points; `before` is the earlier one."""
        return bisect_right(self.gaps, before) < bisect_right(self.gaps, after)

    def points(self, numbers: Sequence[int], *, over_time: bool = False) -> list[CurvePoint]:
        """The points at these indices; their `step` is the x value."""
        across = self.x_values(over_time=over_time)
        held_out = (
            {
                self.validation_indices[place]: self.validation[place]
                for place in range(
                    bisect_left(self.validation_indices, numbers[0]),
                    bisect_right(self.validation_indices, numbers[-1]),
                )
            }
            if numbers
            else {}
        )
        return [CurvePoint(across[n], self.training[n], held_out.get(n)) for n in numbers]

    def trend(self, strength: Smoothing) -> Sequence[float]:
        """The smoothed training loss, one value per point; with OFF the losses themselves."""
        if strength is Smoothing.OFF:
            return self.training
        if strength is Smoothing.NORMAL:
            return self.smoothed
        if strength not in self._trends:
            self._trends[strength] = _trend(self.training, _SPREAD[strength])
        return self._trends[strength]

    @cached_property
    def _trends(self) -> dict[Smoothing, Sequence[float]]:
        return {}

    def reading(self, number: int, strength: Smoothing = Smoothing.NORMAL) -> Reading:
        """The values at the point with index `number`."""
        place = bisect_right(self.validation_indices, number) - 1
        return Reading(
            step=self.steps[number],
            training=self.training[number],
            smoothed=self.trend(strength)[number],
            validation=self.validation[place] if place >= 0 else None,
            validation_step=self.steps[self.validation_indices[place]] if place >= 0 else None,
            seconds=None if self.seconds is None else self.seconds[number],
        )

    @property
    def best_index(self) -> int | None:
        """The index of the lowest validation loss, the first of several; None without any."""
        if not self.validation:
            return None
        return self.validation_indices[self.validation.index(min(self.validation))]


def _extremes(numbers: Sequence[int], values: Sequence[float], buckets: int) -> set[int]:
    """The first, lowest, highest and last index of each bucket."""
    chosen = set()
    edges = [round(bucket * len(numbers) / buckets) for bucket in range(buckets + 1)]
    for start, end in pairwise(edges):
        stretch = values[start:end]
        if stretch:
            lowest, highest = stretch.index(min(stretch)), stretch.index(max(stretch))
            for place in (0, lowest, highest, len(stretch) - 1):
                chosen.add(numbers[start + place])
    return chosen


def _values(column: array[float], numbers: Sequence[int]) -> Sequence[float]:
    if isinstance(numbers, range):
        return column[numbers.start : numbers.stop]
    return array("d", [column[number] for number in numbers])


def _trend(losses: array[float], share: float) -> Sequence[float]:
    length = -(-len(losses) // _MAX_SMOOTHED)
    if length < 2:
        return array("d", trend(losses, share))
    starts = range(0, len(losses), length)
    stretches = [losses[start : start + length] for start in starts]
    means = trend([sum(stretch) / len(stretch) for stretch in stretches], share)
    return [means[number // length] for number in range(len(losses))]


def _ascends(values: array[float]) -> bool:
    return all(before <= after for before, after in pairwise(values))


def _clamped(value: float) -> float:
    return max(-MAX_MAGNITUDE, min(MAX_MAGNITUDE, value))
