"""A training job, and the dataset it trains on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lora_tui.clock import parse_timestamp
from lora_tui.domain.training import Gpu, Hyperparameters
from lora_tui.json_values import Row, identifier, integer, mapping, number, text_or_none


@dataclass(frozen=True)
class Dataset:
    """A dataset that models are trained on."""

    id: str
    name: str
    format: str | None
    total_training_pairs: int | None
    total_validation_pairs: int | None
    total_tokens: int | None

    @classmethod
    def from_row(cls, row: Row) -> Dataset:
        """Read a row of `datasets`."""
        return cls(
            id=identifier(row.get("id")),
            name=text_or_none(row.get("name")) or "Unnamed dataset",
            format=text_or_none(row.get("format")),
            total_training_pairs=integer(row.get("total_training_pairs")),
            total_validation_pairs=integer(row.get("total_validation_pairs")),
            total_tokens=integer(row.get("total_tokens")),
        )


@dataclass(frozen=True)
class Job:
    """A training job."""

    id: str
    user_id: str
    dataset_id: str
    dataset_name: str | None
    preset_id: str | None
    status: str
    stage: str | None
    hyperparameters: Hyperparameters
    gpu: Gpu
    progress: float | None
    """Percent."""
    current_epoch: float | None
    current_step: int | None
    total_steps: int | None
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    created_at: datetime | None
    final_cost: float | None
    error_message: str | None
    external_job_id: str | None
    artifact_id: str | None

    @classmethod
    def from_row(cls, row: Row) -> Job:
        """Read a row of `training_jobs`, with or without its dataset embedded."""
        return cls(
            id=identifier(row.get("id")),
            user_id=identifier(row.get("user_id")),
            dataset_id=identifier(row.get("dataset_id")),
            dataset_name=text_or_none(mapping(row.get("dataset")).get("name")),
            preset_id=text_or_none(row.get("preset_id")),
            status=text_or_none(row.get("status"), limit=20) or "unknown",
            stage=text_or_none(row.get("current_stage")),
            hyperparameters=Hyperparameters.from_json(row.get("hyperparameters")),
            gpu=Gpu.from_json(row.get("gpu_config")),
            progress=number(row.get("progress")),
            current_epoch=number(row.get("current_epoch")),
            current_step=integer(row.get("current_step")),
            total_steps=integer(row.get("total_steps")),
            queued_at=parse_timestamp(row.get("queued_at")),
            started_at=parse_timestamp(row.get("started_at")),
            completed_at=parse_timestamp(row.get("completed_at")),
            created_at=parse_timestamp(row.get("created_at")),
            final_cost=number(row.get("final_cost")),
            error_message=text_or_none(row.get("error_message")),
            external_job_id=text_or_none(row.get("external_job_id")),
            artifact_id=identifier(row.get("artifact_id")) or None,
        )
