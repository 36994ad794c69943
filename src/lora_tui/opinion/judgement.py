"""From a run's points to the opinion on it: all findings, the verdict, the stars."""

from __future__ import annotations

from collections.abc import Sequence

from lora_tui.opinion.divergence import divergence
from lora_tui.opinion.findings import Finding, Kind, Opinion, Severity, Verdict
from lora_tui.opinion.plateau import plateau
from lora_tui.opinion.recording import enough, unusable
from lora_tui.opinion.reduction import percent_fallen, reduction
from lora_tui.opinion.run import LEAST_POINTS, Recorded, Run
from lora_tui.opinion.spikes import odd_end, spikes
from lora_tui.opinion.validation import recorded_validation, validation
from lora_tui.opinion.words import counted
from lora_tui.quality import rate_reduction


def second_opinion(points: Sequence[Recorded], *, thinned: bool = False) -> Opinion:
    """Judge a run by its logged points, in their order.

    `thinned` points are chosen for their looks (curves.downsample): they are too few, and too far
    out, to measure noise by, so spikes and plateaus are not looked for.
    """
    run = Run.of(points)
    findings = [*unusable(run), *enough(run)]
    if len(run.losses) >= LEAST_POINTS:
        findings += divergence(run)
        has_diverged = any(finding.kind is Kind.DIVERGENCE for finding in findings)
        findings.append(reduction(run, has_diverged=has_diverged))
        if thinned:
            sentence = (
                f"Only {counted(len(points), 'point')} of the curve "
                f"{'is' if len(points) == 1 else 'are'} here: spikes and plateaus can't be seen."
            )
            findings.append(Finding(Kind.THINNED, Severity.NOTE, sentence))
        else:
            findings += spikes(run)
            findings += [] if has_diverged else plateau(run)
        findings += odd_end(run)
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
        return Verdict.UNSOUND
    if len(run.losses) < LEAST_POINTS:
        return Verdict.UNCLEAR
    return Verdict.DOUBTFUL if worst is Severity.WARNING else Verdict.SOUND


def _stars(findings: Sequence[Finding], run: Run, verdict: Verdict) -> int | None:
    """The rule's own steps on the smoothed reduction, so that it differs only by what it saw.

    A run that broke keeps one star, another serious finding leaves two, warnings take one off.
    """
    serious = {finding.kind for finding in findings if finding.severity is Severity.SERIOUS}
    if Kind.NOT_A_NUMBER in serious or Kind.DIVERGENCE in serious:
        return 1
    if len(run.losses) < LEAST_POINTS:
        return None
    _, earned = rate_reduction(percent_fallen(run.start, run.end))
    if serious:
        return min(2, earned)
    return max(1, earned - 1) if verdict is Verdict.DOUBTFUL else earned
