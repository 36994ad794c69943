"""A down-sampled curve looks like the curve."""

from __future__ import annotations

import math
import random
from statistics import median

from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.curves.downsample_and_smooth import downsample, rolling_level, rolling_median, trend
from lora_tui.domain import CurvePoint

losses = st.floats(-1e6, 1e6)
curves = st.lists(losses, max_size=400).map(
    lambda values: [CurvePoint(float(step), value) for step, value in enumerate(values)]
)


@given(curves, st.integers(3, 60))
def test_downsampling_keeps_ends_order_and_limit(curve: list[CurvePoint], limit: int) -> None:
    kept = downsample(curve, limit)
    assert len(kept) == min(limit, len(curve))
    assert [p.step for p in kept] == sorted(p.step for p in kept)
    if curve:
        assert (kept[0], kept[-1]) == (curve[0], curve[-1])


def test_downsampling_keeps_a_single_spike() -> None:
    curve = [CurvePoint(float(step), 1.0) for step in range(3000)]
    curve[1234] = CurvePoint(1234.0, 9.0)
    assert max(p.training_loss for p in downsample(curve, 100)) == 9.0


def test_downsampling_keeps_rare_validation_losses() -> None:
    curve = [
        CurvePoint(float(step), 3.0 - step / 1000, 2.5 if step % 250 == 0 else None)
        for step in range(2000)
    ]
    kept = [p for p in downsample(curve, 50) if p.validation_loss is not None]
    assert len(kept) == 8


def test_the_trend_of_a_constant_is_the_constant() -> None:
    assert all(math.isclose(value, 2.0) for value in trend([2.0] * 50))


@given(st.lists(losses, min_size=1, max_size=50))
def test_a_trend_stays_between_the_extremes(values: list[float]) -> None:
    slack = 1e-6 * max(1.0, *(abs(value) for value in values))
    for value in trend(values):
        assert min(values) - slack <= value <= max(values) + slack


@given(st.lists(losses, max_size=80), st.integers(0, 20))
def test_a_rolling_median_is_the_median_of_the_neighbours(values: list[float], half: int) -> None:
    assert rolling_median(values, half) == [
        median(values[max(0, index - half) : index + half + 1]) for index in range(len(values))
    ]


def test_the_rolling_level_of_a_long_curve_is_close_to_its_rolling_median() -> None:
    randomness = random.Random(3)
    curve = [3.0 - index / 10_000 + randomness.gauss(0.0, 0.1) for index in range(12_000)]
    curve[6_000] = 90.0
    level, exact = rolling_level(curve, 600), rolling_median(curve, 600)
    assert max(abs(a - b) for a, b in zip(level, exact, strict=True)) < 0.03


@given(st.lists(losses, min_size=1, max_size=1_500), st.integers(0, 1_000))
@settings(max_examples=25)
def test_a_level_stays_between_the_extremes(values: list[float], half: int) -> None:
    level = rolling_level(values, half)
    assert len(level) == len(values)
    assert min(values) <= min(level)
    assert max(level) <= max(values)
