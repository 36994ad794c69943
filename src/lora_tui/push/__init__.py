"""Push: an adapter that was trained here becomes a model like a harvested one.

The schema requires a training job for each model. An adapter trained elsewhere gets a job row of
its own, whose id is derived from the weights, so a second push makes no second model.
Imports harvest and what lies below it.
"""

from __future__ import annotations

from lora_tui.push.directory import LocalAdapter, LocalFile, read_directory
from lora_tui.push.run import Plan, PushResult, connect, plan_push, push
from lora_tui.push.trainer_state import TrainingLog, read_trainer_state

__all__ = [
    "LocalAdapter",
    "LocalFile",
    "Plan",
    "PushResult",
    "TrainingLog",
    "connect",
    "plan_push",
    "push",
    "read_directory",
    "read_trainer_state",
]
