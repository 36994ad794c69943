"""Findings from the training loss: usable points, reduction, divergence, plateau, spikes."""

from __future__ import annotations

import math
from statistics import median
from typing import Final

from lora_tui import formats
from lora_tui.opinion.findings import Finding, Kind, Severity, counted, nats, whole
from lora_tui.opinion.measurements import MIN_POINTS, Run


def non_finite_losses(run: Run) -> list[Finding]:
    """Where losses are no number."""
    findings = []
    if run.bad:
        where = f"first at step {whole(run.bad[0])} of {whole(run.last_step)}"
        ending = "; the run ends that way" if run.ends_bad else ""
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.SERIOUS if run.ends_bad else Severity.WARNING,
                f"The training loss is not a number at {formats.count(len(run.bad))} of "
                f"{counted(run.total, 'point')}, {where}{ending}.",
                "Lower the learning rate or clip the gradients; don't serve these weights untested."
                if run.ends_bad
                else "Look at the batches around that step; clip the gradients.",
                run.bad[0],
            )
        )
    if run.bad_validations:
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.WARNING,
                f"The validation loss is not a number at "
                f"{counted(len(run.bad_validations), 'point')}, first at step "
                f"{whole(run.bad_validations[0])}.",
                "Check the validation set for empty examples.",
                run.bad_validations[0],
            )
        )
    return findings


def too_few_points(run: Run) -> list[Finding]:
    """Whether there are too few of them."""
    count = len(run.losses)
    if count >= MIN_POINTS:
        return []
    if count == 0:
        sentence = "No training loss was recorded: there is nothing to judge by."
    else:
        sentence = (
            f"Only {counted(count, 'training loss', 'training losses')} "
            f"{'was' if count == 1 else 'were'} recorded; fewer than {MIN_POINTS} "
            "don't tell a trend from noise."
        )
    advice = None if run.total == 0 else "Log the loss more often."
    return [Finding(Kind.FEW_POINTS, Severity.NOTE, sentence, advice)]


def reduction(run: Run, *, has_diverged: bool) -> Finding:
    """How far the smoothed loss fell; what that means unless the run has diverged."""
    start, end = run.start, run.end
    fell = reduction_percent(start, end)
    if end > start:
        sentence = f"The smoothed training loss rose from {nats(start)} to {nats(end)}."
    else:
        share = "" if math.isnan(fell) else f" ({formats.percent(fell)})"
        sentence = f"The smoothed training loss fell from {nats(start)} to {nats(end)}{share}."
    if has_diverged:
        return Finding(Kind.REDUCTION, Severity.NOTE, sentence)
    if fell > 15:
        return Finding(Kind.REDUCTION, Severity.GOOD, sentence)
    if fell > 5:
        return Finding(
            Kind.REDUCTION,
            Severity.NOTE,
            f"{sentence} It learned little.",
            "Try a higher learning rate or rank, unless the base model knows this data already.",
        )
    return Finding(
        Kind.REDUCTION,
        Severity.WARNING,
        f"{sentence} It learned next to nothing.",
        "Check the learning rate, and whether the data has the format that the trainer expects.",
    )


def reduction_percent(start: float, end: float) -> float:
    """By how many percent a loss fell; NaN where it began at zero or below."""
    return (start - end) / start * 100 if start > 0 else math.nan


LOST_SHARE: Final = 0.15
"""Of what was learned: a rise from the lowest level that is more than the end of a cycle."""
DIVERGED_SHARE: Final = 0.5
"""Half of what was learned is lost again: the run has diverged."""
RISE_ERRORS: Final = 6.0
"""Standard errors a rise must exceed. The lowest of about 20 levels is 2 below the mean already."""
RISE_SHARE: Final = 0.10
"""… and so much of the level: less is within what a slow drift of the batches does."""


def divergence(run: Run) -> list[Finding]:
    """A rise from the lowest level that is more than noise and gave back what was learned."""
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
    lost = "all" if share >= 1 else f"{share:.0%}"
    return [
        Finding(
            Kind.DIVERGENCE,
            Severity.SERIOUS if share >= DIVERGED_SHARE else Severity.WARNING,
            f"The training loss turned at step {whole(step)} of {whole(run.last_step)}: from "
            f"{nats(low)} it rose to {nats(end)}, losing {lost} of what was learned.",
            f"Lower the learning rate or clip the gradients; a checkpoint near step {whole(step)} "
            "would be better.",
            step,
        )
    ]


PLATEAU_MIN_REDUCTION: Final = 0.05
"""A run that learned less than this has nothing to be a tenth of."""
PLATEAU_LATEST_START: Final = 0.3
"""It must begin before this share of the run. A run should decay about five times; then the last
70 % still buy a fifth of the reduction."""
PLATEAU_MAX_GAIN: Final = 0.10
"""… so a tenth or less, with the error of the measurement added, is a plateau. It wastes money,
not quality: a note, never a warning."""
_SHARES: Final = tuple(share / 20 for share in range(2, round(20 * PLATEAU_LATEST_START) + 1))


def plateau(run: Run) -> list[Finding]:
    """The longest rest of the run that bought a tenth of the reduction or less."""
    count, total = len(run.losses), run.start - run.end
    if total <= max(PLATEAU_MIN_REDUCTION * abs(run.start), 3 * run.error(run.end_count, -1)):
        return []
    for share in _SHARES:
        first = int(count * share)
        rest = run.losses[first:]
        head, tail = max(5, len(rest) // 6), max(5, len(rest) // 4)
        bought = median(rest[:head]) - median(rest[-tail:])
        error = math.hypot(
            run.error(head, min(count - 1, first + head // 2)), run.error(tail, -1 - tail // 2)
        )
        if abs(bought) + error <= PLATEAU_MAX_GAIN * total:
            remaining = 1 - share
            step = run.steps[first]
            return [
                Finding(
                    Kind.PLATEAU,
                    Severity.NOTE,
                    f"The last {remaining:.0%} of the run bought "
                    f"{max(0.0, bought) / total:.0%} of the reduction: it stood still from about "
                    f"step {whole(step)} of {whole(run.last_step)}.",
                    "Fewer epochs would give the same model for less; or change the learning rate, "
                    "rank or data to learn more.",
                    step,
                )
            ]
    return []


SPIKE_NOISES: Final = 8.0
"""A spike stands so many standard deviations of the local noise above both of its sides. Normal
noise reaches 3.5 in 3,000 points; real batches have longer tails, and their noise is known only
to about a tenth."""
SPIKE_SHARE: Final = 0.10
"""… and so much of the level there, so that a smooth curve's last digits are no spikes."""
MANY_SPIKES: Final = 3
"""One or two come from an odd batch; more are a habit of the run."""
OUTLIER_NOISES: Final = 6.0
"""How far the last point may be off the end's level; the rule reads that point alone."""
_SIDE: Final = 8


def spikes(run: Run) -> list[Finding]:
    """Losses far above their surroundings, told as one finding with the highest of them."""
    events: list[tuple[float, float, float]] = []
    """(height, noises, step), neighbours as one."""
    newest = -2
    losses = run.losses
    for index in range(_SIDE, len(losses) - _SIDE):
        noise = run.noises[index]
        height = losses[index] - run.levels[index]
        if height <= max(SPIKE_NOISES * noise, SPIKE_SHARE * abs(run.levels[index])):
            continue
        # against the higher side: neither a steep start nor a step upwards is a spike
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
    times = "" if noises > 1e4 else f", {noises:.0f} times the noise there"
    first = "A spike" if len(events) == 1 else f"{counted(len(events), 'spike')}; the highest"
    return [
        Finding(
            Kind.SPIKES,
            Severity.WARNING if many else Severity.NOTE,
            f"{first} at step {whole(step)} stands {nats(height)} above its surroundings{times}.",
            "Clip the gradients, use larger batches, or look for odd examples in the data."
            if many
            else None,
            step,
        )
    ]


def outlier_at_end(run: Run) -> list[Finding]:
    """The rule reads the last point alone; say so where that point misleads."""
    last, end = run.losses[-1], run.end
    away = last - end
    if abs(away) <= max(OUTLIER_NOISES * run.noises[-1], SPIKE_SHARE * abs(end)):
        return []
    return [
        Finding(
            Kind.OUTLIER_END,
            Severity.NOTE,
            f"The last point ({nats(last)}) is far off the level at the end ({nats(end)}); "
            "the stored rating reads that point alone.",
            step=run.steps[-1],
        )
    ]
