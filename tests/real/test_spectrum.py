"""The figures of `spectrum` are those of a dense singular value decomposition by torch."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import pytest

from tests.real.cases import NOT_PLAIN, adapters, directory, facts
from tests.real.commands import User

pytestmark = pytest.mark.xdist_group("spectrum")

NAMES = [name for name in adapters(lora=True, loads=True) if name not in NOT_PLAIN]
TOLERANCE = 2e-4


def dense(values: list[list[float]]) -> dict[str, float]:
    """The figures by their definitions, from all singular values of each matrix."""
    alive = [matrix for matrix in values if max(matrix, default=0) > 1e-12]
    squares = [[value * value for value in matrix] for matrix in alive]
    shares = [[value / sum(matrix) for value in matrix] for matrix in alive]
    return {
        "norm": math.sqrt(sum(map(sum, squares))),
        "largest_singular_value": max((max(matrix) for matrix in alive), default=0.0),
        "stable_rank": fmean(sum(square) / max(square) for square in squares) if alive else 0.0,
        "effective_rank": fmean(
            math.exp(-sum(share * math.log(share) for share in matrix if share > 1e-12))
            for matrix in shares
        ) if alive else 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_norm_and_ranks_are_those_of_the_dense_product(name: str, user: User) -> None:
    ran = user.types("spectrum", directory(name), "--json")
    assert ran.code == 0, ran.err
    shown: dict[str, Any] = {module["name"]: module for module in ran.data["modules"]}
    wanted = facts(name)["details"]
    assert shown.keys() == wanted.keys()
    for module, truth in wanted.items():
        if truth["singular_values"] is None:
            continue
        expected = dense(truth["singular_values"])
        for figure, value in expected.items():
            if expected["norm"] == 0 and "rank" in figure:
                continue
            assert shown[module][figure] == pytest.approx(value, rel=TOLERANCE, abs=1e-7), (
                f"{module}: {figure}"
            )


@pytest.mark.parametrize("name", sorted(NOT_PLAIN & set(adapters(lora=True))))
def test_a_change_of_another_form_gets_no_wrong_figure(name: str, user: User) -> None:
    ran = user.types("spectrum", directory(name), "--json")
    assert ran.code == 0, ran.err
    wanted = facts(name)["details"]
    for module in ran.data["modules"]:
        values = wanted[module["name"]]["singular_values"]
        if module["norm"] is not None and values is not None:
            assert module["norm"] == pytest.approx(dense(values)["norm"], rel=TOLERANCE)
