"""The course of a live run: each of its points, and how it ends.

All of it is derived from the job's row and the number of the point, so a run continues where it was
when the sandbox starts again.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.sandbox.seed.runs import point_of, price_per_hour, typical_loss

LIVE_FAMILIES: Final = ("good", "diverged", "excellent", "overfit", "diverged", "spiky", "fair")
"""In the order in which runs take them; `diverged` ones fail."""
FAILS: Final = "diverged"
_FAILS_AT: Final = 0.72
"""Share of the run at which a diverged one ends."""
_NOT_A_NUMBER_AT: Final = 0.70
_LENGTHS: Final = (240, 300, 360)
_VALIDATION_EVERY: Final = 12
_NAMESPACE: Final = uuid.UUID("5b7f7f0e-6a8c-5f0c-9b53-2e0f3b0f6a11")


@dataclass(frozen=True)
class Course:
    """The course of one run."""

    job_id: str
    family: str
    points: int
    """Points of the whole run; one is logged each second or so."""
    steps: int
    epochs: int
    learning_rate: float
    price: float
    """US dollars an hour."""

    def index_after(self, step: int) -> int:
        """The number of the first point after this step; at most `points`."""
        index = max(1, step * self.points // self.steps)
        while index < self.points and self.step_of(index) <= step:
            index += 1
        return index

    def step_of(self, index: int) -> int:
        """The step that this point is logged at."""
        return max(1, round(index * self.steps / self.points))

    def epoch_of(self, index: int) -> int:
        """The epoch that this point is logged in, from 1."""
        return max(1, math.ceil(index / self.points * self.epochs))

    def fails_at(self, index: int) -> bool:
        """Whether the run ends with an error at this point."""
        return self.family == FAILS and index >= _FAILS_AT * self.points

    def row(self, index: int, scale: float, moment: str) -> dict[str, Any]:
        """The row of `metrics_points` of this point. `scale`: from the method `scale`."""
        point = point_of(
            self.family,
            index / self.points,
            epochs=self.epochs,
            peak_learning_rate=self.learning_rate,
            scale=scale,
            noise_of=self._noise(index),
            validated=index % _VALIDATION_EVERY == 0 or index == self.points,
        )
        diverged = self.family == FAILS and index >= _NOT_A_NUMBER_AT * self.points
        chance = random.Random(f"{self.job_id}/hardware/{index}")
        return {
            "id": str(uuid.uuid5(_NAMESPACE, f"{self.job_id}/{index}")),
            "job_id": self.job_id,
            "timestamp": moment,
            "epoch": self.epoch_of(index),
            "step": self.step_of(index),
            "training_loss": "NaN" if diverged else point.training_loss,
            "validation_loss": None if diverged else point.validation_loss,
            "learning_rate": point.learning_rate,
            "gradient_norm": "NaN" if diverged else point.gradient_norm,
            "throughput": round(chance.uniform(1450.0, 1620.0), 1),
            "gpu_utilization": round(chance.uniform(91.0, 99.5), 1),
        }

    def scale(self, logged: Sequence[Mapping[str, Any]]) -> float:
        """The loss of the last points, divided by the typical loss of the family."""
        if not logged:
            return random.Random(f"{self.job_id}/scale").uniform(0.95, 1.05)
        pairs = [
            (row["training_loss"], typical_loss(self.family, row["step"] / self.steps, self.epochs))
            for row in logged
            if isinstance(row["training_loss"], int | float) and row["step"]
        ]
        if not pairs:
            return 1.0
        ratio = sum(loss for loss, _ in pairs) / sum(typical for _, typical in pairs)
        return min(2.0, max(0.5, ratio))

    def _noise(self, index: int) -> tuple[float, float, float]:
        """Three normal variables; the first one is correlated with that of the point before."""
        one, before = (random.Random(f"{self.job_id}/{at}") for at in (index, index - 1))
        return 0.85 * one.gauss(0, 1) + 0.5 * before.gauss(0, 1), one.gauss(0, 1), one.gauss(0, 1)


def course_of(job: Mapping[str, Any], family: str) -> Course:
    """The course of the job of this row."""
    settings = json_object(job["hyperparameters"])
    steps = max(1, int(positive(job["total_steps"], 1000)))
    return Course(
        job_id=job["id"],
        family=family,
        points=min(steps, random.Random(job["id"]).choice(_LENGTHS)),
        steps=steps,
        epochs=int(positive(job["total_epochs"], 1)),
        learning_rate=positive(settings.get("learning_rate"), 1e-4),
        price=price_per_hour(json_object(job["gpu_config"])),
    )


def current_metrics(row: Mapping[str, Any], before: str | None) -> str:
    """`training_jobs.current_metrics` after this point; what is not a number is null.

    `before`: its value until now, whose validation loss stays until there is another.
    """
    numbers = {
        name: row[name] if isinstance(row[name], int | float) else None
        for name in (
            *("training_loss", "validation_loss", "learning_rate", "gradient_norm"),
            *("throughput", "gpu_utilization", "step"),
        )
    }
    if row["validation_loss"] is None:
        numbers["validation_loss"] = json_object(before).get("validation_loss")
    return json.dumps(numbers)


def failure(step: int) -> tuple[str, str]:
    """The message and the stack of a run that diverged."""
    message = f"Loss is not a number at step {step}: training diverged"
    stack = (
        "Traceback (most recent call last):\n"
        '  File "/workspace/train.py", line 214, in <module>\n'
        "    result = trainer.train(resume_from_checkpoint=arguments.resume)\n"
        '  File "/workspace/trainer.py", line 96, in training_step\n'
        "    self.check_loss(loss, step=self.state.global_step)\n"
        '  File "/workspace/trainer.py", line 131, in check_loss\n'
        "    raise TrainingDivergedError(message)\n"
        f"TrainingDivergedError: {message}"
    )
    return message, stack


def json_object(text: str | None) -> Mapping[str, Any]:
    """A JSON column as an object; an empty one where it is something else."""
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}


def positive(value: object, default: float) -> float:
    """A positive number of a JSON object, or the default."""
    return float(value) if isinstance(value, int | float) and value > 0 else default
