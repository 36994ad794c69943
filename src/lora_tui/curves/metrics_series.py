"""Every logged metric of a run as columns that grow at the end, and their decimation for drawing.

Points are added in the order in which they were logged. Each 128 values of a metric keep their
first, lowest, highest and last one, and so do each 1,024. So a million points are drawn without
reading all of them, and new points cost no more than themselves.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from lora_tui.curves.downsample_and_smooth import trend
from lora_tui.curves.series import MAX_MAGNITUDE, Smoothing
from lora_tui.domain import usable_loss

TRAINING: Final = "training_loss"
VALIDATION: Final = "validation_loss"
GRADIENT: Final = "gradient_norm"
_BLOCK: Final = 128
_LARGE: Final = 8
"""Blocks in a large one."""
_PER_BUCKET: Final = 4
_MAX_SMOOTHED: Final = 16_384
"""Longer metrics are smoothed as means of blocks."""
_SHARES: Final = {Smoothing.LIGHT: 1 / 80, Smoothing.NORMAL: 1 / 20, Smoothing.STRONG: 1 / 8}


class Axis(StrEnum):
    """What the horizontal axis shows."""

    STEP = "step"
    EPOCH = "epoch"
    TIME = "time"
    PERCENT = "percent"


class Chart(NamedTuple):
    """One chart: a metric, or the two losses together."""

    key: str
    label: str
    columns: tuple[str, ...]
    unit: str = ""
    is_smoothed: bool = True
    can_be_log: bool = False
    """Whether a logarithmic axis applies to it."""


LOSS: Final = Chart("loss", "Loss", (TRAINING, VALIDATION), can_be_log=True)
_CHARTS: Final = (
    LOSS,
    Chart("learning_rate", "Learning rate", ("learning_rate",), is_smoothed=False, can_be_log=True),
    Chart(GRADIENT, "Gradient norm", (GRADIENT,), can_be_log=True),
    Chart("throughput", "Throughput", ("throughput",)),
    Chart("gpu_utilization", "GPU utilisation", ("gpu_utilization",), "%"),
)
NEVER_SMOOTHED: Final = frozenset(
    {
        VALIDATION,
        *(column for chart in _CHARTS if not chart.is_smoothed for column in chart.columns),
    }
)
KNOWN_COLUMNS: Final = tuple(column for chart in _CHARTS for column in chart.columns)


def charts_of(columns: Iterable[str]) -> list[Chart]:
    """The charts of these columns: those that are known in their order, then any other."""
    wanted = list(columns)
    known = [chart for chart in _CHARTS if any(column in wanted for column in chart.columns)]
    others = [column for column in wanted if column not in KNOWN_COLUMNS]
    return [*known, *(Chart(name, label_of(name), (name,)) for name in others)]


def label_of(column: str) -> str:
    """The name of a metric for people: `Training loss`."""
    for chart in _CHARTS:
        if chart.columns == (column,):
            return chart.label
    return column.replace("_", " ").capitalize()


class Reading(NamedTuple):
    """The place of one point of the run."""

    step: float
    epoch: float | None
    seconds: float | None
    """Since the first point."""


class Track:
    """The values of one metric, at the points where it was logged."""

    def __init__(self) -> None:
        self.numbers = array("q")
        """The indices of the points that have a value, ascending."""
        self.values = array("d")
        self.gaps = array("q")
        """Places of values before which something was logged that is no finite number."""
        self.bad = 0
        """How many of those there were."""
        self._interrupted = False
        self._picks = array("q")
        self._large = array("q")
        """The same for each large block."""
        self._means = array("d")
        self._trends: dict[tuple[int, Smoothing], Sequence[float]] = {}

    def __len__(self) -> int:
        return len(self.values)

    def add(self, first: int, values: Sequence[float | None], *, none_is_bad: bool = False) -> None:
        """Add the values of the points from index `first` on; None is a point without one.

        With `none_is_bad` it is one whose value was not a number.
        """
        if not self._interrupted and _is_plain(values):
            self.numbers.extend(range(first, first + len(values)))
            self.values.extend(values)  # type: ignore[arg-type]
        else:
            for number, value in enumerate(values, first):
                self._add_one(number, math.nan if value is None and none_is_bad else value)
        while (len(self._means) + 1) * _BLOCK <= len(self.values):
            self._close_block()

    def _add_one(self, number: int, value: float | None) -> None:
        if value is None:
            return
        if not math.isfinite(value):
            self.bad += 1
            self._interrupted = len(self.values) > 0
            return
        if self._interrupted:
            self.gaps.append(len(self.values))
            self._interrupted = False
        self.numbers.append(number)
        self.values.append(max(-MAX_MAGNITUDE, min(MAX_MAGNITUDE, value)))

    def _close_block(self) -> None:
        start = len(self._means) * _BLOCK
        block = self.values[start : start + _BLOCK]
        low, high = block.index(min(block)), block.index(max(block))
        self._picks.extend(sorted((start, start + low, start + high, start + _BLOCK - 1)))
        self._means.append(sum(block) / _BLOCK)
        if len(self._means) % _LARGE == 0:
            picks = self._picks[-_LARGE * _PER_BUCKET :]
            ends = min(picks, key=self.values.__getitem__), max(picks, key=self.values.__getitem__)
            self._large.extend(sorted((picks[0], *ends, picks[-1])))

    @property
    def ends_bad(self) -> bool:
        """Whether the last thing that was logged is no finite number."""
        return self._interrupted

    def place_at(self, number: int) -> int | None:
        """The place of the last value up to the point with this index; None before the first."""
        place = bisect_right(self.numbers, number) - 1
        return place if place >= 0 else None

    def has_gap_between(self, before: int, after: int) -> bool:
        """Whether something was logged between two places that is no finite number."""
        return bisect_right(self.gaps, before) < bisect_right(self.gaps, after)

    def places_between(self, first: int, last: int) -> range:
        """The places of the values of the points from `first` to `last`, one more at each end."""
        start, end = bisect_left(self.numbers, first), bisect_right(self.numbers, last)
        return range(max(0, start - 1), min(len(self), end + 1))

    def decimate(self, places: Sequence[int], buckets: int) -> list[int]:
        """Choose about four of the places for each bucket; spikes and gaps stay."""
        if len(places) <= _PER_BUCKET * buckets:
            return list(places)
        candidates = self._candidates(places, buckets)
        chosen = {places[0], places[-1]}
        values = self._at(candidates)
        edges = [round(bucket * len(candidates) / buckets) for bucket in range(buckets + 1)]
        for start, end in pairwise(edges):
            some = values[start:end]
            if some:
                low, high = some.index(min(some)), some.index(max(some))
                chosen.update(candidates[start + at] for at in (0, low, high, len(some) - 1))
        first, last = bisect_right(self.gaps, places[0]), bisect_right(self.gaps, places[-1])
        if last - first <= buckets:
            for place in self.gaps[first:last]:
                chosen |= {place - 1, place}
        return sorted(chosen)

    def _candidates(self, places: Sequence[int], buckets: int) -> Sequence[int]:
        """Of a long range the picks of the largest blocks of which each bucket has several."""
        if not isinstance(places, range):
            return places
        for size, picks in ((_BLOCK * _LARGE, self._large), (_BLOCK, self._picks)):
            if len(places) >= 2 * buckets * size:
                first, last = -(-places[0] // size), (places[-1] + 1) // size
                last = min(last, len(picks) // _PER_BUCKET)
                return [
                    *self._candidates(range(places[0], first * size), buckets),
                    *picks[first * _PER_BUCKET : last * _PER_BUCKET],
                    *self._candidates(range(last * size, places[-1] + 1), buckets),
                ]
        return places

    def _at(self, places: Sequence[int]) -> Sequence[float]:
        if isinstance(places, range) and places.step == 1:
            return self.values[places.start : places.stop]
        return [self.values[place] for place in places]

    def smoothed(self, places: Sequence[int], strength: Smoothing) -> Sequence[float]:
        """The values at these places, smoothed over the whole run; as logged with OFF."""
        if strength is Smoothing.OFF:
            return self._at(places)
        line = self._trend(strength)
        if len(self) <= _MAX_SMOOTHED:
            return [line[place] for place in places]
        return [_interpolated(line, (place + 0.5) / _BLOCK - 0.5) for place in places]

    def _trend(self, strength: Smoothing) -> Sequence[float]:
        """One value for each value, of a long metric one for each block."""
        if len(self) > _MAX_SMOOTHED:
            key = (len(self._means), strength)
            column: Sequence[float] = self._means
        else:
            key, column = (len(self), strength), self.values
        if key not in self._trends:
            self._trends = {key: trend(column, _SHARES[strength])}
        return self._trends[key]

    @property
    def best_place(self) -> int | None:
        """The place of the lowest value, the first of several; None without any."""
        return self.values.index(min(self.values)) if self.values else None


class MetricRun:
    """All points of a run as columns. Add points in the order in which they were logged."""

    def __init__(
        self,
        columns: Sequence[str],
        *,
        total_steps: float | None = None,
        total_epochs: float | None = None,
    ) -> None:
        """`columns`: the names of the metrics; the totals are those of the job, if known."""
        self.tracks: Mapping[str, Track] = {name: Track() for name in columns}
        self.steps = array("d")
        """A missing step is the index of its point."""
        self.total_steps = total_steps if total_steps and total_steps > 0 else None
        self.total_epochs = total_epochs if total_epochs and total_epochs > 0 else None
        self._seconds: array[float] | None = array("d")
        self._ascends = {Axis.STEP: True, Axis.TIME: True}
        self._low = self._high = 0.0
        self._epoch_marks: list[tuple[float, float]] = []
        """(step, epoch) of the first point, and of the first one of the last epoch."""
        self._last_epoch: tuple[float, float] | None = None
        self._epochs_are_whole = True

    def __len__(self) -> int:
        return len(self.steps)

    def add(
        self,
        steps: Sequence[float | None],
        epochs: Sequence[float | None],
        seconds: Sequence[float | None],
        values: Mapping[str, Sequence[float | None]],
    ) -> None:
        """Add points, column by column; all columns have the same length.

        `seconds` are those since the first point of the run.
        """
        first = len(self)
        filled = [
            float(first + at) if step is None or not math.isfinite(step) else _clamped(step)
            for at, step in enumerate(steps)
        ]
        if not filled:
            return
        before = self.steps[-1:]
        self._ascends[Axis.STEP] &= _ascends([*before, *filled])
        low, high = min(filled), max(filled)
        self._low = low if not first else min(self._low, low)
        self._high = high if not first else max(self._high, high)
        self.steps.extend(filled)
        self._add_seconds(seconds)
        self._note_epochs(filled, epochs)
        gradients = values.get(GRADIENT)
        for name, column in values.items():
            shown = column
            if name == TRAINING and gradients is not None and 0.0 in column:
                shown = [usable_loss(*pair) for pair in zip(column, gradients, strict=True)]
            self.tracks[name].add(first, shown, none_is_bad=name == TRAINING)

    def _add_seconds(self, seconds: Sequence[float | None]) -> None:
        if self._seconds is None:
            return
        if not _is_plain(seconds):
            self._seconds = None  # without all times there is no axis of time
            return
        known: list[float] = [*self._seconds[-1:], *seconds]  # type: ignore[list-item]
        self._ascends[Axis.TIME] &= _ascends(known)
        self._seconds.extend(seconds)  # type: ignore[arg-type]

    def _note_epochs(self, steps: Sequence[float], epochs: Sequence[float | None]) -> None:
        last = self._last_epoch
        if last is not None and epochs.count(last[1]) == len(epochs):
            self._last_epoch = (steps[-1], last[1])
            return
        for step, epoch in zip(steps, epochs, strict=True):
            if epoch is None or not math.isfinite(epoch) or epoch < 0:
                continue
            self._epochs_are_whole &= epoch == int(epoch)
            if len(self._epoch_marks) < 2 or epoch > self._epoch_marks[-1][1]:
                self._epoch_marks = [*self._epoch_marks[:1], (step, epoch)]
            self._last_epoch = (step, epoch)

    # Axes ---------------------------------------------------------------------------------------

    @property
    def has_times(self) -> bool:
        """Whether it can be drawn over time."""
        seconds = self._seconds
        return seconds is not None and len(seconds) > 1 and seconds[-1] > seconds[0]

    @property
    def axes(self) -> list[Axis]:
        """The axes that this run has, in the order of the enumeration."""
        has = {
            Axis.STEP: True,
            Axis.EPOCH: self.epochs_per_step is not None,
            Axis.TIME: self.has_times,
            Axis.PERCENT: self._high > min(0.0, self._low),
        }
        return [axis for axis in Axis if has[axis]]

    @property
    def epochs_per_step(self) -> float | None:
        """What one step is of an epoch; None where nothing tells.

        Whole epochs say only when the next one has begun.
        """
        if self.total_epochs and self.total_steps:
            return self.total_epochs / self.total_steps
        if not self._epochs_are_whole and self._last_epoch and self._last_epoch[0] > 0:
            return self._last_epoch[1] / self._last_epoch[0] or None
        if len(self._epoch_marks) == 2:
            (first, from_epoch), (last, to_epoch) = self._epoch_marks
            if last > first and to_epoch > from_epoch:
                return (to_epoch - from_epoch) / (last - first)
        return None

    def scale(self, axis: Axis) -> float:
        """What the axis shows for one step, or for one second."""
        if axis is Axis.EPOCH:
            return self.epochs_per_step or 1.0
        if axis is Axis.PERCENT:
            return 100.0 / (max(self.total_steps or 0.0, self._high) or 1.0)
        return 1.0

    def xs(self, axis: Axis) -> array[float]:
        """The place of each point: seconds with TIME, else steps; see `scale`."""
        if axis is Axis.TIME and self._seconds is not None and self.has_times:
            return self._seconds
        return self.steps

    def extent(self, axis: Axis) -> tuple[float, float]:
        """The least and the greatest place; with PERCENT and EPOCH up to the end of the job."""
        if axis is Axis.TIME and self._seconds is not None and self.has_times:
            ends = self._seconds[0], self._seconds[-1]
            return (min(ends), max(ends)) if self._ascends[Axis.TIME] else _ends(self._seconds)
        if axis in (Axis.PERCENT, Axis.EPOCH):
            return min(0.0, self._low), max(self._high, self.total_steps or 0.0)
        return self._low, self._high

    def numbers_in(self, low: float, high: float, axis: Axis) -> Sequence[int]:
        """The indices of the points in a range of places, ascending."""
        xs = self.xs(axis)
        ascends = self._ascends[Axis.TIME if xs is not self.steps else Axis.STEP]
        if not ascends:
            return [number for number, at in enumerate(xs) if low <= at <= high]
        return range(bisect_left(xs, low), bisect_right(xs, high))

    def place_of(self, number: int) -> Reading:
        """Step, epoch and time of one point."""
        step, per_step = self.steps[number], self.epochs_per_step
        seconds = self._seconds[number] if self.has_times and self._seconds else None
        return Reading(step, None if per_step is None else step * per_step, seconds)

    # Metrics ------------------------------------------------------------------------------------

    @property
    def charts(self) -> list[Chart]:
        """The charts of the metrics that were logged, also those without one finite value."""
        return charts_of(name for name, track in self.tracks.items() if len(track) or track.bad)

    def visible_places(
        self, track: Track, window: tuple[float, float] | None, axis: Axis, buckets: int
    ) -> list[int]:
        """The decimated places of a metric in a range, and one more at each end."""
        if window is None:
            return track.decimate(range(len(track)), buckets)
        numbers = self.numbers_in(*window, axis)
        if not numbers:
            return []
        if isinstance(numbers, range):
            return track.decimate(track.places_between(numbers[0], numbers[-1]), buckets)
        wanted = set(numbers)
        return track.decimate(
            [place for place, number in enumerate(track.numbers) if number in wanted], buckets
        )


def _interpolated(line: Sequence[float], at: float) -> float:
    if at <= 0:
        return line[0]
    if at >= len(line) - 1:
        return line[-1]
    before = int(at)
    part = at - before
    return line[before] * (1 - part) + line[before + 1] * part


def _is_plain(values: Sequence[float | None]) -> bool:
    """Whether all are finite numbers of an ordinary size."""
    try:
        low, high = min(values), max(values)  # type: ignore[type-var]
        total = sum(values)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return math.isfinite(total) and low >= -MAX_MAGNITUDE and high <= MAX_MAGNITUDE  # type: ignore[operator]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _ascends(values: Sequence[float]) -> bool:
    return all(before <= after for before, after in pairwise(values))


def _clamped(value: float) -> float:
    return max(-MAX_MAGNITUDE, min(MAX_MAGNITUDE, value))
