"""The second opinion on broken runs: NaN, zeros written over NaN, gradient norms, checkpoints."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from lora_tui.curves.series import Logged, from_curve
from lora_tui.domain import CurvePoint, Quality
from lora_tui.opinion import (
    Finding,
    Kind,
    Opinion,
    RunFacts,
    Severity,
    Verdict,
    compare_with_rating,
    is_chat_format,
    second_opinion,
)
from lora_tui.quality import calculate_quality_metrics

NAN, INF = math.nan, math.inf


def healthy(count: int = 200, *, gradient: float | None = 0.8) -> list[Logged]:
    """A run that falls from 2.4 to 1.0, logged every ten steps from step 10 on."""
    dice = random.Random(4)
    return [
        Logged(
            10.0 * (index + 1),
            (1 + 1.4 * math.exp(-4 * index / count)) * (1 + dice.gauss(0, 0.01)),
            1.1 + 1.4 * math.exp(-4 * index / count) if index % 10 == 9 else None,
            gradient_norm=gradient,
        )
        for index in range(count)
    ]


def broken(first: int, loss: float | None, gradient: float | None) -> list[Logged]:
    """The healthy run, whose points from an index on have this loss and gradient norm."""
    known = None if gradient is None else 0.8
    return [
        point if index < first else point._replace(training_loss=loss, gradient_norm=gradient)
        for index, point in enumerate(healthy(gradient=known))
    ]


def found(opinion: Opinion, kind: Kind) -> Finding:
    return next(finding for finding in opinion.findings if finding.kind is kind)


def kinds(opinion: Opinion) -> set[Kind]:
    return {finding.kind for finding in opinion.findings}


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (None, NAN),
        (NAN, None),
        (INF, 0.5),
        (0.0, NAN),  # Trainer's filter
        (0.0, INF),
        (0.0, None),  # the same filter of a version that logs no gradient norm
        (0.0, 0.0),
    ],
)
@pytest.mark.parametrize("first", [150, 199])
def test_a_run_whose_losses_end_as_no_numbers_has_diverged(
    loss: float | None, gradient: float | None, first: int
) -> None:
    opinion = second_opinion(broken(first, loss, gradient))
    assert (opinion.verdict, opinion.stars) == (Verdict.DIVERGED, 1)
    worst = opinion.findings[0]
    assert (worst.kind, worst.severity) == (Kind.NOT_A_NUMBER, Severity.SERIOUS)
    step = f"{10 * (first + 1):,}"
    assert f"diverged: its loss is not a number from step {step} of 2,000 to the end" in (
        worst.sentence
    )
    assert ("logged as exactly 0" in worst.sentence) == (loss == 0)
    assert opinion.ends_bad
    assert opinion.last_number is not None
    assert opinion.last_number.step == 10 * first


def test_the_five_stars_of_a_loss_that_fell_to_zero_are_questioned() -> None:
    points = broken(150, 0.0, NAN)
    rows = [{"training_loss": p.training_loss, "validation_loss": None} for p in points]
    rating = Quality.from_json(calculate_quality_metrics(rows))
    assert rating.stars == 5
    comparison = compare_with_rating(second_opinion(points), rating)
    assert comparison.agrees is False


@pytest.mark.parametrize(
    ("gradient", "verdict"), [(NAN, Verdict.MINOR_ISSUES), (None, Verdict.MINOR_ISSUES)]
)
def test_zeros_in_a_row_that_end_again_are_a_warning(
    gradient: float | None, verdict: Verdict
) -> None:
    points = healthy(gradient=gradient and 0.8)
    for index in range(50, 60):
        points[index] = points[index]._replace(training_loss=0.0, gradient_norm=gradient)
    opinion = second_opinion(points)
    assert opinion.verdict is verdict
    assert found(opinion, Kind.NOT_A_NUMBER).sentence.startswith(
        "The training loss is not a number at 10 of 200 points, first at step 510 of 2,000. It was"
        " logged as exactly 0"
    )


def test_a_run_without_a_single_number_is_not_called_unrecorded() -> None:
    opinion = second_opinion([Logged(float(step), None, None) for step in range(30)])
    assert opinion.verdict is Verdict.DIVERGED
    [only] = opinion.findings
    assert only.sentence == "The training diverged: none of its losses is a number."


def test_a_loss_that_is_rounded_to_zero_was_learned_by_heart() -> None:
    losses = [2.0 * math.exp(-index / 12) for index in range(200)]
    opinion = second_opinion(
        [Logged(float(i), round(loss, 4), None) for i, loss in enumerate(losses)]
    )
    assert losses[-1] < 0.00005
    assert Kind.NOT_A_NUMBER not in kinds(opinion)
    assert not opinion.ends_bad


def test_a_loss_that_starts_at_zero_has_lost_nothing() -> None:
    """GRPO logs 0 in the beginning, and the distance from the reference model later."""
    dice = random.Random(3)
    points = [
        Logged(float(step), 0.0 if step < 30 else 0.001 * step + dice.gauss(0, 0.01), None)
        for step in range(200)
    ]
    opinion = second_opinion(points)
    assert Kind.DIVERGENCE not in kinds(opinion)
    assert opinion.stars is None
    assert not any("undid" in finding.sentence for finding in opinion.findings)


def test_a_first_loss_of_zero_is_named_as_what_misleads_the_rating() -> None:
    points = healthy()
    points[0] = points[0]._replace(training_loss=0.0)
    opinion = second_opinion(points)
    assert opinion.verdict is Verdict.HEALTHY
    assert "The first logged loss is 0;" in found(opinion, Kind.OUTLIER_START).sentence


def test_a_loss_that_only_rises_is_not_said_to_have_lost_what_it_learned() -> None:
    points = [Logged(10.0 * step, 2.0 + 0.03 * step, None) for step in range(200)]
    divergence = found(second_opinion(points), Kind.DIVERGENCE)
    assert divergence.severity is Severity.SERIOUS
    assert "before, it had not fallen" in divergence.sentence


def test_a_gradient_that_ends_as_no_number_has_damaged_the_weights() -> None:
    points = healthy()
    points[-3:] = [point._replace(gradient_norm=NAN) for point in points[-3:]]
    opinion = second_opinion(points)
    assert (opinion.verdict, opinion.stars) == (Verdict.DIVERGED, 1)
    assert "from step 1,980 of 2,000 to the end" in found(opinion, Kind.GRADIENT).sentence


def test_steps_that_half_precision_skips_are_a_note() -> None:
    points = healthy()
    for index in (0, 1, 70):
        points[index] = points[index]._replace(gradient_norm=INF)
    opinion = second_opinion(points)
    assert opinion.verdict is Verdict.HEALTHY
    assert found(opinion, Kind.GRADIENT).severity is Severity.NOTE


def test_a_huge_gradient_norm_is_a_warning() -> None:
    opinion = second_opinion(healthy(gradient=1e30))
    assert found(opinion, Kind.GRADIENT).severity is Severity.WARNING
    assert "1e+30" in found(opinion, Kind.GRADIENT).sentence


def test_a_validation_loss_that_is_no_number_is_not_missing() -> None:
    points = healthy()
    points[-1] = points[-1]._replace(validation_loss=NAN)
    sentences = " ".join(finding.sentence for finding in second_opinion(points).findings)
    assert "The validation loss is not a number at 1 point, first at step 2,000." in sentences
    assert "has no validation loss" not in sentences


def flat(rates: Sequence[float | None]) -> list[Logged]:
    """A run that learns for a tenth of its steps; the learning rate of each point is given."""
    dice = random.Random(8)
    count = len(rates)
    return [
        Logged(
            10.0 * (index + 1),
            (1 + 1.2 * math.exp(-40 * index / count)) * (1 + dice.gauss(0, 0.01)),
            None,
            learning_rate=rate,
        )
        for index, rate in enumerate(rates)
    ]


@pytest.mark.parametrize(
    ("rate", "reason", "advice"),
    [
        (lambda share: 2e-4, "saturated", "Train fewer epochs"),
        (lambda share: 2e-4 * (1 - share), "saturated", "Train fewer epochs"),
        (lambda share: 2e-4 if share < 0.15 else 1e-9, "near zero", "Fit the schedule"),
        (lambda share: None, "of the reduction.", "Train fewer epochs"),
    ],
)
def test_a_plateau_is_explained_by_the_learning_rate(
    rate: object, reason: str, advice: str
) -> None:
    assert callable(rate)
    opinion = second_opinion(flat([rate(index / 400) for index in range(400)]))
    plateau = found(opinion, Kind.PLATEAU)
    assert reason in plateau.sentence
    assert str(plateau.advice).startswith(advice)


def overfit(count: int = 300, turn: int = 120) -> list[Logged]:
    return [
        Logged(
            10.0 * (index + 1),
            2.2 * math.exp(-index / 150) + 0.3,
            1.2 + abs(index + 1 - turn) / 200 if (index + 1) % 10 == 0 else None,
        )
        for index in range(count)
    ]


def test_advice_is_priced_by_the_cost_of_the_run() -> None:
    opinion = second_opinion(overfit(), facts=RunFacts(cost=5.0))
    assert str(opinion.recommendation).endswith("Stopping at step 1,200 would have saved $3.00.")
    unpriced = second_opinion(overfit())
    assert "saved" not in str(unpriced.recommendation)


def test_the_steps_after_the_last_number_are_priced() -> None:
    opinion = second_opinion(broken(150, None, NAN), facts=RunFacts(cost=8.0))
    assert "Stopping at step 1,510 would have saved $1.96." in str(opinion.recommendation)


@pytest.mark.parametrize(
    ("epochs", "is_weak"), [(3.0, True), (None, True), (2.0, False), (1.0, False)]
)
def test_on_chat_data_a_rise_after_the_first_epoch_is_weaker_evidence(
    epochs: float | None, is_weak: bool
) -> None:
    certain = found(second_opinion(overfit()), Kind.OVERFIT)
    chat = found(
        second_opinion(overfit(), facts=RunFacts(is_chat=True, epochs=epochs)), Kind.OVERFIT
    )
    assert (chat.severity < certain.severity) == is_weak
    assert ("weak evidence" in chat.sentence) == is_weak


@pytest.mark.parametrize(
    ("name", "is_chat"),
    [
        ("brightrun_lora_v4", True),
        ("sharegpt", True),
        ("OpenAI-messages", True),
        ("chatml", True),
        ("alpaca_instruct", True),
        ("plain_text", False),
        ("completion", False),
        ("chatter", False),
        ("", False),
        (None, False),
    ],
)
def test_chat_data_are_known_by_their_format(name: str | None, is_chat: bool) -> None:
    assert is_chat_format(name) is is_chat


def test_what_came_after_the_checkpoint_of_the_weights_is_a_note() -> None:
    facts = RunFacts(weights_step=1500.0, weights_step_is_certain=True, cost=4.0)
    opinion = second_opinion(broken(150, None, NAN), facts=facts)
    assert opinion.verdict is Verdict.HEALTHY
    assert "The weights are those of step 1,500 of 2,000" in (
        found(opinion, Kind.CHECKPOINT).sentence
    )
    assert opinion.stars is not None
    assert opinion.stars > 1
    probable = second_opinion(
        broken(150, None, NAN), facts=replace(facts, weights_step_is_certain=False)
    )
    assert probable.verdict is Verdict.MINOR_ISSUES
    assert "probably" in found(probable, Kind.CHECKPOINT).sentence


def test_findings_of_other_sources_come_first_among_equals() -> None:
    damaged = Finding(Kind.CHECKPOINT, Severity.SERIOUS, "The weights are damaged.")
    opinion = second_opinion(broken(150, None, NAN), others=[damaged])
    assert opinion.findings[0] is damaged
    assert opinion.findings[1].kind is Kind.NOT_A_NUMBER
    assert second_opinion(healthy(), others=[damaged]).verdict is Verdict.SUSPICIOUS


CURVE: Final = [CurvePoint(10.0 * step, 2.0 - step / 100) for step in range(1, 101)]


def test_the_gap_of_a_stored_curve_is_not_counted_as_one_point() -> None:
    curve = [*CURVE[:50], CURVE[50]._replace(after_gap=True), *CURVE[51:]]
    sentence = found(
        second_opinion(from_curve(curve), downsampled=True), Kind.NOT_A_NUMBER
    ).sentence
    assert sentence == "The training loss is not a number at step 510 of 1,000."


def test_a_stored_curve_that_ends_with_no_number_has_diverged() -> None:
    opinion = second_opinion(from_curve(CURVE, bad_steps=[1010.0, 1200.0]), downsampled=True)
    assert opinion.verdict is Verdict.DIVERGED
    assert "from step 1,010 of 1,200 to the end." in opinion.findings[0].sentence


def test_a_price_is_named_also_where_another_finding_is_more_serious() -> None:
    points = [
        point._replace(training_loss=(point.training_loss or 0.0) * (3 if index % 90 == 50 else 1))
        for index, point in enumerate(flat([2e-4] * 400))
    ]
    opinion = second_opinion(points, facts=RunFacts(cost=10.0))
    assert opinion.findings[0].kind is Kind.SPIKES
    assert str(opinion.recommendation).startswith("Clip the gradients")
    assert "would have saved $" in str(opinion.recommendation)


def test_the_advice_names_the_step_at_which_the_trouble_began() -> None:
    points = [
        point if index < 100 else point._replace(training_loss=1.2 + (index - 100) / 20)
        for index, point in enumerate(healthy())
    ]
    points[190:] = [point._replace(training_loss=None, gradient_norm=NAN) for point in points[190:]]
    opinion = second_opinion(points, facts=RunFacts(cost=8.0))
    assert opinion.findings[0].kind is Kind.NOT_A_NUMBER
    step = found(opinion, Kind.DIVERGENCE).stop_at
    assert step is not None
    assert step < 1100
    assert f"Stopping at step {step:,.0f} would have saved $" in str(opinion.recommendation)
    assert str(opinion.recommendation).count("saved") == 1
