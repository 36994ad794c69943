"""Findings from the validation losses: overfitting, the gap to training, missing losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

from lora_tui import formats
from lora_tui.curves.downsample_and_smooth import rolling_median
from lora_tui.opinion.findings import Finding, Kind, Severity, Validation
from lora_tui.opinion.measurements import SIGMA, Run
from lora_tui.opinion.run_facts import RunFacts

OVERFIT_SHARE: Final = 0.05
"""Relative rise from the best validation loss to the end that is a warning."""
OVERFIT_SERIOUS_SHARE: Final = 0.20
"""Relative rise that is serious: the stored weights are clearly not the best of the run."""
OVERFIT_LATEST_BEST: Final = 0.9
"""A best loss after this share of the run is as good as one at the end."""
GAP: Final = 0.5
"""Nats between validation and training loss at the end; the same as in the rating."""


def validation(run: Run, facts: RunFacts, *, has_diverged: bool) -> list[Finding]:
    """Judge the validation losses; a rise is not reported again where the run diverged."""
    recorded = run.validations
    if not recorded and run.bad_validations:
        return []
    if not recorded:
        return [
            Finding(
                Kind.NO_VALIDATION,
                Severity.NOTE,
                "No validation loss was recorded, so overfitting can't be detected.",
                "Keep some examples for validation.",
            )
        ]
    values = [loss for _, loss in recorded]
    level = rolling_median(values, 1 if len(values) < 30 else 2)
    best = min(range(len(values)), key=level.__getitem__)
    # report the lowest of the values from which that level was computed
    near = range(max(0, best - 2), min(len(values), best + 3))
    named = min(near, key=values.__getitem__)
    best_step, best_loss = recorded[named]
    last_step, last_loss = recorded[-1]
    end = median(values[-3:])
    gap_end = last_loss - run.level_at(last_step)
    gap_best = best_loss - run.level_at(best_step)
    gaps = f"the gap to training is {formats.loss(gap_end)}"
    if named != len(values) - 1:
        gaps += f" at the end, {formats.loss(gap_best)} at its best"
    deviations = [abs(value - flat) for value, flat in zip(values, level, strict=True)]
    noise = SIGMA * median(deviations)
    rise = end - level[best]
    share = rise / abs(level[best]) if level[best] else math.inf
    early = not has_diverged and best_step <= OVERFIT_LATEST_BEST * run.last_step
    place = f"step {formats.count(best_step)} of {formats.count(run.last_step)}"
    findings = []
    if len(values) >= 4 and early and share > OVERFIT_SHARE and rise > 4 * noise:
        findings.append(
            _overfit(
                f"The validation loss was best at {place} ({formats.loss(best_loss)}) and ended "
                f"{formats.share(share)} above it ({formats.loss(last_loss)}); {gaps}.",
                f"Validation was best at {place}: train fewer epochs, or stop early.",
                Severity.SERIOUS if share > OVERFIT_SERIOUS_SHARE else Severity.WARNING,
                best_step,
                is_uncertain=facts.is_chat and facts.is_after_first_epoch(best_step, run.last_step),
            )
        )
    elif gap_end > GAP and not has_diverged:
        findings.append(
            Finding(
                Kind.GAP,
                Severity.WARNING,
                f"The validation loss ends {formats.loss(gap_end)} above the training loss "
                f"({formats.loss(last_loss)} at step {formats.count(last_step)}); {gaps}.",
                "Use more or more varied data, more dropout, or a smaller rank.",
                last_step,
            )
        )
    else:
        where = (
            ""
            if named == len(values) - 1
            else f", its best {formats.loss(best_loss)} at step {formats.count(best_step)}"
        )
        findings.append(
            Finding(
                Kind.VALIDATION,
                Severity.NOTE if has_diverged else Severity.GOOD,
                f"The last recorded validation loss is {formats.loss(last_loss)} at step "
                f"{formats.count(last_step)}{where}; {gaps}.",
                step=last_step,
            )
        )
    if not run.last_has_validation:
        findings.append(
            Finding(
                Kind.VALIDATION,
                Severity.NOTE,
                f"The last point has no validation loss: {facts.rating} ignores validation loss.",
                step=last_step,
            )
        )
    return findings


def _overfit(
    sentence: str, advice: str, severity: Severity, best_step: float, *, is_uncertain: bool
) -> Finding:
    """The finding; one severity lower where a rise is weak evidence.

    In instruction tuning the validation loss often rises from the second epoch on, while people
    prefer the answers of the later weights (L. Ouyang et al., "Training language models to follow
    instructions with human feedback", 2022, section 3.5; C. Zhou et al., "LIMA", 2023, appendix B).
    """
    if is_uncertain:
        sentence += (
            " On chat data a rise after the first epoch is weak evidence: answers may still improve"
            " while this loss rises."
        )
        advice = (
            f"Validation was best at step {formats.count(best_step)}: compare answers of that "
            "checkpoint with those of the last one before you train fewer epochs."
        )
        severity = Severity(severity - 1)
    return Finding(Kind.OVERFIT, severity, sentence, advice, best_step, best_step)


def recorded_validation(validations: Sequence[tuple[float, float]]) -> Validation | None:
    """The last and the best of (step, loss) pairs; None where there are none."""
    if not validations:
        return None
    last_step, last = validations[-1]
    best_step, best = min(validations, key=lambda recorded: recorded[1])
    return Validation(last, last_step, best, best_step)
