"""Findings from the losses of a run.

From the training loss: usable points, reduction, divergence, plateau, spikes. From the validation
losses: overfitting, the gap to training, missing losses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

from lora_tui import formats
from lora_tui.curves.downsample_and_smooth import rolling_median
from lora_tui.opinion.findings import Finding, Kind, Severity, Validation
from lora_tui.opinion.measurements import MIN_POINTS, SIGMA, Run

OVERFIT_SHARE: Final = 0.05
"""Relative rise from the best validation loss to the end that is a warning."""
OVERFIT_SERIOUS_SHARE: Final = 0.20
"""Relative rise that is serious: the stored weights are clearly not the best of the run."""
OVERFIT_LATEST_BEST: Final = 0.9
"""A best loss after this share of the run is as good as one at the end."""
GAP: Final = 0.5
"""Nats between validation and training loss at the end; the same as in the rating."""


def non_finite_losses(run: Run) -> list[Finding]:
    """Find training and validation losses that are NaN or infinite."""
    findings = []
    if run.bad:
        where = f"first at step {formats.count(run.bad[0])} of {formats.count(run.last_step)}"
        ending = ", and at the end of the run" if run.ends_bad else ""
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.SERIOUS if run.ends_bad else Severity.WARNING,
                f"The training loss is not a number at {formats.count(len(run.bad))} of "
                f"{formats.counted(run.total, 'point')}, {where}{ending}.",
                "Lower the learning rate or clip the gradients. Test the weights before serving."
                if run.ends_bad
                else "Check the batches around that step, or clip the gradients.",
                run.bad[0],
            )
        )
    if run.bad_validations:
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.WARNING,
                f"The validation loss is not a number at "
                f"{formats.counted(len(run.bad_validations), 'point')}, first at step "
                f"{formats.count(run.bad_validations[0])}.",
                "Check the validation set for empty examples.",
                run.bad_validations[0],
            )
        )
    return findings


def too_few_points(run: Run) -> list[Finding]:
    """Find that the run has too few training losses to judge it."""
    count = len(run.losses)
    if count >= MIN_POINTS:
        return []
    if count == 0:
        sentence = "No training loss was recorded."
    else:
        sentence = (
            f"Only {formats.counted(count, 'training loss', 'training losses')} "
            f"{'was' if count == 1 else 'were'} recorded; an opinion needs at least {MIN_POINTS}."
        )
    advice = None if run.total == 0 else "Log the loss more often."
    return [Finding(Kind.FEW_POINTS, Severity.NOTE, sentence, advice)]


def reduction(run: Run, *, has_diverged: bool) -> Finding:
    """Report how far the smoothed loss fell; judge it unless the run diverged."""
    start, end = run.start, run.end
    fell = reduction_percent(start, end)
    change = f"from {formats.loss(start)} to {formats.loss(end)}"
    if end > start:
        sentence = f"The smoothed training loss rose {change}."
    else:
        share = "" if math.isnan(fell) else f" ({formats.percent(fell)})"
        sentence = f"The smoothed training loss fell {change}{share}."
    if has_diverged:
        return Finding(Kind.REDUCTION, Severity.NOTE, sentence)
    if fell > 15:
        return Finding(Kind.REDUCTION, Severity.GOOD, sentence)
    if fell > 5:
        return Finding(
            Kind.REDUCTION,
            Severity.NOTE,
            f"{sentence} The model learned little.",
            "Try a higher learning rate or rank, unless the base model already knows this data.",
        )
    return Finding(
        Kind.REDUCTION,
        Severity.WARNING,
        f"{sentence} The model learned almost nothing.",
        "Check the learning rate and the format of the training data.",
    )


def reduction_percent(start: float, end: float) -> float:
    """The reduction of a loss in percent; NaN where it started at zero or below."""
    return (start - end) / start * 100 if start > 0 else math.nan


LOST_SHARE: Final = 0.15
"""A smaller rise, as a share of the reduction, is normal at the end of a learning rate cycle."""
DIVERGED_SHARE: Final = 0.5
"""From this share of the reduction on, a rise is serious."""
RISE_ERRORS: Final = 6.0
"""Standard errors that a rise must exceed. The lowest of 20 levels is already 2 below the mean."""
RISE_SHARE: Final = 0.10
"""Share of the level that a rise must exceed; less may be a slow drift between batches."""


def divergence(run: Run) -> list[Finding]:
    """Detect a rise from the lowest level that exceeds the noise and undoes the reduction."""
    lowest = min(range(len(run.levels)), key=run.levels.__getitem__)
    low, end, start = run.levels[lowest], run.end, run.start
    rise = end - low
    if rise <= max(RISE_SHARE * abs(low), RISE_ERRORS * run.error(run.end_count, -1)):
        return []
    gained = max(0.0, start - low)
    share = rise / gained if gained > 0 else math.inf
    if share < LOST_SHARE:
        return []
    step = run.steps[lowest]
    lost = "all" if share >= 1 else formats.share(share)
    return [
        Finding(
            Kind.DIVERGENCE,
            Severity.SERIOUS if share >= DIVERGED_SHARE else Severity.WARNING,
            f"The training loss rose from {formats.loss(low)} at step {formats.count(step)} of "
            f"{formats.count(run.last_step)} to {formats.loss(end)}, which undid {lost} of the "
            "reduction.",
            "Lower the learning rate or clip the gradients. A checkpoint near step "
            f"{formats.count(step)} would be better.",
            step,
        )
    ]


PLATEAU_MIN_REDUCTION: Final = 0.05
"""Relative reduction below which a plateau is not checked."""
PLATEAU_LATEST_START: Final = 0.3
"""A plateau must start before this share of the run. In a run that decays five times, the last 70 %
still contribute a fifth of the reduction."""
PLATEAU_MAX_GAIN: Final = 0.10
"""The largest share of the reduction, with its error, that a plateau contributes. A plateau wastes
money, not quality, so it is a note and never a warning."""
_SHARES: Final = tuple(share / 20 for share in range(2, round(20 * PLATEAU_LATEST_START) + 1))


def plateau(run: Run) -> list[Finding]:
    """Detect a final plateau: the longest end of the run that hardly reduced the loss."""
    count, total = len(run.losses), run.start - run.end
    if total <= max(PLATEAU_MIN_REDUCTION * abs(run.start), 3 * run.error(run.end_count, -1)):
        return []
    for share in _SHARES:
        first = int(count * share)
        rest = run.losses[first:]
        head, tail = max(5, len(rest) // 6), max(5, len(rest) // 4)
        gain = median(rest[:head]) - median(rest[-tail:])
        error = math.hypot(
            run.error(head, min(count - 1, first + head // 2)), run.error(tail, -1 - tail // 2)
        )
        if abs(gain) + error <= PLATEAU_MAX_GAIN * total:
            step = run.steps[first]
            return [
                Finding(
                    Kind.PLATEAU,
                    Severity.NOTE,
                    f"Plateau from about step {formats.count(step)} of "
                    f"{formats.count(run.last_step)}: the last {formats.share(1 - share)} of the "
                    f"run contributed {formats.share(max(0.0, gain) / total)} of the reduction.",
                    "Train fewer epochs for the same result at a lower cost, or change the "
                    "learning rate, the rank or the data.",
                    step,
                )
            ]
    return []


SPIKE_NOISES: Final = 8.0
"""Height of a spike over its neighbours, in standard deviations of the local noise. Normal noise
reaches 3.5 in 3,000 points; real batches have longer tails."""
SPIKE_SHARE: Final = 0.10
"""Height of a spike as a share of the level; it excludes rounding errors on smooth curves."""
MANY_SPIKES: Final = 3
"""From this number on, spikes are a warning. One or two may come from an unusual batch."""
OUTLIER_NOISES: Final = 6.0
"""Distance of an outlier from the level at the end, in standard deviations of the noise."""
_SIDE: Final = 8
"""Points on each side that a spike is compared with."""


def spikes(run: Run) -> list[Finding]:
    """Detect losses far above their neighbours; one finding names the highest."""
    events: list[tuple[float, float, float]] = []
    """(height, height in noise, step); neighbouring points count as one spike."""
    newest = -2
    losses = run.losses
    for index in range(_SIDE, len(losses) - _SIDE):
        noise = run.noises[index]
        height = losses[index] - run.levels[index]
        if height <= max(SPIKE_NOISES * noise, SPIKE_SHARE * abs(run.levels[index])):
            continue
        # compare with the higher side: a steep start or a step upwards is no spike
        sides = (losses[index - _SIDE : index], losses[index + 1 : index + 1 + _SIDE])
        level = max(median(side) for side in sides)
        height = losses[index] - level
        if height <= max(SPIKE_NOISES * noise, SPIKE_SHARE * abs(level)):
            continue
        event = (height, height / noise if noise > 0 else math.inf, run.steps[index])
        if index == newest + 1:
            events[-1] = max(events[-1], event)
        else:
            events.append(event)
        newest = index
    if not events:
        return []
    height, noises, step = max(events)
    many = len(events) >= MANY_SPIKES
    times = "" if noises > 1e4 else f", {formats.count(noises)} times the local noise"
    spike = "A spike" if len(events) == 1 else formats.counted(len(events), "spike")
    first = spike if len(events) == 1 else f"{spike}; the highest"
    return [
        Finding(
            Kind.SPIKES,
            Severity.WARNING if many else Severity.NOTE,
            f"{first} at step {formats.count(step)} is {formats.loss(height)} above its neighbours"
            f"{times}.",
            "Clip the gradients, use larger batches, or look for unusual examples in the data."
            if many
            else None,
            step,
        )
    ]


def outlier_at_end(run: Run) -> list[Finding]:
    """Detect a last point that misleads the stored rating, which uses only that point."""
    last, end = run.losses[-1], run.end
    away = last - end
    if abs(away) <= max(OUTLIER_NOISES * run.noises[-1], SPIKE_SHARE * abs(end)):
        return []
    return [
        Finding(
            Kind.OUTLIER_END,
            Severity.NOTE,
            f"The last training loss ({formats.loss(last)}) is far from the level at the end "
            f"({formats.loss(end)}). The stored rating uses only the last value.",
            step=run.steps[-1],
        )
    ]


def validation(run: Run, *, has_diverged: bool) -> list[Finding]:
    """Judge the validation losses; a rise is not reported again where the run diverged."""
    recorded = run.validations
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
            Finding(
                Kind.OVERFIT,
                Severity.SERIOUS if share > OVERFIT_SERIOUS_SHARE else Severity.WARNING,
                f"The validation loss was best at {place} ({formats.loss(best_loss)}) and ended "
                f"{formats.share(share)} above it ({formats.loss(last_loss)}); {gaps}.",
                f"Validation was best at {place}: train fewer epochs, or stop early.",
                best_step,
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
                "The last point has no validation loss: the stored rating ignores validation loss.",
                step=last_step,
            )
        )
    return findings


def recorded_validation(validations: Sequence[tuple[float, float]]) -> Validation | None:
    """The last and the best of (step, loss) pairs; None where there are none."""
    if not validations:
        return None
    last_step, last = validations[-1]
    best_step, best = min(validations, key=lambda recorded: recorded[1])
    return Validation(last, last_step, best, best_step)
