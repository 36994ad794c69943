"""What the weights add to the second opinion: said with its numbers, never part of the stars."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lora_tui.domain import CurvePoint, WeightSummary
from lora_tui.opinion import Kind, Severity, Verdict, second_opinion, weight_findings

HEALTHY = WeightSummary(
    tensors=448,
    modules=224,
    evaluated=224,
    rank=64,
    norm=10.0,
    median_norm=0.6,
    largest=2.0,
    stable_rank=5.0,
    effective_rank=30.0,
    highest_effective_rank=40.0,
)
FALLING = [CurvePoint(float(step), 3.0 / (1 + step / 20)) for step in range(200)]


def test_healthy_weights_add_nothing() -> None:
    assert weight_findings(HEALTHY) == []
    assert weight_findings(None) == []


def test_damaged_weights_come_first_and_are_serious_and_change_no_star() -> None:
    damaged = replace(HEALTHY, damaged=448, damaged_names=("q_proj.lora_A",), evaluated=0)
    before = second_opinion(FALLING)
    opinion = second_opinion(FALLING, others=weight_findings(damaged))
    first = opinion.findings[0]
    assert (first.kind, first.severity) == (Kind.DAMAGED_WEIGHTS, Severity.SERIOUS)
    assert "448 of 448 tensors" in first.sentence
    assert "q_proj.lora_A" in first.sentence
    assert opinion.verdict is Verdict.SUSPICIOUS
    assert opinion.stars == before.stars == 5
    assert before.verdict is Verdict.HEALTHY


def test_an_adapter_without_effect_is_serious_unless_something_beside_it_was_trained() -> None:
    dead = replace(HEALTHY, dead=224)
    [finding] = weight_findings(dead)
    assert (finding.kind, finding.severity) == (Kind.NO_EFFECT, Severity.SERIOUS)
    [finding] = weight_findings(replace(dead, other_tensors=2))
    assert finding.severity is Severity.WARNING
    assert "2 tensors" in finding.sentence


def test_single_dead_modules_are_a_note() -> None:
    [finding] = weight_findings(replace(HEALTHY, dead=3))
    assert finding.severity is Severity.NOTE
    assert "3 of 224" in finding.sentence


@pytest.mark.parametrize(("rank", "used", "found"), [(64, 10.0, True), (64, 20.0, False)])
def test_a_rank_far_beyond_what_is_used_is_a_fact_with_its_caveat(
    rank: int, used: float, found: bool
) -> None:
    findings = weight_findings(replace(HEALTHY, rank=rank, highest_effective_rank=used))
    assert [finding.kind for finding in findings] == [Kind.UNUSED_RANK] * found
    for finding in findings:
        assert finding.severity is Severity.NOTE
        assert "normal" in finding.sentence
        assert finding.advice is None  # it must not become the advice on a healthy run


def test_a_small_rank_is_never_too_large() -> None:
    assert weight_findings(replace(HEALTHY, rank=8, highest_effective_rank=1.5)) == []


@pytest.mark.parametrize(("norm", "found"), [(10.0, 0), (18.0, 0), (80.0, 1), (1.0, 1)])
def test_a_norm_unlike_those_of_its_peers_is_a_warning(norm: float, found: int) -> None:
    peers = [replace(HEALTHY, norm=value) for value in (9.0, 9.5, 10.0, 10.5, 11.0)]
    findings = weight_findings(replace(HEALTHY, norm=norm), peers)
    assert [finding.kind for finding in findings] == [Kind.UNUSUAL_NORM] * found
    for finding in findings:
        assert "5 other adapters" in finding.sentence


def test_few_damaged_or_unscaled_peers_are_no_comparison() -> None:
    high = replace(HEALTHY, norm=500.0)
    assert weight_findings(high, [HEALTHY] * 3) == []
    assert weight_findings(high, [replace(HEALTHY, scaled=False)] * 9) == []
    assert weight_findings(high, [replace(HEALTHY, damaged=1)] * 9) == []
    assert weight_findings(replace(high, scaled=False), [HEALTHY] * 9) == []
