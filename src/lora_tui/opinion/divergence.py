"""Whether the training loss turned and lost again what was learned."""

from __future__ import annotations

import math
from typing import Final

from lora_tui.opinion.findings import Finding, Kind, Severity
from lora_tui.opinion.run import Run
from lora_tui.opinion.words import nats, whole

GAVE_BACK: Final = 0.15
"""Of what was learned: a rise from the lowest level that is more than the end of a cycle."""
GAVE_BACK_MOST: Final = 0.5
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
    if share < GAVE_BACK:
        return []
    step = run.steps[lowest]
    lost = "all" if share >= 1 else f"{share:.0%}"
    return [
        Finding(
            Kind.DIVERGENCE,
            Severity.SERIOUS if share >= GAVE_BACK_MOST else Severity.WARNING,
            f"The training loss turned at step {whole(step)} of {whole(run.last_step)}: from "
            f"{nats(low)} it rose to {nats(end)}, losing {lost} of what was learned.",
            f"Lower the learning rate or clip the gradients; a checkpoint near step {whole(step)} "
            "would be better.",
            step,
        )
    ]
