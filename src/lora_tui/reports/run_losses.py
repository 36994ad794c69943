"""The losses of a run for a text: first, last and lowest value, and a curve of block characters.

Pure functions. Losses are in nats a token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui.curves.series import Logged
from lora_tui.domain import StepLoss, usable_loss
from lora_tui.reports.losses import at_step

CURVE_WIDTH: Final = 48
"""Cells of a curve: with its label it fits a phone's or a chat's width."""
SCALE_NOTE: Final = "a square-root scale, which spreads the low losses"
_BLOCKS: Final = "▁▂▃▄▅▆▇█"

Range = tuple[float, float]


@dataclass(frozen=True)
class RunLosses:
    """The losses that a run has logged, by step."""

    training: tuple[StepLoss, ...] = ()
    """Those that are numbers."""
    validation: tuple[StepLoss, ...] = ()
    """Those that are numbers."""
    bad_steps: tuple[float, ...] = ()
    """Where the training loss was not a number."""

    @property
    def steps(self) -> Range | None:
        """The first and the last step; None without any loss."""
        logged = [each.step for each in (*self.training, *self.validation)]
        return (min(logged), max([*logged, *self.bad_steps])) if logged else None


NO_LOSSES: Final = RunLosses()


def run_losses(points: Iterable[Logged]) -> RunLosses:
    """Read the losses of a run's points, which are in order."""
    training: list[StepLoss] = []
    validation: list[StepLoss] = []
    bad: list[float] = []
    for number, point in enumerate(points):
        step = float(number) if point.step is None else point.step
        loss = usable_loss(point.training_loss, point.gradient_norm)
        held_out = point.validation_loss
        if loss is not None:
            training.append(StepLoss(step, loss))
        elif held_out is None or point.training_loss is not None:
            bad.append(step)  # a point with only a validation loss is none that went wrong
        if held_out is not None and math.isfinite(held_out):
            validation.append(StepLoss(step, held_out))
    return RunLosses(tuple(training), tuple(validation), tuple(bad))


def range_of(runs: Iterable[Sequence[StepLoss]]) -> Range | None:
    """The lowest and the highest loss of all; None without any."""
    losses = [each.loss for losses in runs for each in losses]
    return (min(losses), max(losses)) if losses else None


def block_curve(
    losses: Sequence[StepLoss],
    steps: Range,
    scale: Range,
    *,
    bad_steps: Sequence[float] = (),
    width: int = CURVE_WIDTH,
) -> str:
    """The losses over `steps` as blocks; at most `width` cells, blanks at the end left out.

    `scale`: the losses of the lowest and the highest block. A cell shows the mean of its losses,
    one without any the loss before it; a cell that has only `bad_steps` is blank, and so are those
    up to the next loss.
    """
    first, last = steps
    span = last - first

    def column(step: float) -> int:
        return min(width - 1, int((step - first) / span * width)) if span > 0 else 0

    cells: list[list[float]] = [[] for _ in range(width)]
    for each in losses:
        cells[column(each.step)].append(each.loss)
    broken = {column(step) for step in bad_steps}
    filled = [index for index, cell in enumerate(cells) if cell]
    end = filled[-1] + 1 if filled else 0
    curve, block = [], " "
    for index, cell in enumerate(cells[:end]):
        if cell:
            block = _block(sum(cell) / len(cell), scale)
        elif index in broken:
            block = " "
        curve.append(block)
    return "".join(curve)


def loss_numbers(losses: Sequence[StepLoss], *, last: str | None = None) -> list[tuple[str, str]]:
    """First, last and lowest loss as (label, `0.8214 at step 3,000`).

    `last`: how the last one is called where it is not that of `losses`.
    """
    lowest = min(losses, key=lambda each: each.loss)
    return [
        ("first", at_step(losses[0])),
        ("last", last or at_step(losses[-1])),
        ("lowest", at_step(lowest)),
    ]


def _block(loss: float, scale: Range) -> str:
    low, high = scale
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return _BLOCKS[0]
    share = min(1.0, max(0.0, (loss - low) / span))
    return _BLOCKS[round(math.sqrt(share) * (len(_BLOCKS) - 1))]
