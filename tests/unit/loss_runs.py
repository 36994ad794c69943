"""Loss curves whose truth is known because it was put in: what an opinion must tell apart."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_tui.domain import CurvePoint
from lora_tui.opinion import Kind

Shape = Callable[[float], float]
"""From the share of the run to the loss, without noise."""


@dataclass(frozen=True)
class Family:
    """A way for a run to go, and what is true of it."""

    name: str
    make: Callable[[random.Random], Sequence[CurvePoint]]
    truth: frozenset[Kind] = frozenset()
    """Of `JUDGED`, those that should be found; the others should not."""


JUDGED = (Kind.SPIKES, Kind.PLATEAU, Kind.DIVERGENCE, Kind.OVERFIT, Kind.NOT_A_NUMBER)


def falling(
    randomness: random.Random,
    *,
    noise: float,
    memory: float = 0.0,
    decays: tuple[float, float] = (2.0, 5.0),
    reduction: tuple[float, float] = (0.3, 0.75),
    validated: bool = True,
) -> list[CurvePoint]:
    """200 to 3,000 points that decay with relative noise, which may remember the point before."""
    count = round(200 * 15 ** randomness.random())
    start = randomness.uniform(1.5, 3.0)
    floor = start * (1 - randomness.uniform(*reduction))
    rate = randomness.uniform(*decays)
    every = max(1, count // randomness.randint(10, 60))
    points, drift = [], 0.0
    for index in range(count):
        level = floor + (start - floor) * math.exp(-rate * index / (count - 1))
        drift = memory * drift + randomness.gauss(0.0, noise * math.sqrt(1 - memory**2))
        validation = level * (1.05 + randomness.gauss(0.0, 0.01)) if index % every == 0 else None
        points.append(
            CurvePoint(index * 10.0, level * (1 + drift), validation if validated else None)
        )
    return points


def with_spikes(randomness: random.Random) -> list[CurvePoint]:
    """Three to ten of them, each at least 15 times the noise."""
    points = falling(randomness, noise=0.02)
    for place in range(number := randomness.randint(3, 10)):
        share = (place + randomness.uniform(0.2, 0.8)) / number
        index = min(len(points) - 20, max(20, int(share * len(points))))
        point = points[index]
        height = point.training_loss * randomness.uniform(0.35, 1.5)
        points[index] = CurvePoint(point.step, point.training_loss + height, point.validation_loss)
    return points


def diverging(randomness: random.Random) -> list[CurvePoint]:
    """It turns at 40 to 80 % of the run and loses 70 % or more of what it had learned."""
    points = falling(randomness, noise=0.03, decays=(3.0, 5.0))
    turn = int(len(points) * randomness.uniform(0.4, 0.8))
    gained = points[0].training_loss - points[turn].training_loss
    rise = gained * randomness.uniform(0.9, 2.0)
    ramp = (len(points) - turn) * 0.5
    return [
        CurvePoint(
            point.step,
            point.training_loss + rise * min(1.0, max(0, index - turn) / ramp),
            None,
        )
        for index, point in enumerate(points)
    ]


def overfitting(randomness: random.Random) -> list[CurvePoint]:
    """The validation loss turns at 25 to 60 % and ends 15 to 80 % above its best."""
    points = falling(randomness, noise=0.03, decays=(3.0, 5.0))
    turn = randomness.uniform(0.25, 0.6)
    rise = randomness.uniform(0.15, 0.8)
    last = len(points) - 1
    at_turn = points[int(last * turn)].training_loss
    result = []
    for index, point in enumerate(points):
        validation = point.validation_loss
        late = index / last - turn
        if validation is not None and late > 0:
            risen = at_turn * 1.05 * (1 + rise * late / (1 - turn))
            validation = risen * (1 + randomness.gauss(0.0, 0.01))
        result.append(CurvePoint(point.step, point.training_loss, validation))
    return result


def breaking(randomness: random.Random) -> list[CurvePoint]:
    """Not a number from somewhere in the last tenth on."""
    points = falling(randomness, noise=0.03)
    first = int(len(points) * randomness.uniform(0.9, 0.99))
    return [
        point if index < first else CurvePoint(point.step, math.nan, None)
        for index, point in enumerate(points)
    ]


def _ordinary(name: str, **options: float) -> Family:
    return Family(name, lambda randomness: falling(randomness, **options))


FAMILIES = (
    _ordinary("no noise", noise=0.0),
    _ordinary("noise 1 %", noise=0.01),
    _ordinary("noise 3 %", noise=0.03),
    _ordinary("noise 6 %", noise=0.06),
    _ordinary("noise 12 %", noise=0.12),
    _ordinary("noise 5 % with memory", noise=0.05, memory=0.55),
    Family(
        "nearly straight",
        lambda randomness: falling(randomness, noise=0.03, decays=(0.2, 1.0)),
    ),
    Family(
        "learns nothing",
        lambda randomness: falling(randomness, noise=0.04, reduction=(0.0, 0.02)),
    ),
    Family(
        "plateau",
        lambda randomness: falling(randomness, noise=0.03, decays=(15.0, 40.0)),
        frozenset({Kind.PLATEAU}),
    ),
    Family("spikes", with_spikes, frozenset({Kind.SPIKES})),
    Family("diverging", diverging, frozenset({Kind.DIVERGENCE})),
    Family("overfitting", overfitting, frozenset({Kind.OVERFIT})),
    Family("not a number", breaking, frozenset({Kind.NOT_A_NUMBER})),
)
