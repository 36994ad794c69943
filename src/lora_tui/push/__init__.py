"""Push: an adapter that was trained here becomes a model like a harvested one.

A model can't be without a training job's row: the schema says so. An adapter from elsewhere gets
one of its own, whose id is made from the weights, so that pushing twice is pushing once.
"""

from __future__ import annotations

from lora_tui.push.directory import LocalAdapter, LocalFile, read_directory
from lora_tui.push.run import Plan, Pushed, connect, plan_push, push
from lora_tui.push.trainer_state import TrainingLog, read_trainer_state

__all__ = [
    "LocalAdapter",
    "LocalFile",
    "Plan",
    "Pushed",
    "TrainingLog",
    "connect",
    "plan_push",
    "push",
    "read_directory",
    "read_trainer_state",
]
