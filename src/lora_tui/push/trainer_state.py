"""Reads `trainer_state.json`, the log of a training by Hugging Face's Trainer, as metric points."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lora_tui import formats
from lora_tui.clock import timestamp_text
from lora_tui.domain import EvaluationSet, StepLoss, finite, usable_loss
from lora_tui.errors import IntegrityError
from lora_tui.files import disk_error
from lora_tui.json_values import integer, mapping, measured, number, parse_json
from lora_tui.text import terminal_safe

TRAINER_STATE: Final = "trainer_state.json"

_LARGEST_LOG: Final = 256 << 20
"""Bytes."""
_MOST_POINTS: Final = 200_000
_MOST_ENTRIES: Final = 2 * _MOST_POINTS + 10_000
"""Of a training and of an evaluation at each step, and what else the file holds; counted before
each becomes an object: a million of them took 683 MB."""
_MOST_LOSS: Final = 10_000.0
"""The column is numeric(10, 6): four digits before the point."""
_MOST_WHOLE: Final = 2**31 - 1
_LONGEST_SECONDS: Final = 10 * 365 * 86_400
_MOST_KEPT: Final = 100
"""Losses that no column holds, in the training summary."""
_MOST_SETS: Final = 50
CHECKPOINT_NAME: Final = re.compile(r"checkpoint-(\d{1,10})")
"""The directory of a checkpoint is named after its step."""


@dataclass(frozen=True)
class Step:
    """The logged values of one step; losses in nats per token."""

    step: int
    epoch: int | None
    training_loss: float
    """NaN where the logged one is not a number, or no column can hold it."""
    validation_loss: float | None
    """None where there was no evaluation; NaN like the training loss."""
    learning_rate: float | None
    gradient_norm: float | None
    """NaN and infinite where it was logged so."""

    def columns(self) -> dict[str, Any]:
        """The columns of `metrics_points`; NaN and infinities as texts, which PostgreSQL reads."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "training_loss": _numeric(self.training_loss),
            "validation_loss": _numeric(self.validation_loss),
            "learning_rate": self.learning_rate,
            "gradient_norm": _numeric(self.gradient_norm),
        }


@dataclass(frozen=True)
class UnstorableLoss:
    """A loss that is infinite, or ten thousand or more: its point is stored as NaN."""

    step: int
    column: str
    value: float

    def as_json(self) -> dict[str, Any]:
        """For the training summary."""
        return {"step": self.step, self.column: _numeric(self.value)}


@dataclass(frozen=True)
class TrainingLog:
    """The log of a training run."""

    file: str | None = None
    """The name of the file, safe for a terminal; None without one."""
    steps: tuple[Step, ...] = ()
    zeros: int = 0
    """Training losses that were logged as 0 with a gradient norm that is not a number."""
    unstorable: tuple[UnstorableLoss, ...] = ()
    evaluation_sets: tuple[EvaluationSet, ...] = ()
    """Several, or none; the first is the validation loss."""
    unplaced: int = 0
    """Evaluations before the first training loss, which no point can hold."""
    last_validation: StepLoss | None = None
    """The last validation loss that is a number."""
    epochs: int | None = None
    """Completed."""
    total_epochs: int | None = None
    last_step: int | None = None
    total_steps: int | None = None
    logging_steps: float | None = None
    batch_size: int | None = None
    seconds: float | None = None
    """The duration, if the training was completed."""
    mean_loss: float | None = None
    """The mean training loss of the whole run, if the training was completed."""
    best_step: int | None = None
    """The step of the best checkpoint that Trainer recorded."""

    @property
    def not_numbers(self) -> int:
        """The points whose training loss is stored as NaN."""
        return sum(math.isnan(step.training_loss) for step in self.steps)

    @property
    def final_loss(self) -> float | None:
        """The last training loss as it was logged; None where it is not a finite number."""
        if not self.steps:
            return None
        last = self.steps[-1]
        logged = [u.value for u in self.unstorable if (u.step, u.column) == (last.step, _TRAINING)]
        return finite(logged[-1] if logged else last.training_loss)

    def settings(self) -> dict[str, Any]:
        """The logged hyperparameters, by their names in the deployed API."""
        rates = [step.learning_rate for step in self.steps if step.learning_rate is not None]
        found = {
            "learning_rate": max(rates, default=None),
            "batch_size": self.batch_size,
            "num_epochs": self.total_epochs,
        }
        return {key: value for key, value in found.items() if value is not None}

    def summary(self) -> dict[str, Any]:
        """What the points can't hold, as keys of `training_summary`."""
        sets = {
            each.name: {"last": _step_loss(each.last), "best": _step_loss(each.best)}
            for each in self.evaluation_sets
        }
        found: dict[str, Any] = {
            "mean_training_loss": self.mean_loss,
            "evaluation_sets": sets or None,
            # the points give it where there are any
            "last_validation": None if self.steps else _step_loss(self.last_validation),
            "losses_not_stored": [loss.as_json() for loss in self.unstorable[-_MOST_KEPT:]] or None,
        }
        return {key: value for key, value in found.items() if value is not None}

    def timestamps(self, completed_at: datetime) -> list[str]:
        """Approximate times of the steps: spread evenly over the run."""
        span = self.seconds or float(len(self.steps))
        pause = max(timedelta(milliseconds=1), timedelta(seconds=span) / max(1, len(self.steps)))
        count = len(self.steps)
        return [
            timestamp_text(completed_at - (count - 1 - index) * pause) for index in range(count)
        ]


def read_trainer_state(path: Path) -> TrainingLog:
    """Read the log. Raises DiskError, and IntegrityError where the file is no Trainer's state."""
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _not_metrics_error(path)
            content = file.read(_LARGEST_LOG + 1)
    except OSError as error:
        raise disk_error(error, "The metrics can't be read", path) from error
    if (entries := content.count(b"{")) > _MOST_ENTRIES:
        raise _too_many_points_error(entries)
    try:
        state = parse_json(content, keep_nan=True) if len(content) <= _LARGEST_LOG else None
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, Mapping) or not isinstance(state.get("log_history"), list):
        raise _not_metrics_error(path)
    return _log(state, terminal_safe(path.name, limit=80))


def notes(log: TrainingLog) -> list[str]:
    """What a user should know of the log before it is sent, one sentence a line."""
    lines = []
    if log.file is None:
        lines.append(f"No metrics (no {TRAINER_STATE}): the model is rated 3/5, unknown.")
    elif not log.steps:
        lines.append(f"{_why_no_losses(log)} The model is rated 3/5, unknown.")
    if log.not_numbers:
        first = next(step.step for step in log.steps if math.isnan(step.training_loss))
        lines.append(
            f"{formats.count(log.not_numbers)} of {formats.counted(len(log.steps), 'point')} have a"
            f" training loss that is not a number, first at step {formats.count(first)}: they are"
            " stored as NaN, and the rating counts that as no improvement."
        )
    if log.zeros:
        lines.append(
            f"{formats.counted(log.zeros, 'of them was', 'of them were')} logged as 0 with a"
            " gradient norm that is not a number: Trainer logs a NaN so, and it is stored as one."
        )
    if log.unstorable:
        first_lost = log.unstorable[0]
        lines.append(
            f"{formats.counted(len(log.unstorable), 'loss is', 'losses are')} infinite or too large"
            f" for the table (step {formats.count(first_lost.step)}:"
            f" {formats.number(first_lost.value)}): stored as NaN, with the value in the training"
            " summary."
        )
    if log.evaluation_sets:
        names = ", ".join(each.name for each in log.evaluation_sets)
        lines.append(
            f"{formats.count(len(log.evaluation_sets))} evaluation sets ({names}): the loss of"
            f" {log.evaluation_sets[0].name} is stored as the validation loss; the last and the"
            " best of each are in the training summary."
        )
    if log.unplaced:
        evaluations = formats.counted(log.unplaced, "evaluation")
        kept = "" if log.steps else " as points; the last one is in the training summary"
        lines.append(f"{evaluations} before the first training loss can't be stored{kept}.")
    return lines


def _why_no_losses(log: TrainingLog) -> str:
    mean = f" (the mean of the run was {formats.loss(log.mean_loss)})" if log.mean_loss else ""
    if log.logging_steps and log.last_step and log.logging_steps > log.last_step:
        return (
            f"{log.file} holds no losses{mean}: the run had {formats.count(log.last_step)} steps,"
            f" fewer than logging_steps ({formats.number(log.logging_steps)})."
        )
    return f"{log.file} holds no losses{mean}."


def _open_nonblocking(path: str, flags: int) -> int:
    """Don't wait for a writer where the file is a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _not_metrics_error(path: Path) -> IntegrityError:
    return IntegrityError(
        "The metrics are not the state of a Trainer",
        details=str(path),
        remedy=f"name a {TRAINER_STATE}, or leave the metrics out",
    )


def _too_many_points_error(count: int) -> IntegrityError:
    return IntegrityError(
        "The metrics have more points than any training",
        details=f"{formats.count(count)} points",
        remedy="log less often, or leave the metrics out",
    )


_TRAINING: Final = "training_loss"
_VALIDATION: Final = "validation_loss"
_PLAIN: Final = ""
"""The name of an evaluation set that has none: `eval_loss`."""


def _log(state: Mapping[str, Any], file: str) -> TrainingLog:
    training: dict[int, Mapping[str, Any]] = {}
    validation: dict[str, dict[int, float]] = {}
    seconds, mean_loss = None, None
    for item in state["log_history"]:
        entry = mapping(item)
        step = _count(entry.get("step"))
        if step is None:
            continue
        seconds = number(entry.get("train_runtime")) or seconds
        mean_loss = number(entry.get("train_loss")) if "train_loss" in entry else mean_loss
        if measured(entry.get("loss")) is not None:
            training[step] = entry
        for name, loss in _evaluations(entry):
            if name in validation or len(validation) < _MOST_SETS:
                validation.setdefault(name, {})[step] = loss
    chosen = validation.get(_PLAIN) or next(iter(validation.values()), {})
    steps = _steps(training, chosen)
    if len(steps) > _MOST_POINTS:
        raise _too_many_points_error(len(steps))
    first = min(training, default=0)
    folder = re.split(r"[/\\]", str(state.get("best_model_checkpoint") or ""))[-1]
    best = CHECKPOINT_NAME.fullmatch(folder)
    return TrainingLog(
        file=file,
        steps=tuple(steps),
        zeros=sum(_is_hidden_nan(entry) for entry in training.values()),
        unstorable=tuple(_unstorable(training, chosen)),
        evaluation_sets=_sets(validation) if len(validation) > 1 else (),
        unplaced=sum(not training or step < first for step in chosen),
        last_validation=next(reversed(_numbers(chosen)), None),
        epochs=_count(state.get("epoch")),
        total_epochs=_count(state.get("num_train_epochs")),
        last_step=_count(state.get("global_step")),
        total_steps=_count(state.get("max_steps")),
        logging_steps=number(state.get("logging_steps")),
        batch_size=_count(state.get("train_batch_size")),
        seconds=seconds if seconds is not None and 0 < seconds < _LONGEST_SECONDS else None,
        mean_loss=mean_loss,
        best_step=_count(state.get("best_global_step")) or (int(best[1]) if best else None),
    )


def _evaluations(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The evaluation losses of an entry, by the name of their set.

    Trainer logs each of several sets in an entry of its own, with the prefix `eval_NAME`. Beside
    `eval_loss` or `eval_runtime` such a key is a metric that the user computes.
    """
    plain = measured(entry.get("eval_loss"))
    if plain is not None:
        yield _PLAIN, plain
    if "eval_loss" in entry or "eval_runtime" in entry:
        return
    for key, value in entry.items():
        loss = measured(value)
        if loss is not None and key.startswith("eval_") and key.endswith("_loss"):
            name = key.removeprefix("eval_").removesuffix("_loss")
            if name:
                yield name, loss


def _steps(
    training: Mapping[int, Mapping[str, Any]], validation: Mapping[int, float]
) -> list[Step]:
    """The steps in order; an evaluation gets the last training loss before it."""
    steps: list[Step] = []
    entry: Mapping[str, Any] | None = None
    for step in sorted({*training, *validation}):
        entry = training.get(step, entry)
        if entry is None:
            continue  # a point without a training loss can't be stored
        evaluated = validation.get(step)
        steps.append(
            Step(
                step=step,
                epoch=_count(entry.get("epoch")),
                training_loss=math.nan if _is_hidden_nan(entry) else _storable(_loss(entry)),
                validation_loss=None if evaluated is None else _storable(evaluated),
                learning_rate=number(entry.get("learning_rate")),
                gradient_norm=measured(entry.get("grad_norm")),
            )
        )
    return steps


def _sets(validation: Mapping[str, Mapping[int, float]]) -> tuple[EvaluationSet, ...]:
    """The evaluation sets, the one that is the validation loss first."""
    found = []
    for name, losses in sorted(validation.items(), key=lambda item: item[0] != _PLAIN):
        numbers = _numbers(losses)
        best = min(numbers, key=lambda recorded: recorded.loss, default=None)
        shown = terminal_safe(name, limit=60) or "default"
        found.append(EvaluationSet(shown, numbers[-1] if numbers else None, best))
    return tuple(found)


def _numbers(losses: Mapping[int, float]) -> list[StepLoss]:
    return [StepLoss(step, losses[step]) for step in sorted(losses) if _holds(losses[step])]


def _unstorable(
    training: Mapping[int, Mapping[str, Any]], validation: Mapping[int, float]
) -> Iterator[UnstorableLoss]:
    for step in sorted({*training, *validation}):
        losses = (
            (_TRAINING, _loss(training[step]) if step in training else 0.0),
            (_VALIDATION, validation.get(step, 0.0)),
        )
        for column, loss in losses:
            if not math.isnan(loss) and not _holds(loss):
                yield UnstorableLoss(step, column, loss)


def _loss(entry: Mapping[str, Any]) -> float:
    loss = measured(entry.get("loss"))
    return math.nan if loss is None else loss


def _is_hidden_nan(entry: Mapping[str, Any]) -> bool:
    """Whether the loss was logged as 0 and was a NaN."""
    loss = _loss(entry)
    return loss == 0 and usable_loss(loss, measured(entry.get("grad_norm"))) is None


def _holds(loss: float) -> bool:
    """Whether the column can hold the loss; infinities and NaN are no."""
    return math.isfinite(loss) and abs(loss) < _MOST_LOSS - 1e-6


def _storable(loss: float) -> float:
    return round(loss, 6) if _holds(loss) else math.nan


def _numeric(value: float | None) -> float | str | None:
    """A number for JSON, or what PostgreSQL reads as NaN or infinite."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _step_loss(recorded: StepLoss | None) -> dict[str, Any] | None:
    return None if recorded is None else {"step": recorded.step, "loss": recorded.loss}


def _count(value: object) -> int | None:
    found = integer(value)
    return found if found is not None and 0 <= found <= _MOST_WHOLE else None
