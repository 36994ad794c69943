"""Whatever part of a curve is shown, nothing that stands out is lost, and little is drawn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.curves.series import Logged, Series
from lora_tui.domain import CurvePoint

losses = st.floats(-1e6, 1e6)
points = st.lists(st.tuples(losses, st.none() | losses), min_size=1, max_size=400).map(
    lambda rows: [CurvePoint(float(n), loss, other) for n, (loss, other) in enumerate(rows)]
)


@given(points, st.integers(1, 40), st.integers(0, 399), st.integers(0, 399))
def test_decimation_keeps_ends_extremes_and_order(
    curve: list[CurvePoint], buckets: int, one: int, other: int
) -> None:
    series = Series.from_points(curve)
    first, last = sorted((min(one, len(curve) - 1), min(other, len(curve) - 1)))
    numbers = series.decimate(range(first, last + 1), buckets)
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (first, last)
    assert len(numbers) <= 8 * buckets + 2
    for values in ([p.training_loss for p in curve], [p.validation_loss for p in curve]):
        known = [v for v in values[first : last + 1] if v is not None]
        kept = [values[n] for n in numbers if values[n] is not None]
        if known:
            assert (min(kept), max(kept)) == (min(known), max(known))


@given(points, st.floats(-10, 410), st.floats(0, 300))
def test_a_range_has_its_points_and_one_beyond_each_end(
    curve: list[CurvePoint], low: float, width: float
) -> None:
    series = Series.from_points(curve)
    part = list(series.indices_in(low, low + width))
    inside = [n for n in range(len(curve)) if low <= n <= low + width]
    assert set(inside) <= set(part)
    assert len(part) <= len(inside) + 2


def test_a_range_of_steps_that_are_not_ascending_is_complete() -> None:
    series = Series.from_points([CurvePoint(step, 1.0) for step in (0.0, 10.0, 20.0, 5.0, 15.0)])
    assert list(series.indices_in(4.0, 12.0)) == [1, 3]


@pytest.mark.slow
def test_a_spike_in_a_very_long_run_is_visible_at_any_zoom() -> None:
    rows = [Logged(float(n), 1.0, 2.0 if n % 1000 == 0 else None, n * 2.0) for n in range(150_000)]
    rows[77_777] = Logged(77_777.0, 9.0, None, 155_554.0)
    series = Series.from_logged(rows)
    for low, high in ((0, 150_000), (70_000, 80_000), (77_000, 78_000)):
        numbers = series.decimate(series.indices_in(low, high), 200)
        assert 77_777 in numbers
        assert len(numbers) <= 8 * 200 + 2
    assert series.reading(77_777).validation_step == 77_000.0
    assert series.reading(77_777).seconds == 155_554.0


@pytest.mark.parametrize("seconds", [[0.0, None, 2.0], [0.0, 0.0, 0.0], [0.0, 5.0, 4.0]], ids=str)
def test_times_that_do_not_advance_are_ignored(seconds: list[float | None]) -> None:
    series = Series.from_logged([Logged(float(n), 1.0, None, s) for n, s in enumerate(seconds)])
    assert series.seconds is None


def test_points_that_are_not_finite_are_skipped_and_missing_steps_are_numbered() -> None:
    series = Series.from_logged(
        [
            Logged(None, 2.0, None),
            Logged(1.0, None, 1.0),
            Logged(2.0, math.nan, 1.0),
            Logged(math.inf, 1.0, 1.0),
            Logged(None, 1.0, math.inf),
        ]
    )
    assert list(series.steps) == [0.0, 4.0]
    assert series.best_index is None
