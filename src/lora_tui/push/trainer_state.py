"""Reads `trainer_state.json`, the log of a training by Hugging Face's Trainer, as metric points."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from lora_tui import formats
from lora_tui.clock import timestamp_text
from lora_tui.errors import IntegrityError
from lora_tui.files import disk_error
from lora_tui.json_values import integer, mapping, number, parse_json

TRAINER_STATE: Final = "trainer_state.json"

_LARGEST_LOG: Final = 256 << 20
"""Bytes."""
_MOST_POINTS: Final = 200_000
_MOST_LOSS: Final = 10_000.0
"""The column is numeric(10, 6): four digits before the point."""
_MOST_WHOLE: Final = 2**31 - 1
_LONGEST_SECONDS: Final = 10 * 365 * 86_400


@dataclass(frozen=True)
class Step:
    """The logged values of one step; losses in nats per token."""

    step: int
    epoch: int | None
    training_loss: float
    validation_loss: float | None
    learning_rate: float | None
    gradient_norm: float | None


@dataclass(frozen=True)
class TrainingLog:
    """The log of a training run."""

    steps: tuple[Step, ...] = ()
    left_out: int = 0
    """Losses that no column can hold: NaN, infinite, ten thousand or more."""
    epochs: int | None = None
    """Completed."""
    total_epochs: int | None = None
    last_step: int | None = None
    total_steps: int | None = None
    batch_size: int | None = None
    seconds: float | None = None
    """The duration, if the training was completed."""

    def settings(self) -> dict[str, Any]:
        """The logged hyperparameters, by their names in the deployed API."""
        rates = [step.learning_rate for step in self.steps if step.learning_rate is not None]
        found = {
            "learning_rate": max(rates, default=None),
            "batch_size": self.batch_size,
            "num_epochs": self.total_epochs,
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
    try:
        state = parse_json(content) if len(content) <= _LARGEST_LOG else None
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, Mapping) or not isinstance(state.get("log_history"), list):
        raise _not_metrics_error(path)
    return _log(state)


def _open_nonblocking(path: str, flags: int) -> int:
    """Don't wait for a writer where the file is a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _not_metrics_error(path: Path) -> IntegrityError:
    return IntegrityError(
        "The metrics are not the state of a Trainer",
        details=str(path),
        remedy=f"name a {TRAINER_STATE}, or leave the metrics out",
    )


def _log(state: Mapping[str, Any]) -> TrainingLog:
    training: dict[int, Mapping[str, Any]] = {}
    validation: dict[int, float] = {}
    left_out, seconds = 0, None
    for item in state["log_history"]:
        entry = mapping(item)
        step = _count(entry.get("step"))
        if step is None:
            continue
        seconds = number(entry.get("train_runtime")) or seconds
        for key in ("loss", "eval_loss"):
            if key not in entry:
                continue
            loss = _loss(entry[key])
            if loss is None:
                left_out += 1
            elif key == "loss":
                training[step] = entry
            else:
                validation[step] = loss
    steps = _steps(training, validation)
    if len(steps) > _MOST_POINTS:
        raise IntegrityError(
            "The metrics have more points than any training",
            details=f"{formats.count(len(steps))} points",
        )
    return TrainingLog(
        steps=tuple(steps),
        left_out=left_out,
        epochs=_count(state.get("epoch")),
        total_epochs=_count(state.get("num_train_epochs")),
        last_step=_count(state.get("global_step")),
        total_steps=_count(state.get("max_steps")),
        batch_size=_count(state.get("train_batch_size")),
        seconds=seconds if seconds is not None and 0 < seconds < _LONGEST_SECONDS else None,
    )


def _steps(
    training: Mapping[int, Mapping[str, Any]], validation: Mapping[int, float]
) -> list[Step]:
    """The steps in order; an evaluation gets the last training loss before it."""
    steps: list[Step] = []
    entry: Mapping[str, Any] | None = None
    for step in sorted({*training, *validation}):
        entry = training.get(step, entry)
        loss = None if entry is None else _loss(entry["loss"])
        if entry is None or loss is None:
            continue  # a point without a training loss can't be stored
        steps.append(
            Step(
                step=step,
                epoch=_count(entry.get("epoch")),
                training_loss=loss,
                validation_loss=validation.get(step),
                learning_rate=number(entry.get("learning_rate")),
                gradient_norm=number(entry.get("grad_norm")),
            )
        )
    return steps


def _loss(value: object) -> float | None:
    loss = number(value)
    if loss is None or not math.isfinite(loss) or abs(loss) >= _MOST_LOSS - 1e-6:
        return None
    return round(loss, 6)


def _count(value: object) -> int | None:
    found = integer(value)
    return found if found is not None and 0 <= found <= _MOST_WHOLE else None
