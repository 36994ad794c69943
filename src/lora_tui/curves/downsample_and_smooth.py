"""Down-samples loss curves without changing their shape, and smooths them.

Pure functions. Losses are in nats a token.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from statistics import median
from typing import Final

from lora_tui.domain import CurvePoint

_WIDE_HALF: Final = 250
"""A window at least twice as wide as this is computed from medians of short stretches."""


def downsample(points: Sequence[CurvePoint], limit: int) -> list[CurvePoint]:
    """Choose at most `limit` points that keep the shape of the curve; `limit` is at least 3.

    Largest-Triangle-Three-Buckets (S. Steinarsson, "Downsampling Time Series for Visual
    Representation", 2013): the first and the last point are kept. Of each bucket between
    them the point is kept that spans the largest triangle with the previously kept point and the
    mean of the next bucket. The last validation loss of a bucket and its gap are moved to the kept
    point, because few points have one.
    """
    limit = max(3, limit)
    if len(points) <= limit:
        return list(points)
    kept = [points[0]]
    inner = limit - 2
    width = (len(points) - 2) / inner
    for bucket in range(inner):
        start, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        following = points[end : min(int((bucket + 2) * width) + 1, len(points))] or points[-1:]
        mean_step = sum(point.step for point in following) / len(following)
        mean_loss = sum(point.training_loss for point in following) / len(following)
        anchor = kept[-1]
        chosen = max(
            points[start:end],
            key=lambda point: abs(
                (anchor.step - mean_step) * (point.training_loss - anchor.training_loss)
                - (anchor.step - point.step) * (mean_loss - anchor.training_loss)
            ),
        )
        kept.append(_for_bucket(chosen, points[start:end]))
    kept.append(points[-1])
    return kept


def trend(losses: Sequence[float], share: float = 1 / 20) -> list[float]:
    """Average each loss with its neighbours on both sides, with exponential weights.

    The weights cover about `share` of the run. Averaging in both directions avoids a lag behind the
    curve.
    """
    weight = 1 - 1 / max(1.0, len(losses) * share / 2)
    totals, shares = [0.0] * len(losses), [0.0] * len(losses)
    for order in (range(len(losses)), range(len(losses) - 1, -1, -1)):
        total, weights = 0.0, 0.0
        for index in order:
            total = total * weight + losses[index]
            weights = weights * weight + 1.0
            totals[index] += total
            shares[index] += weights
    return [
        (total - loss) / (weights - 1.0)
        for loss, total, weights in zip(losses, totals, shares, strict=True)
    ]


def rolling_median(values: Sequence[float], half: int) -> list[float]:
    """For each value the median of it and of `half` neighbours on each side, fewer at the ends.

    Outliers do not change it, so that spikes can be measured against it.
    """
    window = sorted(values[: half + 1])
    medians = []
    for index in range(len(values)):
        middle = len(window) // 2
        is_odd = len(window) % 2
        medians.append(window[middle] if is_odd else (window[middle - 1] + window[middle]) / 2)
        if index - half >= 0:
            del window[bisect_left(window, values[index - half])]
        if index + half + 1 < len(values):
            insort(window, values[index + half + 1])
    return medians


def rolling_level(values: Sequence[float], half: int) -> list[float]:
    """An approximate `rolling_median` whose cost does not grow with the width of the window.

    A wide window is the median over medians of short stretches.
    """
    length = half // _WIDE_HALF
    if length < 2:
        return rolling_median(values, half)
    starts = range(0, len(values), length)
    medians = rolling_median(
        [median(values[start : start + length]) for start in starts], half // length
    )
    return [medians[index // length] for index in range(len(values))]


def _for_bucket(chosen: CurvePoint, bucket: Sequence[CurvePoint]) -> CurvePoint:
    """The chosen point with the last validation loss and the gap of its bucket."""
    validation = chosen.validation_loss
    if validation is None:
        losses = (p.validation_loss for p in reversed(bucket) if p.validation_loss is not None)
        validation = next(losses, None)
    gap = any(point.after_gap for point in bucket)
    if (validation, gap) == (chosen.validation_loss, chosen.after_gap):
        return chosen
    return CurvePoint(chosen.step, chosen.training_loss, validation, gap)
