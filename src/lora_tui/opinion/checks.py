"""Findings from the training losses: too few points, reduction, divergence, plateau, spikes."""

from __future__ import annotations

import math
from statistics import median
from typing import Final

from lora_tui import formats
from lora_tui.opinion.findings import Finding, Kind, Severity
from lora_tui.opinion.measurements import MIN_POINTS, Run
from lora_tui.opinion.run_facts import RunFacts


def too_few_points(run: Run) -> list[Finding]:
    """Find that the run has too few training losses to judge it."""
    count = len(run.losses)
    if count >= MIN_POINTS or (run.bad and not count):
        return []
    if count == 0:
        sentence = "No training loss was recorded."
    elif run.bad:
        verb = "is a number" if count == 1 else "are numbers"
        sentence = (
            f"Only {formats.count(count)} of {formats.count(run.total)} training losses {verb}; an"
            f" opinion needs at least {MIN_POINTS}."
        )
    else:
        sentence = (
            f"Only {formats.counted(count, 'training loss', 'training losses')} "
            f"{'was' if count == 1 else 'were'} recorded; an opinion needs at least {MIN_POINTS}."
        )
    advice = None if run.total == 0 or run.bad else "Log the loss more often."
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
    if not run.has_scale:
        return Finding(
            Kind.REDUCTION,
            Severity.NOTE,
            f"{sentence} It started at {formats.loss(start)}, as the loss of other objectives than "
            "language modelling may do (GRPO, for example), so its reduction says nothing.",
        )
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
    if not run.has_scale:
        return []
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
    change = (
        f"from {formats.loss(low)} at step {formats.count(step)} of "
        f"{formats.count(run.last_step)} to {formats.loss(end)}"
    )
    advice = "Lower the learning rate or clip the gradients."
    if gained <= run.error(run.end_count, lowest):
        what = f"The training loss rose {change}; before, it had not fallen."
    else:
        lost = "all" if share >= 1 else formats.share(share)
        what = f"The training loss rose {change}, which undid {lost} of the reduction."
        advice += f" A checkpoint near step {formats.count(step)} would be better."
    is_serious = share >= DIVERGED_SHARE
    return [
        Finding(
            Kind.DIVERGENCE,
            Severity.SERIOUS if is_serious else Severity.WARNING,
            f"The training diverged. {what}" if is_serious else what,
            advice,
            step,
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
            reason, advice = _reason_for_plateau(run, first)
            return [
                Finding(
                    Kind.PLATEAU,
                    Severity.NOTE,
                    f"Plateau from about step {formats.count(step)} of "
                    f"{formats.count(run.last_step)}: the last {formats.share(1 - share)} of the "
                    f"run contributed {formats.share(max(0.0, gain) / total)} of the reduction."
                    f"{reason}",
                    advice,
                    step,
                    step,
                )
            ]
    return []


NEAR_ZERO_RATE: Final = 0.1
"""Share of the highest learning rate below which a flat loss is the schedule's."""


def _reason_for_plateau(run: Run, first: int) -> tuple[str, str]:
    """Why the loss is flat from a point on, as far as the learning rate tells it; the advice."""
    peak = max((rate for rate in run.rates if rate is not None), default=0.0)
    rates = [rate for rate in run.rates[first:] if rate is not None]
    advice = "Train fewer epochs for the same result at a lower cost"
    if not rates or peak <= 0:
        return "", f"{advice}, or change the learning rate, the rank or the data."
    usual = median(rates)
    part = formats.share(usual / peak) if usual >= peak / 100 else "less than 1 %"
    share = f"{formats.number(usual)}, {part} of its highest value"
    if usual < NEAR_ZERO_RATE * peak:
        return (
            f" The learning rate was near zero there (median {share}): the schedule had ended, so "
            "the flat loss does not show that the model has learned all it can.",
            "Fit the schedule to the length of the run, or end the run with the schedule.",
        )
    return (
        f" The learning rate was still high there (median {share}), so the model was saturated: "
        "it had learned what it can from these data.",
        f"{advice}, or change the rank or the data.",
    )


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


def bad_start(run: Run, facts: RunFacts) -> list[Finding]:
    """Detect a first loss of 0, or none, that misleads the stored rating: it compares with it."""
    if run.first_loss or not run.has_scale:
        return []
    first = "0" if run.first_loss == 0 else "not a number"
    return [
        Finding(
            Kind.OUTLIER_START,
            Severity.NOTE,
            f"The first logged loss is {first}; the level at the start is "
            f"{formats.loss(run.start)}. {_sentence(facts)} compares with that first value.",
            step=run.begin,
        )
    ]


def outlier_at_end(run: Run, facts: RunFacts) -> list[Finding]:
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
            f"({formats.loss(end)}). {_sentence(facts)} uses only the last value.",
            step=run.steps[-1],
        )
    ]


def _sentence(facts: RunFacts) -> str:
    """The rating as the beginning of a sentence."""
    return facts.rating[0].upper() + facts.rating[1:]
