"""Builds the rows of the training that a pushed adapter comes from: its job, its metric points."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from lora_tui.clock import timestamp_text
from lora_tui.harvest.artifact_rows import NAMESPACE
from lora_tui.json_values import Row
from lora_tui.push.directory import LocalAdapter, training_settings
from lora_tui.push.trainer_state import TrainingLog


def job_row(
    user_id: str, job_id: str, dataset: Row, adapter: LocalAdapter, log: TrainingLog
) -> dict[str, Any]:
    """The row of a training outside the worker: it has no external id, so no harvest takes it."""
    completed = adapter.trained_at
    started = completed - timedelta(seconds=log.seconds) if log.seconds else None
    return {
        "id": job_id,
        "user_id": user_id,
        "dataset_id": str(dataset["id"]),
        "dataset": {"name": dataset.get("name")},
        "preset_id": "custom",
        "hyperparameters": training_settings(adapter) | log.settings(),
        "gpu_config": {},
        "status": "completed",
        "progress": 100,
        **run_columns(log),
        "queued_at": timestamp_text(started or completed),
        "started_at": timestamp_text(started) if started else None,
        "completed_at": timestamp_text(completed),
    }


def run_columns(log: TrainingLog) -> dict[str, Any]:
    """The columns of a job that its log decides."""
    return {
        "current_epoch": log.epochs,
        "total_epochs": log.total_epochs,
        "current_step": log.last_step,
        "total_steps": log.total_steps,
        "current_metrics": {"training_loss": log.final_loss} if log.steps else {},
    }


def point_rows(job_id: str, adapter: LocalAdapter, log: TrainingLog) -> list[dict[str, Any]]:
    """The metric points of a job; their ids come from the job's id and the step."""
    return [
        {
            "id": str(uuid.uuid5(NAMESPACE, f"{job_id} step {step.step}")),
            "job_id": job_id,
            "timestamp": timestamp,
            **step.columns(),
        }
        for step, timestamp in zip(log.steps, log.timestamps(adapter.trained_at), strict=True)
    ]
