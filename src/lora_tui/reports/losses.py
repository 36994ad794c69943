"""Writes the losses of a model as every place shows them: with the step where it is not the last.

The stored rating reads only the last point, which may have no validation loss, or a training loss
that is not a number. Pure functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_tui import formats
from lora_tui.domain import EvaluationSet, Model, StepLoss

if TYPE_CHECKING:
    from lora_tui.opinion import Opinion

NOT_A_NUMBER = "NaN"


def training_loss(model: Model, opinion: Opinion | None) -> float | None:
    """The last training loss; None where it is unknown, or not a number."""
    if opinion is not None and opinion.ends_bad:
        return None
    stored = model.quality.final_training_loss
    return model.training.final_loss if stored is None else stored


def validation_loss(model: Model, opinion: Opinion | None) -> StepLoss | None:
    """The last recorded validation loss with its step; None where none is known with its step."""
    if opinion is not None and opinion.validation is not None:
        return StepLoss(opinion.validation.last_step, opinion.validation.last)
    return model.training.last_validation


def training_loss_text(model: Model, opinion: Opinion | None) -> str:
    """`0.8214`, or `NaN (last number 2.5294 at step 20)`."""
    if opinion is None or not opinion.ends_bad:
        return formats.loss(training_loss(model, opinion))
    last = opinion.last_number
    return f"{NOT_A_NUMBER} (last number {at_step(last)})" if last else NOT_A_NUMBER


def validation_loss_text(model: Model, opinion: Opinion | None) -> str:
    """`0.9345` of the last point, else the last recorded one: `0.9345 at step 2,990`."""
    stored = model.quality.final_validation_loss
    recorded = validation_loss(model, opinion)
    return formats.loss(stored) if stored is not None or not recorded else at_step(recorded)


def evaluation_lines(model: Model) -> list[tuple[str, str]]:
    """Each of several evaluation sets, as (label, text)."""
    return [
        (f"  on {each.name}", _evaluation(each, is_first=index == 0))
        for index, each in enumerate(model.training.evaluation_sets)
    ]


def weights_text(model: Model) -> str | None:
    """The step that the weights are of: `of step 10 of 30`; None where it is the last one."""
    training = model.training
    if training.weights_step is None:
        return None
    probably = "" if training.weights_step_is_certain else "probably "
    total = f" of {formats.count(training.total_steps)}" if training.total_steps else ""
    return f"{probably}of step {formats.count(training.weights_step)}{total}"


def at_step(recorded: StepLoss) -> str:
    """`0.9345 at step 2,990`."""
    return f"{formats.loss(recorded.loss)} at step {formats.step(recorded.step)}"


def _evaluation(each: EvaluationSet, *, is_first: bool) -> str:
    if each.last is None or each.best is None:
        return f"{NOT_A_NUMBER}"
    best = "" if each.best == each.last else f", best {at_step(each.best)}"
    return f"{at_step(each.last)}{best}{' (the validation loss)' if is_first else ''}"
