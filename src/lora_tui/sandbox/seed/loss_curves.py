"""Synthetic loss curves: noisy, believable, and the same for the same random generator.

Each family is a typical course of fine-tuning. Losses are in nats per token.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

# Family → (loss at the start, floor that it approaches, how many times it decays over the run)
_SHAPES: Final = {
    "excellent": (2.45, 0.82, 5.0),
    "good": (2.30, 1.32, 4.5),
    "fair": (2.05, 1.58, 4.0),
    "poor": (1.92, 1.73, 3.0),
    "overfit": (2.20, 0.42, 3.6),
    "diverged": (2.35, 1.20, 5.0),
    "plateaued": (2.10, 1.44, 30.0),
    "spiky": (2.40, 0.98, 4.5),
    "sparse_validation": (2.38, 0.95, 5.0),
    "not_a_number": (2.28, 1.15, 5.0),
}
_WARM_UP: Final = 0.05
_NOT_A_NUMBER_FROM: Final = 0.97


@dataclass(frozen=True)
class Point:
    """One logged point; `progress` runs from 0 to 1 over the whole run."""

    progress: float
    training_loss: float
    validation_loss: float | None
    learning_rate: float
    gradient_norm: float


def make_curve(
    family: str,
    count: int,
    *,
    epochs: int,
    peak_learning_rate: float,
    randomness: random.Random,
    until: float = 1.0,
) -> list[Point]:
    """`count` points of a run of this family, from its start to the fraction `until`."""
    start, floor, decays = _SHAPES[family]
    start *= randomness.uniform(0.95, 1.05)
    floor *= randomness.uniform(0.95, 1.05)
    gap = randomness.uniform(0.03, 0.12)
    every = max(2, count // 24) if family == "sparse_validation" else max(1, count // 120)
    # noise of small batches, correlated with the previous point
    noise, roughness = 0.0, (0.035 if family != "spiky" else 0.05)
    gauss, chance = randomness.gauss, randomness.random
    points = []
    for index in range(count):
        progress = until * (index / (count - 1) if count > 1 else 1.0)
        level = _level(family, progress, start, floor, decays, epochs)
        noise = 0.55 * noise + gauss(0.0, roughness)
        training = level * (1.0 + noise * (0.45 if index in (0, count - 1) else 1.0))
        if family == "spiky" and chance() < 0.03:
            training += randomness.uniform(0.6, 2.4)
        last = index == count - 1
        validation = None
        if index % every == 0 or (last and family in {"overfit", "good", "fair", "poor"}):
            validation = max(
                0.05, _validation(family, progress, level, start, gap) * (1 + gauss(0.0, 0.008))
            )
        if last and family == "sparse_validation":
            validation = None
        if family == "not_a_number" and progress > _NOT_A_NUMBER_FROM:
            training, validation = math.nan, None
        points.append(
            Point(
                progress,
                training if math.isnan(training) else max(0.02, round(training, 6)),
                None if validation is None else round(validation, 6),
                _learning_rate(progress, peak_learning_rate),
                round(abs(gauss(0.9, 0.25)) + _divergence(family, progress), 4),
            )
        )
    return points


def _level(
    family: str, progress: float, start: float, floor: float, decays: float, epochs: int
) -> float:
    """The training loss without its noise."""
    level = floor + (start - floor) * math.exp(-decays * max(0.0, progress - _WARM_UP / 2))
    if progress < _WARM_UP:
        # warm-up: the loss rises a little before it falls
        level += 0.16 * math.sin(math.pi * progress / _WARM_UP)
    # a small step down at each new epoch, whose examples are known
    level -= 0.02 * (start - floor) * math.floor(progress * epochs * 0.9999)
    if family == "diverged" and progress > 0.55:
        level += 5.5 * (1 - math.exp(-9.0 * (progress - 0.55)))
    if family == "not_a_number" and progress > 0.8:
        level += 14.0 * (progress - 0.8)
    return level


def _validation(family: str, progress: float, level: float, start: float, gap: float) -> float:
    if family == "overfit":
        # best near 30 % of the run, then rising while the training loss falls
        falling = start * (0.58 + 0.42 * math.exp(-9.0 * progress))
        return falling + 1.15 * math.pow(max(0.0, progress - 0.3), 1.25)
    return level + gap * (0.4 + progress)


def _learning_rate(progress: float, peak: float) -> float:
    if progress < _WARM_UP:
        return float(f"{peak * (progress / _WARM_UP):.6g}")
    rest = (progress - _WARM_UP) / (1 - _WARM_UP)
    return float(f"{peak * 0.5 * (1 + math.cos(math.pi * rest)):.6g}")


def _divergence(family: str, progress: float) -> float:
    if family in {"diverged", "not_a_number"} and progress > 0.55:
        return 30.0 * (progress - 0.55)
    return 0.0
