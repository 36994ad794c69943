"""The curve of a run that still goes on, drawn from each new point alone.

Drawing a curve from all of its points takes as long as they are many; with fifty runs that grow
every few seconds that is too much. Here every kept point stands for equally many logged ones. Once
there are too many, of four neighbours the lowest and the highest stay, and each stands for twice as
many.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from lora_tui.domain import CurvePoint, finite, usable_loss


class GrowingCurve:
    """At most `limit` points that keep the shape of a run of any length."""

    def __init__(self, limit: int) -> None:
        self._limit = max(8, limit)
        self._kept: list[CurvePoint] = []
        self._stride = 1
        """How many points that can be drawn a kept one stands for."""
        self._open: list[CurvePoint] = []
        """The last ones, fewer than a stride."""
        self._logged = 0
        self._gap = False

    def add(
        self,
        step: float | None,
        training_loss: float | None,
        validation_loss: float | None,
        gradient_norm: float | None,
    ) -> None:
        """Add the next logged point; one whose loss is not a number leaves a gap."""
        at = float(self._logged) if step is None else step
        self._logged += 1
        loss = usable_loss(training_loss, gradient_norm)
        if loss is None:
            self._gap = bool(self._kept or self._open)
            return
        self._open.append(CurvePoint(at, loss, finite(validation_loss), self._gap))
        self._gap = False
        if len(self._open) >= self._stride:
            self._kept.append(self._standing_for(self._open))
            self._open = []
            if len(self._kept) > self._limit - 4:
                self._kept = _halved(self._kept)
                self._stride *= 2

    def points(self) -> list[CurvePoint]:
        """The curve so far; its last point is the last one that can be drawn."""
        if not self._open:
            return self._kept
        if len(self._open) <= 2:
            return [*self._kept, *self._open]
        return [*self._kept, self._standing_for(self._open[:-1]), self._open[-1]]

    def _standing_for(self, points: Sequence[CurvePoint]) -> CurvePoint:
        """The point that is farthest from what is usual among them and the last kept one."""
        if len(points) == 1:
            return points[0]
        losses = [point.training_loss for point in (*self._kept[-1:], *points)]
        usual = median(losses)
        places = range(len(points))
        return _with_others(points, max(places, key=lambda n: abs(points[n].training_loss - usual)))


def _halved(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """Of each four points the lowest and the highest, in their order; the last point stays."""
    halved = []
    for start in range(0, len(points), 4):
        four = points[start : start + 4]
        places = range(len(four))
        lowest = min(places, key=lambda place: four[place].training_loss)
        highest = max(places, key=lambda place: four[place].training_loss)
        first, second = sorted((lowest, highest))
        if first == second:  # all are equal
            second = len(four) - 1
        halved += [_with_others(four[: first + 1], first)]
        if second > first:
            halved += [_with_others(four[first + 1 :], second - first - 1)]
    return halved


def _with_others(points: Sequence[CurvePoint], chosen: int) -> CurvePoint:
    """The chosen point with the last validation loss of all, and the gap before any."""
    validated = [p.validation_loss for p in points if p.validation_loss is not None]
    return CurvePoint(
        points[chosen].step,
        points[chosen].training_loss,
        validated[-1] if validated else None,
        any(point.after_gap for point in points),
    )
