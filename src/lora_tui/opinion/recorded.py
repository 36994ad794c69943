"""What the points of a run recorded, without judging them: validation losses, and how it ended.

It agrees with the second opinion, and is fast enough for each curve that comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lora_tui.opinion.findings import Validation
from lora_tui.opinion.measurements import clamped, usable_points
from lora_tui.opinion.validation import recorded_validation


class Recorded(NamedTuple):
    """What the points of a run recorded."""

    validation: Validation | None
    """None where no validation loss was recorded."""
    ends_bad: bool
    """Whether the last training loss is not a number."""
    last_step: float | None
    """The step of the last training loss that is a number; None without any."""
    of_curve: bool = False
    """Whether these are points of a drawn curve, which has none that are not numbers."""


def recorded(
    steps: Sequence[float | None],
    losses: Sequence[float | None],
    validations: Sequence[float | None],
    gradients: Sequence[float | None],
) -> Recorded:
    """What the points recorded, in the order in which they were logged; a value for each."""
    places = [
        float(index) if step is None or not math.isfinite(step) else step
        for index, step in enumerate(steps)
    ]
    good = usable_points(losses, gradients)
    last = next((index for index in reversed(range(len(good))) if good[index]), None)
    return Recorded(
        recorded_validation(
            [
                (step, clamped(loss))
                for step, loss in zip(places, validations, strict=True)
                if loss is not None and math.isfinite(loss)
            ]
        ),
        bool(good) and not good[-1],
        None if last is None else places[last],
    )
