"""Builds the second opinion on a run, and compares it with the stored rating."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from lora_tui import formats
from lora_tui.domain import Quality, StepLoss
from lora_tui.opinion.broken_numbers import gradient_norms, non_finite_losses
from lora_tui.opinion.checks import (
    bad_start,
    divergence,
    outlier_at_end,
    plateau,
    reduction,
    reduction_percent,
    spikes,
    too_few_points,
)
from lora_tui.opinion.findings import Comparison, Finding, Kind, Opinion, Severity, Verdict
from lora_tui.opinion.measurements import MIN_POINTS, LoggedPoint, Run
from lora_tui.opinion.run_facts import RunFacts
from lora_tui.opinion.validation import recorded_validation, validation
from lora_tui.quality import rate_reduction

_BREAKDOWNS: Final = (Kind.NOT_A_NUMBER, Kind.GRADIENT, Kind.DIVERGENCE)
"""Findings that give one star, and the verdict that the training diverged, if they are serious."""
_CENT: Final = 0.01
_NO_FACTS: Final = RunFacts()


def second_opinion(
    points: Sequence[LoggedPoint],
    *,
    downsampled: bool = False,
    facts: RunFacts = _NO_FACTS,
    others: Iterable[Finding] = (),
) -> Opinion:
    """Judge a run by its logged points, in the order in which they were logged.

    `downsampled` says that the points were chosen by `downsample`. Such points exaggerate noise, so
    spikes and plateaus are not checked. `others` are findings from other sources than the points;
    of findings that are equally serious they come first. They count for the verdict, never for the
    stars.
    """
    run = Run.from_points(points)
    broken = [*non_finite_losses(run, counted=not downsampled), *gradient_norms(run)]
    findings = [*broken, *_checkpoint(run, facts), *too_few_points(run)]
    if len(run.losses) >= MIN_POINTS:
        findings += _of_curve(run, facts, broken, downsampled=downsampled)
    findings = [
        _priced(_for_weights(finding, facts), run, facts) for finding in _first_breakdown(findings)
    ]
    stars = _stars(run, _verdict(findings, run), facts)
    findings = sorted([*others, *findings], key=lambda finding: -finding.severity)
    return Opinion(
        _verdict(findings, run),
        tuple(findings),
        stars,
        recorded_validation(run.validations),
        run.ends_bad,
        StepLoss(run.steps[-1], run.losses[-1]) if run.losses else None,
    )


def _of_curve(
    run: Run, facts: RunFacts, broken: Sequence[Finding], *, downsampled: bool
) -> list[Finding]:
    findings = divergence(run)
    has_diverged = bool(findings) or any(found.severity is Severity.SERIOUS for found in broken)
    findings.append(reduction(run, has_diverged=has_diverged))
    if downsampled:
        sentence = (
            f"Based on {formats.counted(len(run.losses), 'sampled point')}: "
            "spikes and plateaus were not checked."
        )
        findings.append(Finding(Kind.DOWNSAMPLED, Severity.NOTE, sentence))
    else:
        findings += spikes(run)
        findings += [] if has_diverged else plateau(run)
    findings += bad_start(run, facts)
    findings += outlier_at_end(run, facts)
    findings += validation(run, facts, has_diverged=has_diverged)
    return findings


def _checkpoint(run: Run, facts: RunFacts) -> list[Finding]:
    """Say which step the weights are of, where it is not the last."""
    step = facts.weights_step
    if step is None or step >= run.last_step:
        return []
    place = f"step {formats.count(step)} of {formats.count(run.last_step)}"
    sentence = (
        f"The weights are those of {place}; the rest of the run did not change them."
        if facts.weights_step_is_certain
        else f"The weights are probably those of {place}, the best checkpoint that Trainer recorded"
        " (load_best_model_at_end); the rest of the run then did not change them."
    )
    advice = "Stop the run when the validation loss has not fallen for a while."
    return [Finding(Kind.CHECKPOINT, Severity.NOTE, sentence, advice, step, step)]


def _first_breakdown(findings: Sequence[Finding]) -> list[Finding]:
    """The findings; breakdowns that follow a divergence leave the advice to it."""
    first = next((found.stop_at for found in findings if found.kind is Kind.DIVERGENCE), None)
    return [
        replace(found, advice=None, stop_at=None)
        if first is not None and found.kind in _BREAKDOWNS and (found.stop_at or 0.0) > first
        else found
        for found in findings
    ]


def _for_weights(finding: Finding, facts: RunFacts) -> Finding:
    """A finding about the run after the step of the weights says little about the weights."""
    step, kept = finding.stop_at, facts.weights_step
    if step is None or kept is None or kept > step or finding.severity <= Severity.NOTE:
        return finding
    lower = Severity.NOTE if facts.weights_step_is_certain else Severity(finding.severity - 1)
    return replace(finding, severity=lower)


def _priced(finding: Finding, run: Run, facts: RunFacts) -> Finding:
    """The finding with what a shorter run would have saved, in its advice."""
    if finding.stop_at is None or facts.cost is None or run.last_step <= run.begin:
        return finding
    saved = facts.cost * (run.last_step - finding.stop_at) / (run.last_step - run.begin)
    if not _CENT <= saved <= facts.cost:
        return finding
    price = (
        f"Stopping at step {formats.count(finding.stop_at)} would have saved "
        f"{formats.money(saved)}."
    )
    advice = f"{finding.advice} {price}" if finding.advice else price
    return replace(finding, advice=advice, saved=saved)


def _verdict(findings: Sequence[Finding], run: Run) -> Verdict:
    serious = [finding for finding in findings if finding.severity is Severity.SERIOUS]
    if any(finding.kind in _BREAKDOWNS for finding in serious):
        return Verdict.DIVERGED
    if serious:
        return Verdict.SUSPICIOUS
    if len(run.losses) < MIN_POINTS:
        return Verdict.UNCLEAR
    warned = any(finding.severity is Severity.WARNING for finding in findings)
    return Verdict.MINOR_ISSUES if warned else Verdict.HEALTHY


def _stars(run: Run, verdict: Verdict, facts: RunFacts) -> int | None:
    """The thresholds of the rating applied to the smoothed reduction, up to the weights.

    Divergence or losses that are not numbers give one star. Another serious finding gives at most
    two. A warning removes one star.
    """
    if verdict is Verdict.DIVERGED:
        return 1
    if len(run.losses) < MIN_POINTS or not run.has_scale:
        return None
    end = run.end if facts.weights_step is None else run.level_at(facts.weights_step)
    _, earned = rate_reduction(reduction_percent(run.start, end))
    if verdict is Verdict.SUSPICIOUS:
        return min(2, earned)
    return max(1, earned - 1) if verdict is Verdict.MINOR_ISSUES else earned


def compare_with_rating(opinion: Opinion, quality: Quality) -> Comparison:
    """Compare the suggested rating with the stored one."""
    ours, stored = opinion.stars, quality.stars
    if ours is None:
        return Comparison(None, "Not enough data to confirm or question the stored rating.")
    if stored is None:
        return Comparison(None, f"No rating is stored. Suggested rating: {formats.score(ours)}.")
    if ours == stored:
        return Comparison(True, f"Agrees with the stored rating: {formats.score(stored)}.")
    more = "more" if ours > stored else "fewer"
    difference = abs(ours - stored)
    return Comparison(
        difference == 1,
        f"Suggested rating: {formats.score(ours)}, {formats.counted(difference, 'star')} {more} "
        f"than the stored rating.",
    )
