"""What the validation losses tell: overfitting, the gap to training, or that there are none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

from lora_tui.curves.downsample_and_smooth import rolling_median
from lora_tui.opinion.findings import Finding, Kind, Severity, Validation, nats, whole
from lora_tui.opinion.measurements import SIGMA, Run

OVERFIT_SHARE: Final = 0.05
"""The validation loss ends so much above its best: as much as the rule's step to a star."""
OVERFIT_SERIOUS_SHARE: Final = 0.20
"""Here the file that was stored is clearly not the best that the run had."""
OVERFIT_LATEST_BEST: Final = 0.9
"""A best this late in the run can't be told from the end."""
GAP: Final = 0.5
"""Nats between validation and training: the figure of the pipeline's rule."""


def validation(run: Run, *, has_diverged: bool) -> list[Finding]:
    """A validation loss that rises says nothing of its own where the training loss ran away."""
    recorded = run.validations
    if not recorded:
        return [
            Finding(
                Kind.NO_VALIDATION,
                Severity.NOTE,
                "No validation loss was recorded: overfitting can't be seen.",
                "Hold some examples back for validation.",
            )
        ]
    values = [loss for _, loss in recorded]
    level = rolling_median(values, 1 if len(values) < 30 else 2)
    best = min(range(len(values)), key=level.__getitem__)
    # of the few values that the level there comes from, name the lowest
    near = range(max(0, best - 2), min(len(values), best + 3))
    named = min(near, key=values.__getitem__)
    best_step, best_loss = recorded[named]
    last_step, last_loss = recorded[-1]
    end = median(values[-3:])
    gap_end = last_loss - run.level_at(last_step)
    gap_best = best_loss - run.level_at(best_step)
    gaps = f"the gap to training is {nats(gap_end)}"
    if named != len(values) - 1:
        gaps += f" at the end, {nats(gap_best)} at its best"
    deviations = [abs(value - flat) for value, flat in zip(values, level, strict=True)]
    noise = SIGMA * median(deviations)
    rise = end - level[best]
    share = rise / abs(level[best]) if level[best] else math.inf
    early = not has_diverged and best_step <= OVERFIT_LATEST_BEST * run.last_step
    findings = []
    if len(values) >= 4 and early and share > OVERFIT_SHARE and rise > 4 * noise:
        findings.append(
            Finding(
                Kind.OVERFIT,
                Severity.SERIOUS if share > OVERFIT_SERIOUS_SHARE else Severity.WARNING,
                f"The validation loss was best at step {whole(best_step)} of "
                f"{whole(run.last_step)} ({nats(best_loss)}) and ended {share:.0%} above it "
                f"({nats(last_loss)}); {gaps}.",
                f"Validation was best at step {whole(best_step)} of {whole(run.last_step)}: "
                "fewer epochs, or stop early.",
                best_step,
            )
        )
    elif gap_end > GAP and not has_diverged:
        findings.append(
            Finding(
                Kind.GAP,
                Severity.WARNING,
                f"The validation loss ends {nats(gap_end)} above the training loss "
                f"({nats(last_loss)} at step {whole(last_step)}); {gaps}.",
                "More or more varied data, more dropout, or a smaller rank.",
                last_step,
            )
        )
    else:
        where = (
            ""
            if named == len(values) - 1
            else f", its best {nats(best_loss)} at step {whole(best_step)}"
        )
        findings.append(
            Finding(
                Kind.VALIDATION,
                Severity.NOTE if has_diverged else Severity.GOOD,
                f"The last recorded validation loss is {nats(last_loss)} at step "
                f"{whole(last_step)}{where}; {gaps}.",
                step=last_step,
            )
        )
    if not run.last_has_validation:
        findings.append(
            Finding(
                Kind.VALIDATION,
                Severity.NOTE,
                "The last point has no validation loss, so the stored rating knows none.",
                step=last_step,
            )
        )
    return findings


def recorded_validation(validations: Sequence[tuple[float, float]]) -> Validation | None:
    """The last and the best of them; None where there is none."""
    if not validations:
        return None
    last_step, last = validations[-1]
    best_step, best = min(validations, key=lambda recorded: recorded[1])
    return Validation(last, last_step, best, best_step)
