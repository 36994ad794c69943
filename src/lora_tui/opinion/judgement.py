"""Builds the second opinion on a run, and compares it with the stored rating."""

from __future__ import annotations

from collections.abc import Sequence

from lora_tui import formats
from lora_tui.domain import Quality
from lora_tui.opinion.checks import (
    divergence,
    non_finite_losses,
    outlier_at_end,
    plateau,
    recorded_validation,
    reduction,
    reduction_percent,
    spikes,
    too_few_points,
    validation,
)
from lora_tui.opinion.findings import Comparison, Finding, Kind, Opinion, Severity, Verdict
from lora_tui.opinion.measurements import MIN_POINTS, LoggedPoint, Run
from lora_tui.quality import rate_reduction


def second_opinion(points: Sequence[LoggedPoint], *, downsampled: bool = False) -> Opinion:
    """Judge a run by its logged points, in the order in which they were logged.

    `downsampled` says that the points were chosen by `downsample`. Such points exaggerate noise, so
    spikes and plateaus are not checked.
    """
    run = Run.from_points(points)
    findings = [*non_finite_losses(run), *too_few_points(run)]
    if len(run.losses) >= MIN_POINTS:
        findings += divergence(run)
        has_diverged = any(finding.kind is Kind.DIVERGENCE for finding in findings)
        findings.append(reduction(run, has_diverged=has_diverged))
        if downsampled:
            sentence = (
                f"Based on {formats.counted(len(points), 'sampled point')}: "
                "spikes and plateaus were not checked."
            )
            findings.append(Finding(Kind.DOWNSAMPLED, Severity.NOTE, sentence))
        else:
            findings += spikes(run)
            findings += [] if has_diverged else plateau(run)
        findings += outlier_at_end(run)
        findings += validation(run, has_diverged=has_diverged)
    findings.sort(key=lambda finding: -finding.severity)
    verdict = _verdict(findings, run)
    return Opinion(
        verdict,
        tuple(findings),
        _stars(findings, run, verdict),
        recorded_validation(run.validations),
    )


def _verdict(findings: Sequence[Finding], run: Run) -> Verdict:
    worst = max((finding.severity for finding in findings), default=Severity.NOTE)
    if worst is Severity.SERIOUS:
        return Verdict.SUSPICIOUS
    if len(run.losses) < MIN_POINTS:
        return Verdict.UNCLEAR
    return Verdict.MINOR_ISSUES if worst is Severity.WARNING else Verdict.HEALTHY


def _stars(findings: Sequence[Finding], run: Run, verdict: Verdict) -> int | None:
    """The thresholds of the rating applied to the smoothed reduction.

    Divergence or losses that are not numbers give one star. Another serious finding gives at most
    two. A warning removes one star.
    """
    serious = {finding.kind for finding in findings if finding.severity is Severity.SERIOUS}
    if Kind.NOT_A_NUMBER in serious or Kind.DIVERGENCE in serious:
        return 1
    if len(run.losses) < MIN_POINTS:
        return None
    _, earned = rate_reduction(reduction_percent(run.start, run.end))
    if serious:
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
