"""Effect: the table by value, and a sentence that claims no more than the runs allow."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui import formats
from lora_tui.reports.effect import Effect, Run, effect_of, quartiles, rho_text, strata_of
from lora_tui.reports.value_classes import Variable, classify, spans_decades

RANK = Variable("rank", True, formats.number)
LOSS = Variable("best_validation_loss", True, formats.loss, better=-1, is_loss=True)
TRAINING = Variable("final_loss", True, formats.loss, better=-1, is_loss=True, is_training=True)
RATE = Variable("learning_rate", True, formats.number)
PRESET = Variable("preset", False, formats.number)


def runs(
    count: int,
    y: Callable[[float, random.Random], float],
    *,
    datasets: str = "a",
) -> list[Run]:
    draw = random.Random(1)
    ranks = [draw.choice([4, 8, 16, 32]) for _ in range(count)]
    return [
        Run(rank, y(rank, draw), dataset=datasets[n % len(datasets)], base_model="base")
        for n, rank in enumerate(ranks)
    ]


def noise(_rank: float, draw: random.Random) -> float:
    return draw.gauss(1, 0.1)


def falling(rank: float, draw: random.Random) -> float:
    return draw.gauss(1.2 - 0.1 * math.log2(rank), 0.1)


def test_a_relation_is_said_with_its_uncertainty_and_that_it_is_no_experiment() -> None:
    effect = effect_of(runs(41, falling), RANK, LOSS)
    found = effect.overall
    assert found is not None
    assert found.high < 0
    assert effect.sentence == (
        "Higher rank goes with lower best validation loss"
        f" (rho {rho_text(found.rho)}, 95 % {rho_text(found.low)} to {rho_text(found.high)},"
        " 41 runs)."
    )
    assert "No experiment" in effect.remarks[0]


def test_what_is_not_seen_is_not_claimed() -> None:
    effect = effect_of(runs(200, noise), RANK, LOSS)
    assert effect.sentence.startswith("No relation can be seen in 200 runs: rho is between −0.")
    assert not any("experiment" in remark for remark in effect.remarks)
    assert effect_of(runs(12, noise), RANK, LOSS).sentence.endswith(", so there may be one.")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "No run has both rank and best validation loss."),
        ([Run(16, None)] * 3, "No run has both rank and best validation loss."),
        ([Run(16, 0.5)], "1 run: too few to tell."),
        (runs(5, falling), "5 runs: too few to tell."),
        (runs(9, falling), "9 runs: too few to tell."),
        ([Run(16, n / 7) for n in range(30)], "All 30 runs have rank 16: nothing to compare."),
        (
            [Run(n, 0.5) for n in range(30)],
            "All 30 runs have best validation loss 0.5000: nothing to compare.",
        ),
    ],
)
def test_too_little_to_compare_is_said(found: list[Run], sentence: str) -> None:
    assert effect_of(found, RANK, LOSS).sentence == sentence


def test_a_difference_between_datasets_is_not_taken_for_an_effect() -> None:
    found = [
        Run(4 + 40 * (n % 2), (n % 2) + random.Random(n).random(), dataset="ab"[n % 2])
        for n in range(80)
    ]
    assert effect_of(found, RANK, LOSS).sentence == (
        "Only rank or only best validation loss differs within 2 datasets, not both: no conclusion."
    )
    mixed = [run._replace(x=float(run.x or 0) + n % 3) for n, run in enumerate(found)]
    effect = effect_of(mixed, RANK, LOSS)
    assert effect.sentence.startswith("Within 2 datasets, no relation can be seen in 80 runs")
    assert effect.overall is not None
    assert effect.overall.is_seen
    assert effect.remarks[0].startswith("The runs are of 2 datasets, mixed in the table")
    assert "Over all together rho is 0." in effect.remarks[0]


def test_losses_of_different_datasets_are_not_compared() -> None:
    by_dataset = Variable("dataset", False, formats.number)
    found = [Run("ab"[n % 2], n / 7, dataset="ab"[n % 2]) for n in range(40)]
    sentence = effect_of(found, by_dataset, LOSS).sentence
    assert sentence == "Losses of different datasets can't be compared: no conclusion."
    cost = Variable("cost", True, formats.money, better=-1)
    assert "Kruskal–Wallis" in effect_of(found, by_dataset, cost).sentence


def test_a_training_loss_is_said_to_hide_overfitting_where_validation_exists() -> None:
    found = [run._replace(is_validated=n < 7) for n, run in enumerate(runs(30, falling))]
    assert any(
        remark.startswith("Final loss comes from the training loss")
        and "7 runs have a validation loss" in remark
        for remark in effect_of(found, RANK, TRAINING).remarks
    )
    assert not any("training" in remark for remark in effect_of(found, RANK, LOSS).remarks)


def test_models_without_a_value_are_counted_not_guessed() -> None:
    found = [*runs(20, falling), Run(None, 0.5), Run(8, None), Run(None, None)]
    effect = effect_of(found, RANK, LOSS)
    assert (effect.runs, effect.left_out, effect.unknown_x, effect.unknown_y) == (20, 3, 2, 2)
    assert "3 models left out: 2 without rank, 2 without best validation loss." in effect.remarks
    assert sum(line.runs for line in effect.lines) == 20


def test_texts_are_compared_by_their_ranks() -> None:
    def preset(run: Run, n: int) -> Run:
        return run._replace(x="fast" if n % 2 else "slow", y=(run.y or 0) + n % 2)

    far = [preset(run, n) for n, run in enumerate(runs(40, noise))]
    effect = effect_of(far, PRESET, LOSS)
    assert effect.sentence == (
        "Best validation loss differs between values of preset (Kruskal–Wallis over 2 values and"
        " 40 runs: by chance alone in less than 1 of 1,000 cases)."
    )
    assert [line.label for line in effect.lines] == ["slow", "fast"]  # the best median first
    same = [run._replace(x="abc"[n % 3]) for n, run in enumerate(runs(40, noise))]
    assert effect_of(same, PRESET, LOSS).sentence.startswith("No difference between values of")
    single = [run._replace(x=str(n)) for n, run in enumerate(runs(40, noise))]
    assert "too few to tell" in effect_of(single, PRESET, LOSS).sentence


def test_a_line_has_count_median_best_and_quartiles() -> None:
    found = [Run(8, value) for value in (4.0, 1.0, 3.0, 2.0, 5.0)] + [Run(16, 7.0)]
    first, second = effect_of(found, RANK, LOSS).lines
    assert first[:] == ("8", 5, 3.0, 2.0, 4.0, 1.0, 5.0)
    assert (first.best(-1), first.best(1), first.best(0)) == (1.0, 5.0, None)
    assert second.median == second.low_quartile == 7.0


def test_learning_rates_become_ranges_of_decades() -> None:
    draw = random.Random(2)
    rates = [10 ** draw.uniform(-5.5, -3) for _ in range(300)]
    assert spans_decades(rates)
    assert not spans_decades([0, 1, 5])
    assert not spans_decades([])
    labels, places = classify(rates, RATE)
    assert labels[0] == "below 5e-6"
    assert "1e-4 to 2e-4" in labels
    for rate, place in zip(rates, places, strict=True):
        assert place is not None
        assert (labels[place] == "1e-4 to 2e-4") == (1e-4 <= rate < 2e-4)


@given(
    st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=60),
    st.integers(4, 12),
)
def test_every_known_number_is_in_exactly_one_class(values: list[float | None], most: int) -> None:
    labels, places = classify(values, RATE, most=most)
    assert len(labels) <= most + 1
    assert [place is None for place in places] == [value is None for value in values]
    assert {place for place in places if place is not None} == set(range(len(labels)))
    order = sorted((v, p) for v, p in zip(values, places, strict=True) if v is not None and p)
    assert [place for _, place in order] == sorted(place for _, place in order)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=40))
def test_quartiles_lie_between_the_ends(values: list[float]) -> None:
    low, middle, high = quartiles(values)
    assert min(values) <= low <= middle <= high <= max(values)


def test_many_values_of_the_third_column_are_the_most_frequent_and_the_others() -> None:
    labels, numbers = strata_of([*"aaabbccdefghi", None], PRESET)
    assert labels == [*"abcdef", "others"]
    assert numbers[-1] == numbers[-2] == 6


def test_strata_have_correlations_of_their_own() -> None:
    found = [run._replace(by="ab"[n % 2]) for n, run in enumerate(runs(60, falling))]
    effect: Effect = effect_of(found, RANK, LOSS, PRESET)
    assert [stratum[:2] for stratum in effect.strata] == [("a", 30), ("b", 30)]
    assert all(stratum.correlation for stratum in effect.strata)
    few = effect_of(found[:14], RANK, LOSS, PRESET)
    assert [stratum.correlation for stratum in few.strata] == [None, None]
