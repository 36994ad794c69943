"""Single losses that stand out of both of their sides, and an odd one at the end."""

from __future__ import annotations

import math
from statistics import median
from typing import Final

from lora_tui.opinion.findings import Finding, Kind, Severity
from lora_tui.opinion.run import Run
from lora_tui.opinion.words import counted, nats, whole

SPIKE_NOISES: Final = 8.0
"""A spike stands so many standard deviations of the local noise above both of its sides. Normal
noise reaches 3.5 in 3,000 points; real batches have longer tails, and their noise is known only
to about a tenth."""
SPIKE_SHARE: Final = 0.10
"""… and so much of the level there, so that a smooth curve's last digits are no spikes."""
SPIKES_MANY: Final = 3
"""One or two come from an odd batch; more are a habit of the run."""
ODD_NOISES: Final = 6.0
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
    many = len(events) >= SPIKES_MANY
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


def odd_end(run: Run) -> list[Finding]:
    """The rule reads the last point alone; say so where that point misleads."""
    last, end = run.losses[-1], run.end
    away = last - end
    if abs(away) <= max(ODD_NOISES * run.noises[-1], SPIKE_SHARE * abs(end)):
        return []
    return [
        Finding(
            Kind.ODD_END,
            Severity.NOTE,
            f"The last point ({nats(last)}) is far off the level at the end ({nats(end)}); "
            "the stored rating reads that point alone.",
            step=run.steps[-1],
        )
    ]
