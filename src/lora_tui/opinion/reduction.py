"""How much the run learned: the smoothed training loss, from start to end."""

from __future__ import annotations

import math

from lora_tui import formats
from lora_tui.opinion.findings import Finding, Kind, Severity
from lora_tui.opinion.run import Run
from lora_tui.opinion.words import nats


def reduction(run: Run, *, has_diverged: bool) -> Finding:
    """How far the smoothed loss fell; what that means unless the run has diverged."""
    start, end = run.start, run.end
    fell = percent_fallen(start, end)
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


def percent_fallen(start: float, end: float) -> float:
    """By how many percent a loss fell; NaN where it began at zero or below."""
    return (start - end) / start * 100 if start > 0 else math.nan
