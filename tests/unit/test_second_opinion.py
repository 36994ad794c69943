"""The second opinion detects known properties of made-up curves, and nothing else."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.curves.downsample_and_smooth import downsample
from lora_tui.domain import CurvePoint, Quality
from lora_tui.opinion import (
    Kind,
    Opinion,
    Verdict,
    compare_with_rating,
    second_opinion,
)
from lora_tui.quality import calculate_quality_metrics
from lora_tui.sandbox.seed import runs
from tests.unit.loss_runs import FAMILIES, JUDGED, Family, falling

CURVES_A_FAMILY = 60


@dataclass(frozen=True)
class Logged:
    """A point as the backend may have it: anything may be missing or no number."""

    step: float | None
    training_loss: float | None
    validation_loss: float | None


anything = st.none() | st.floats()
logged = st.builds(Logged, anything, anything, anything)


def kinds(opinion: Opinion) -> set[Kind]:
    return {finding.kind for finding in opinion.findings}


def finding(opinion: Opinion, kind: Kind) -> str:
    return next(found.sentence for found in opinion.findings if found.kind is kind)


def quality_of(points: list[CurvePoint]) -> Quality:
    rows = [
        {"training_loss": point.training_loss, "validation_loss": point.validation_loss}
        for point in points
    ]
    return Quality.from_json(calculate_quality_metrics(rows))


def steady(count: int = 300) -> list[CurvePoint]:
    """A good run with a little noise; every tenth point has a validation loss."""
    randomness = random.Random(7)
    return [
        CurvePoint(
            step * 10.0,
            (1 + 1.4 * math.exp(-4 * step / count)) * (1 + randomness.gauss(0, 0.02)),
            1.05 + 1.4 * math.exp(-4 * step / count) if step % 10 == 9 else None,
        )
        for step in range(count)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
class TestOnRunsOfKnownTruth:
    """Seeded curves; 200 a family give the same picture."""

    def test_every_known_property_is_detected_and_no_other(self, family: Family) -> None:
        found = [
            kinds(second_opinion(family.make(random.Random(f"{family.name}-{seed}"))))
            for seed in range(CURVES_A_FAMILY)
        ]
        for kind in JUDGED:
            share = sum(kind in each for each in found) / CURVES_A_FAMILY
            if kind in family.truth:
                assert share >= 0.98, f"{kind} was missed"
            else:
                assert share <= 0.02, f"{kind} was made up"


@pytest.mark.parametrize(
    ("family", "expected", "stars"),
    [
        ("excellent", set(), {5}),
        ("good", set(), {4, 5}),
        ("fair", set(), {3, 4}),
        ("poor", set(), {1, 2, 3}),
        ("overfit", {Kind.OVERFIT}, {2}),
        ("diverged", {Kind.DIVERGENCE}, {1}),
        ("plateaued", {Kind.PLATEAU}, {3, 4}),
        ("spiky", {Kind.SPIKES}, {4}),
        ("sparse_validation", set(), {5}),
        ("not_a_number", {Kind.NOT_A_NUMBER, Kind.DIVERGENCE}, {1}),
    ],
)
def test_the_loss_curves_of_the_sandbox_are_told_apart(
    family: str, expected: set[Kind], stars: set[int]
) -> None:
    for seed, count in enumerate((200, 500, 1200, 3000)):
        curve = runs.make_curve(
            family, count, epochs=3, peak_learning_rate=2e-4, randomness=random.Random(seed)
        )
        opinion = second_opinion(
            [Logged(p.progress * 3000, p.training_loss, p.validation_loss) for p in curve]
        )
        assert kinds(opinion) & set(JUDGED) == expected
        assert opinion.stars in stars


@given(st.lists(logged, max_size=60))
def test_any_list_of_points_gives_an_opinion(points: list[Logged]) -> None:
    opinion = second_opinion(points)
    assert opinion.findings
    assert [f.severity for f in opinion.findings] == sorted(
        (f.severity for f in opinion.findings), reverse=True
    )
    assert opinion.stars is None or 1 <= opinion.stars <= 5
    for found in opinion.findings:
        assert found.sentence.isprintable()
        assert found.sentence.endswith(".")
        assert "nan" not in found.sentence


@pytest.mark.slow
@given(st.integers(0, 10_000), st.sampled_from((0.001, 0.5, 7.0, 1000.0)))
def test_the_unit_of_the_loss_changes_no_finding_but_the_gap(seed: int, unit: float) -> None:
    points = falling(random.Random(seed), noise=0.04)
    scaled = [
        CurvePoint(
            point.step,
            point.training_loss * unit,
            None if point.validation_loss is None else point.validation_loss * unit,
        )
        for point in points
    ]
    of_numbers = {Kind.GAP, Kind.VALIDATION}
    before, after = second_opinion(points), second_opinion(scaled)
    assert kinds(before) - of_numbers == kinds(after) - of_numbers


@pytest.mark.slow
@given(st.integers(0, 10_000), st.floats(0.2, 5.0))
def test_an_outlier_at_the_end_changes_the_rating_but_not_the_opinion(
    seed: int, factor: float
) -> None:
    points = falling(random.Random(seed), noise=0.02)
    last = points[-1]
    odd = CurvePoint(last.step, last.training_loss * factor, last.validation_loss)
    changed = second_opinion([*points[:-1], odd])
    assert abs((changed.stars or 0) - (second_opinion(points).stars or 0)) <= 1
    assert Kind.DIVERGENCE not in kinds(changed)


def test_an_outlier_at_the_end_is_reported() -> None:
    points = steady()
    points[-1] = CurvePoint(points[-1].step, 2.9)
    opinion = second_opinion(points)
    assert finding(opinion, Kind.OUTLIER_END).startswith(
        "The last training loss (2.9000) is far from the level"
    )
    comparison = compare_with_rating(opinion, quality_of(points))
    assert comparison.agrees is False
    assert comparison.sentence == ("Suggested rating: 5/5, 4 stars more than the stored rating.")


def test_overfitting_names_the_best_step_and_a_remedy() -> None:
    points = [
        CurvePoint(
            float(step),
            2.2 * math.exp(-step / 1500) + 0.3,
            1.2 + abs(step - 1200) / 2000 if step % 100 == 0 else None,
        )
        for step in range(0, 3001, 10)
    ]
    opinion = second_opinion(points)
    assert opinion.verdict is Verdict.SUSPICIOUS
    assert opinion.recommendation == (
        "Validation was best at step 1,200 of 3,000: train fewer epochs, or stop early."
    )
    assert "the gap to training is 1.4952 at the end" in finding(opinion, Kind.OVERFIT)


def test_the_last_recorded_validation_loss_is_used_where_the_last_point_has_none() -> None:
    points = steady(305)
    found = second_opinion(points).findings
    assert found[0].sentence == (
        "The last point has no validation loss: the stored rating ignores validation loss."
    )
    assert found[2].sentence == (
        "The last recorded validation loss is 1.0777 at step 2,990; the gap to training is 0.0344."
    )


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (0, "No training loss was recorded."),
        (1, "Only 1 training loss was recorded; an opinion needs at least 20."),
        (19, "Only 19 training losses were recorded; an opinion needs at least 20."),
    ],
)
def test_too_few_points_give_no_stars(count: int, sentence: str) -> None:
    opinion = second_opinion(steady()[:count])
    assert (opinion.verdict, opinion.stars) == (Verdict.UNCLEAR, None)
    assert finding(opinion, Kind.FEW_POINTS) == sentence
    assert compare_with_rating(opinion, quality_of(steady()[:count])).agrees is None


def test_a_single_spike_is_a_note_and_costs_no_star() -> None:
    points = steady()
    points[150] = CurvePoint(points[150].step, points[150].training_loss + 1.0)
    opinion = second_opinion(points)
    assert (opinion.verdict, opinion.stars) == (Verdict.HEALTHY, second_opinion(steady()).stars)
    assert finding(opinion, Kind.SPIKES).startswith("A spike at step 1,500 is ")


def test_losses_that_are_not_numbers_are_counted_even_where_the_run_recovers() -> None:
    points: list[CurvePoint | Logged] = list(steady())
    points[100:103] = [Logged(1000.0 + 10 * i, None, None) for i in range(3)]
    opinion = second_opinion(points)
    assert opinion.verdict is Verdict.MINOR_ISSUES
    assert finding(opinion, Kind.NOT_A_NUMBER) == (
        "The training loss is not a number at 3 of 300 points, first at step 1,000 of 2,990."
    )


def test_a_down_sampled_curve_is_not_checked_for_spikes_and_plateaus() -> None:
    points = downsample(falling(random.Random(3), noise=0.05), 120)
    opinion = second_opinion(points, downsampled=True)
    assert Kind.DOWNSAMPLED in kinds(opinion)
    assert not kinds(opinion) & {Kind.SPIKES, Kind.PLATEAU}


def test_it_agrees_with_the_rating_of_a_steady_run() -> None:
    points = steady(300)
    comparison = compare_with_rating(second_opinion(points), quality_of(points))
    assert comparison.agrees
    assert comparison.sentence == "Agrees with the stored rating: 5/5."


@pytest.mark.slow
def test_a_very_long_run_is_judged_like_a_short_one() -> None:
    points = list(steady(30_000))
    assert kinds(second_opinion(points)) & set(JUDGED) == set()
    for index in (7_000, 16_000, 25_000):
        points[index] = CurvePoint(points[index].step, points[index].training_loss * 2)
    spiky = second_opinion(points)
    assert kinds(spiky) & set(JUDGED) == {Kind.SPIKES}
    assert "3 spikes" in finding(spiky, Kind.SPIKES)
    turned = [
        CurvePoint(point.step, point.training_loss + max(0, index - 18_000) / 8_000)
        for index, point in enumerate(points)
    ]
    opinion = second_opinion(turned)
    assert Kind.DIVERGENCE in kinds(opinion)
    assert opinion.stars == 1
