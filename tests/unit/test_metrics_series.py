"""The metrics of a run as columns: gaps, spikes, axes, and any number of points."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from lora_tui.curves.metrics_series import Axis, MetricRun, Track, charts_of
from lora_tui.curves.series import Smoothing


def track(values: Sequence[float | None]) -> Track:
    made = Track()
    made.add(0, values)
    return made


def run_of(
    losses: Sequence[float | None],
    *,
    steps: Sequence[float | None] | None = None,
    epochs: Sequence[float | None] | None = None,
    seconds: Sequence[float | None] | None = None,
    **totals: float,
) -> MetricRun:
    run = MetricRun(["training_loss"], **totals)
    count = len(losses)
    run.add(
        steps or [10.0 * n for n in range(count)],
        epochs or [None] * count,
        seconds or [float(n) for n in range(count)],
        {"training_loss": losses},
    )
    return run


@pytest.mark.parametrize("count", [10, 1_000, 200_000])
def test_a_spike_is_drawn_however_long_the_run(count: int) -> None:
    values = [1.0 + 0.1 * math.sin(n) for n in range(count)]
    values[count * 2 // 3] = 50.0
    values[count // 3] = -7.0
    made = track(values)
    chosen = made.decimate(range(count), 200)
    assert {count * 2 // 3, count // 3, 0, count - 1} <= set(chosen)
    assert len(chosen) <= max(count, 4) if count <= 800 else len(chosen) <= 900


def test_points_that_come_later_give_the_same_as_all_at_once() -> None:
    chance = random.Random(1)
    values = [chance.choice([chance.random(), None, math.nan]) for _ in range(5_000)]
    whole, grown = track(values), Track()
    for first in range(0, 5_000, 77):
        grown.add(first, values[first : first + 77])
    assert (whole.numbers, whole.values, whole.gaps, whole.bad) == (
        grown.numbers,
        grown.values,
        grown.gaps,
        grown.bad,
    )
    assert whole.decimate(range(len(whole)), 10) == grown.decimate(range(len(grown)), 10)


def test_what_is_no_number_is_a_gap_and_what_was_not_logged_is_none() -> None:
    made = track([1.0, math.nan, math.inf, 2.0, None, 3.0])
    assert list(made.values) == [1.0, 2.0, 3.0]
    assert made.bad == 2
    assert made.has_gap_between(0, 1)
    assert not made.has_gap_between(1, 2)
    assert track([1.0, math.nan]).ends_bad


def test_a_loss_of_zero_beside_a_gradient_that_is_no_number_is_a_gap() -> None:
    run = MetricRun(["training_loss", "gradient_norm"])
    columns = {"training_loss": [1.0, 0.0, 0.0], "gradient_norm": [1.0, math.nan, 0.5]}
    run.add([1.0, 2.0, 3.0], [None] * 3, [None] * 3, columns)
    assert list(run.tracks["training_loss"].values) == [1.0, 0.0]
    assert run.tracks["training_loss"].bad == 1


def test_epochs_are_told_by_the_totals_by_fractions_or_by_two_beginnings() -> None:
    losses = [1.0] * 6
    assert run_of(losses, total_steps=100, total_epochs=2).epochs_per_step == pytest.approx(0.02)
    fractions = [n / 5 for n in range(6)]
    assert run_of(losses, epochs=fractions).epochs_per_step == pytest.approx(0.02)
    assert run_of(losses, epochs=[1, 1, 1, 2, 2, 2]).epochs_per_step == pytest.approx(1 / 30)
    alone = run_of(losses, epochs=[1] * 6)
    assert alone.epochs_per_step is None
    assert Axis.EPOCH not in alone.axes


def test_without_all_times_there_is_no_axis_of_time() -> None:
    assert Axis.TIME in run_of([1.0, 2.0]).axes
    assert Axis.TIME not in run_of([1.0, 2.0], seconds=[0.0, None]).axes
    assert Axis.TIME not in run_of([1.0]).axes


def test_percent_reaches_to_the_end_of_the_job() -> None:
    run = run_of([1.0] * 11, total_steps=400)
    assert run.extent(Axis.PERCENT) == (0.0, 400.0)
    assert 100 * run.scale(Axis.PERCENT) == pytest.approx(25.0)
    beyond = run_of([1.0] * 11, total_steps=40)
    assert beyond.extent(Axis.PERCENT) == (0.0, 100.0)


def test_steps_that_are_missing_or_go_back_find_their_points() -> None:
    run = run_of([1.0] * 5, steps=[None, 5.0, 3.0, math.nan, 4.0])
    assert list(run.steps) == [0.0, 5.0, 3.0, 3.0, 4.0]
    assert list(run.numbers_in(3.0, 4.0, Axis.STEP)) == [2, 3, 4]


@pytest.mark.parametrize("count", [1, 50, 40_000])
def test_the_stronger_the_smoothing_the_calmer_the_line(count: int) -> None:
    chance = random.Random(count)
    made = track([1 + chance.random() for _ in range(count)])
    places = range(0, count, max(1, count // 500))

    def restlessness(strength: Smoothing) -> float:
        line = made.smoothed(places, strength)
        assert len(line) == len(places)
        return sum(abs(a - b) for a, b in pairwise(line))

    found = [restlessness(strength) for strength in Smoothing]
    assert found == sorted(found, reverse=True)


def test_a_metric_that_this_version_does_not_know_has_a_chart_of_its_own() -> None:
    assert [chart.label for chart in charts_of(["tokens_seen", "training_loss"])] == [
        "Loss",
        "Tokens seen",
    ]
