"""Rank statistics: against their definitions, and an interval that covers what it says."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.reports.rank_statistics import (
    average_ranks,
    chi_square_tail,
    differences,
    spearman,
)

VALUES = st.integers(-5, 5)  # few different ones: ties
TRIALS = 200
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=4, max_size=25)


def ranks_by_definition(values: Sequence[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (1 + sum(other == value for other in values)) / 2
        for value in values
    ]


def pearson(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread_x = sum((x - mean_x) ** 2 for x in xs)
    spread_y = sum((y - mean_y) ** 2 for y in ys)
    if not spread_x or not spread_y:
        return None
    product = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return product / math.sqrt(spread_x * spread_y)


@given(PAIRS)
def test_rho_is_the_correlation_of_the_ranks(pairs: list[tuple[int, int]]) -> None:
    xs, ys = zip(*pairs, strict=True)
    assert average_ranks(xs) == ranks_by_definition(xs)
    expected = pearson(ranks_by_definition(xs), ranks_by_definition(ys))
    found = spearman(xs, ys)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.rho == pytest.approx(expected, abs=1e-9)
        assert -1 <= found.low <= found.rho <= found.high <= 1
        assert 0 < found.chance <= 1


@given(PAIRS)
def test_a_monotone_transformation_changes_nothing(pairs: list[tuple[int, int]]) -> None:
    xs, ys = zip(*pairs, strict=True)
    found = spearman(xs, ys)
    assert spearman([math.exp(x) for x in xs], [y**3 + 7 for y in ys]) == found
    mirrored = spearman([-x for x in xs], ys)
    assert (found is None) == (mirrored is None)
    if found and mirrored:
        assert mirrored[:3] == pytest.approx((-found.rho, -found.high, -found.low))


@given(PAIRS, st.data())
def test_the_order_of_runs_and_a_shift_of_a_group_change_no_pooled_rho(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    groups = data.draw(st.lists(st.sampled_from("abc"), min_size=len(pairs), max_size=len(pairs)))
    xs, ys = zip(*pairs, strict=True)
    found = spearman(xs, ys, groups)
    shifted = [y + 100 * ord(group) for y, group in zip(ys, groups, strict=True)]
    moved = spearman(xs, shifted, groups)
    assert (found is None) == (moved is None)
    if found and moved:
        assert moved.rho == pytest.approx(found.rho)


def test_a_relation_between_groups_alone_is_none_within_them() -> None:
    draw = random.Random(4)
    groups = [number % 3 for number in range(90)]
    xs = [10 * group + draw.random() for group in groups]
    ys = [10 * group + draw.random() for group in groups]
    overall, within = spearman(xs, ys), spearman(xs, ys, groups)
    assert overall is not None
    assert overall.rho > 0.8
    assert within is not None
    assert not within.is_seen
    assert within.groups == 3


@pytest.mark.parametrize(("runs", "slope"), [(10, 0.0), (12, 0.6), (30, 0.0), (30, 0.8)])
def test_the_interval_covers_the_true_rho_about_95_times_of_100(runs: int, slope: float) -> None:
    draw = random.Random(7)
    truth = 6 / math.pi * math.asin(slope / 2)  # of a bivariate normal distribution
    covered = seen = 0
    for _ in range(TRIALS):
        xs = [draw.gauss(0, 1) for _ in range(runs)]
        ys = [slope * x + math.sqrt(1 - slope**2) * draw.gauss(0, 1) for x in xs]
        found = spearman(xs, ys)
        assert found is not None
        covered += found.low <= truth <= found.high
        seen += found.is_seen
    assert 0.905 <= covered / TRIALS <= 0.99  # three standard deviations of so many trials
    if slope == 0:
        assert seen / TRIALS < 0.08  # as often as it says, a relation is seen where there is none


def test_a_perfect_order_of_few_runs_is_not_certain() -> None:
    found = spearman(range(10), range(10))
    assert found is not None
    assert found.rho == found.high == 1
    assert 0.85 < found.low < 0.97


def test_chance_is_what_permutations_and_the_normal_distribution_say() -> None:
    draw = random.Random(3)
    xs = [draw.random() for _ in range(30)]
    ys = [x + draw.gauss(0, 0.5) for x in xs]
    few = spearman(xs, ys)
    assert few is not None
    normal = math.erfc(abs(few.rho) * math.sqrt(29 / 2))
    assert few.chance == pytest.approx(normal, abs=0.01)


@pytest.mark.parametrize(
    ("value", "freedom", "tail"),
    [(3.841459, 1, 0.05), (5.991465, 2, 0.05), (7.814728, 3, 0.05), (23.209251, 10, 0.01),
     (124.342113, 100, 0.05), (0, 5, 1), (5000, 4, 0)],
)  # fmt: skip
def test_the_tail_of_chi_square_is_that_of_the_tables(
    value: float, freedom: int, tail: float
) -> None:
    assert chi_square_tail(value, freedom) == pytest.approx(tail, abs=1e-6)


@given(st.lists(st.tuples(st.sampled_from("abc"), VALUES), min_size=4, max_size=25))
def test_kruskal_and_wallis_by_their_formula(rows: list[tuple[str, int]]) -> None:
    names, ys = zip(*rows, strict=True)
    found = differences(names, ys)
    count, ranks = len(ys), ranks_by_definition(ys)
    ties = sum(ys.count(y) ** 3 - ys.count(y) for y in set(ys))
    if len(set(names)) < 2 or ties == count**3 - count:
        assert found is None
        return
    sums = {
        name: [rank for rank, own in zip(ranks, names, strict=True) if own == name]
        for name in set(names)
    }
    h = 12 / (count * (count + 1)) * sum(sum(r) ** 2 / len(r) for r in sums.values())
    h = (h - 3 * (count + 1)) / (1 - ties / (count**3 - count))
    assert found is not None
    assert found.statistic == pytest.approx(h, abs=1e-9)
