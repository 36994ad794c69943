"""Rank statistics by hand: Spearman's correlation with its interval, and Kruskal and Wallis' test.

Ranks, because the columns of models have outliers and no known distribution: a statement about
ranks is the same for a loss and for its logarithm. docs/effect.md has the formulas and sources.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import groupby
from operator import mul
from typing import Final, NamedTuple

_Z_95: Final = 1.959963984540054
_PERMUTED_BELOW: Final = 31
"""With fewer runs chance is counted over permutations; the normal approximation would be coarse."""
_PERMUTATIONS: Final = 1_999
_SEED: Final = 19


class Correlation(NamedTuple):
    """A rank correlation with its uncertainty."""

    rho: float
    """-1 to 1."""
    low: float
    high: float
    """The ends of the 95 % interval."""
    chance: float
    """How often chance alone gives a rho as far from 0, where there is no relation; 0 to 1."""
    runs: int
    groups: int = 1
    """The groups within which the runs were ranked."""

    @property
    def is_seen(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


class Difference(NamedTuple):
    """Whether the values of several classes differ (Kruskal and Wallis)."""

    statistic: float
    chance: float
    """How often chance alone gives a statistic as large, where the classes do not differ."""
    runs: int
    classes: int
    groups: int = 1


def average_ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    before = 0
    for _, tied in groupby(order, key=values.__getitem__):
        places = list(tied)
        rank = before + (len(places) + 1) / 2
        for place in places:
            ranks[place] = rank
        before += len(places)
    return ranks


def spearman(
    xs: Sequence[float], ys: Sequence[float], groups: Sequence[Hashable] | None = None
) -> Correlation | None:
    """Spearman's rho of pairs; with `groups` pooled over the ranks within each group.

    Only groups in which both differ count. None where there is none, or fewer than 4 runs more than
    groups.
    """
    strata = [
        (_centred([xs[n] for n in members]), _centred([ys[n] for n in members]))
        for members in _members(groups, len(xs))
    ]
    strata = [(x, y) for x, y in strata if any(x) and any(y)]
    runs = sum(len(x) for x, _ in strata)
    free = runs - len(strata) + 1  # as many runs as of one group would say as much
    if not strata or free < 4:
        return None
    size = math.sqrt(_product((x, x) for x, _ in strata) * _product((y, y) for _, y in strata))
    rho = max(-1.0, min(1.0, _product(strata) / size))
    low, high = interval(rho, free)
    return Correlation(rho, low, high, _chance(strata, rho, free), runs, len(strata))


def interval(rho: float, runs: int) -> tuple[float, float]:
    """The 95 % interval of a rho of 4 or more runs: Fisher's z, variance of Bonett and Wright.

    For a perfect order z is infinite; the width is then that of an order with two neighbours
    exchanged.
    """
    nearly = 1 - 12 / (runs**3 - runs)
    inside = max(-nearly, min(nearly, rho))
    width = _Z_95 * math.sqrt((1 + inside * inside / 2) / (runs - 3))
    z = math.atanh(inside)
    return min(rho, math.tanh(z - width)), max(rho, math.tanh(z + width))


def differences(
    classes: Sequence[Hashable], ys: Sequence[float], groups: Sequence[Hashable] | None = None
) -> Difference | None:
    """Kruskal and Wallis' test, corrected for ties, over ranks within each group.

    None where there are fewer than two classes or nothing differs.
    """
    ranks = [0.0] * len(ys)
    strata = 0
    for members in _members(groups, len(ys)):
        centred = _centred([ys[n] for n in members])
        if any(centred):
            strata += 1
            for place, rank in zip(members, centred, strict=True):
                ranks[place] = rank
    spread = sum(rank * rank for rank in ranks)
    sums: dict[Hashable, tuple[int, float]] = {}
    for name, rank in zip(classes, ranks, strict=True):
        count, total = sums.get(name, (0, 0.0))
        sums[name] = (count + 1, total + rank)
    if len(sums) < 2 or not spread:
        return None
    between = sum(total * total / count for count, total in sums.values())
    statistic = (len(ys) - max(1, strata)) * between / spread
    chance = chi_square_tail(statistic, len(sums) - 1)
    return Difference(statistic, chance, len(ys), len(sums), max(1, strata))


def chi_square_tail(value: float, freedom: int) -> float:
    """The probability that a chi-square variable with `freedom` ≥ 1 degrees exceeds the value."""
    half = max(0.0, value) / 2
    if half == 0:
        return 1.0
    # Q(a + 1, x) = Q(a, x) + x^a e^-x / gamma(a + 1), from Q(1/2, x) = erfc(√x) or Q(1, x) = e^-x
    start = 0.5 if freedom % 2 else 1.0
    tail = math.erfc(math.sqrt(half)) if freedom % 2 else math.exp(-half)
    for step in range((freedom - 1) // 2):
        order = start + step
        tail += math.exp(order * math.log(half) - half - math.lgamma(order + 1))
    return min(1.0, tail)


def _members(groups: Sequence[Hashable] | None, count: int) -> Iterable[Sequence[int]]:
    if groups is None:
        return [range(count)]
    found: dict[Hashable, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        found[group].append(place)
    return found.values()


def _centred(values: Sequence[float]) -> list[float]:
    """Ranks as shares of the group, so that a large one weighs no more a run; their mean is 0."""
    middle, size = (len(values) + 1) / 2, len(values) + 1
    return [(rank - middle) / size for rank in average_ranks(values)]


def _product(pairs: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float:
    return math.fsum(sum(map(mul, x, y)) for x, y in pairs)


def _chance(
    strata: Sequence[tuple[Sequence[float], Sequence[float]]], rho: float, free: int
) -> float:
    if free >= _PERMUTED_BELOW:
        return math.erfc(abs(rho) * math.sqrt((free - 1) / 2))  # the variance of rho is 1/(n - 1)
    size = math.sqrt(_product((x, x) for x, _ in strata) * _product((y, y) for _, y in strata))
    least = abs(rho) * size * (1 - 1e-12)
    draw = random.Random(_SEED)  # noqa: S311 - the same data give the same answer
    shuffled = [(x, list(y)) for x, y in strata]
    reached = 0
    for _ in range(_PERMUTATIONS):
        for _, y in shuffled:
            draw.shuffle(y)
        reached += abs(_product(shuffled)) >= least
    return (reached + 1) / (_PERMUTATIONS + 1)
