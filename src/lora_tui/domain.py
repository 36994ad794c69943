"""What the application is about: models, jobs, datasets, metric points, files, notifications.

Frozen dataclasses, each read from a row of the backend by its `from_row`. Reading never fails on
odd data: numbers may come as strings, JSON columns may be null, of a wrong type or lack any key,
and two dialects of key names are in use. All text has passed `terminal_safe` when it gets here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lora_tui.clock import parse_timestamp
from lora_tui.text import terminal_safe

Row = Mapping[str, Any]

_CONFIGURATION: Final = frozenset({"preset_id", "hyperparameters", "gpu_config", "files"})
CONVERGENCES: Final = ("excellent", "good", "fair", "poor", "overfit", "unknown")


@dataclass(frozen=True)
class Quality:
    """The stored verdict of the star rating, version 1 (quality.py). Losses in nats a token."""

    stars: int | None
    convergence: str
    final_training_loss: float | None
    final_validation_loss: float | None
    perplexity: float | None
    loss_reduction_percent: float | None

    @classmethod
    def from_json(cls, value: object) -> Quality:
        """Read a `quality_metrics` column."""
        data = mapping(value)
        stars = whole(data.get("overall_score"))
        convergence = terminal_safe(data.get("convergence_quality"), limit=20).lower()
        return cls(
            stars=None if stars is None else min(5, max(1, stars)),
            convergence=convergence or "unknown",
            final_training_loss=number(data.get("final_training_loss")),
            final_validation_loss=number(data.get("final_validation_loss")),
            perplexity=number(data.get("perplexity")),
            loss_reduction_percent=number(data.get("loss_reduction_percent")),
        )


@dataclass(frozen=True)
class CurvePoint:
    """One point of a loss curve, as charts draw it."""

    step: float
    training_loss: float
    validation_loss: float | None = None


@dataclass(frozen=True)
class Training:
    """The summary of the run that made a model."""

    epochs_completed: float | None
    total_steps: int | None
    final_loss: float | None
    duration_hours: float | None
    total_cost: float | None
    """US dollars."""
    loss_curve: tuple[CurvePoint, ...] = ()
    """Down-sampled; written by our own harvest only."""

    @classmethod
    def from_json(cls, value: object) -> Training:
        """Read a `training_summary` column."""
        data = mapping(value)
        return cls(
            epochs_completed=number(data.get("epochs_completed")),
            total_steps=whole(data.get("total_steps")),
            final_loss=number(data.get("final_loss")),
            duration_hours=number(data.get("training_duration_hours")),
            total_cost=number(data.get("total_cost")),
            loss_curve=_curve(data.get("loss_curve")),
        )


@dataclass(frozen=True)
class Hyperparameters:
    """LoRA and optimiser settings; `others` holds what this version does not know by name."""

    base_model: str | None
    rank: int | None
    alpha: float | None
    dropout: float | None
    learning_rate: float | None
    batch_size: int | None
    epochs: float | None
    warmup_steps: int | None
    weight_decay: float | None
    others: tuple[tuple[str, str], ...]

    @classmethod
    def from_json(cls, value: object) -> Hyperparameters:
        """Read `hyperparameters` in either dialect."""
        data = dict(mapping(value))
        return cls(
            base_model=text_or_none(_take(data, "base_model", "model_name")),
            rank=whole(_take(data, "lora_rank", "rank", "r")),
            alpha=number(_take(data, "lora_alpha", "alpha")),
            dropout=number(_take(data, "lora_dropout", "dropout")),
            learning_rate=number(_take(data, "learning_rate")),
            batch_size=whole(_take(data, "batch_size")),
            epochs=number(_take(data, "num_epochs", "epochs")),
            warmup_steps=whole(_take(data, "warmup_steps")),
            weight_decay=number(_take(data, "weight_decay")),
            others=_others(data),
        )


@dataclass(frozen=True)
class Gpu:
    """What the run was trained on."""

    type: str | None
    count: int | None
    memory_gb: float | None
    cost_per_hour: float | None
    """US dollars a GPU and hour."""
    others: tuple[tuple[str, str], ...]

    @classmethod
    def from_json(cls, value: object) -> Gpu:
        """Read `gpu_config` in either dialect."""
        data = dict(mapping(value))
        return cls(
            type=text_or_none(_take(data, "gpu_type", "type")),
            count=whole(_take(data, "num_gpus", "count")),
            memory_gb=number(_take(data, "gpu_memory_gb")),
            cost_per_hour=number(_take(data, "cost_per_gpu_hour")),
            others=_others(data),
        )


@dataclass(frozen=True)
class ArtifactFile:
    """One file of a model in the bucket."""

    name: str
    """As the row has it: the key to ask for it by. Show `label`, never this."""
    path: str
    """The object's path in the bucket."""
    size: int | None = None
    """Bytes, where the manifest of our harvest says so."""
    sha256: str | None = None

    @property
    def label(self) -> str:
        """The name as it may be shown."""
        return terminal_safe(self.name, limit=120) or "unnamed"


@dataclass(frozen=True)
class Dataset:
    """What a model was trained on."""

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
            id=_id(row.get("id")),
            name=terminal_safe(row.get("name"), limit=200) or "Unnamed dataset",
            format=text_or_none(row.get("format")),
            total_training_pairs=whole(row.get("total_training_pairs")),
            total_validation_pairs=whole(row.get("total_validation_pairs")),
            total_tokens=whole(row.get("total_tokens")),
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
            id=_id(row.get("id")),
            user_id=_id(row.get("user_id")),
            dataset_id=_id(row.get("dataset_id")),
            dataset_name=text_or_none(mapping(row.get("dataset")).get("name")),
            preset_id=text_or_none(row.get("preset_id")),
            status=terminal_safe(row.get("status"), limit=20) or "unknown",
            stage=text_or_none(row.get("current_stage")),
            hyperparameters=Hyperparameters.from_json(row.get("hyperparameters")),
            gpu=Gpu.from_json(row.get("gpu_config")),
            progress=number(row.get("progress")),
            current_epoch=number(row.get("current_epoch")),
            current_step=whole(row.get("current_step")),
            total_steps=whole(row.get("total_steps")),
            queued_at=parse_timestamp(row.get("queued_at")),
            started_at=parse_timestamp(row.get("started_at")),
            completed_at=parse_timestamp(row.get("completed_at")),
            created_at=parse_timestamp(row.get("created_at")),
            final_cost=number(row.get("final_cost")),
            error_message=text_or_none(row.get("error_message")),
            external_job_id=text_or_none(row.get("external_job_id")),
            artifact_id=text_or_none(row.get("artifact_id")),
        )


@dataclass(frozen=True)
class MetricPoint:
    """One row of `metrics_points`; losses in nats a token."""

    id: str
    timestamp: str
    step: float | None
    epoch: float | None
    training_loss: float | None
    validation_loss: float | None

    @classmethod
    def from_row(cls, row: Row) -> MetricPoint:
        """Read a row; the timestamp stays as sent, because it is the keyset."""
        return cls(
            id=_id(row.get("id")),
            timestamp=str(row.get("timestamp") or ""),
            step=number(row.get("step")),
            epoch=number(row.get("epoch")),
            training_loss=number(row.get("training_loss")),
            validation_loss=number(row.get("validation_loss")),
        )


@dataclass(frozen=True)
class Model:
    """A stored, rated adapter: a row of `model_artifacts` with its dataset and job."""

    id: str
    user_id: str
    name: str
    version: str
    description: str | None
    status: str
    created_at: datetime | None
    updated_at: datetime | None
    deployed_at: datetime | None
    dataset_id: str
    job_id: str
    parent_model_id: str | None
    preset_id: str | None
    quality: Quality
    training: Training
    hyperparameters: Hyperparameters
    gpu: Gpu
    files: tuple[ArtifactFile, ...]
    others: tuple[tuple[str, str], ...] = ()
    """Keys of `configuration` that this version does not know by name."""
    dataset: Dataset | None = None
    job: Job | None = None

    @classmethod
    def from_row(cls, row: Row) -> Model:
        """Read a row, with `dataset` and `job` where they are embedded."""
        configuration = mapping(row.get("configuration"))
        dataset = mapping(row.get("dataset"))
        job_row = mapping(row.get("job"))
        job = Job.from_row(job_row) if job_row else None
        preset = text_or_none(configuration.get("preset_id"))
        training = Training.from_json(row.get("training_summary"))
        return cls(
            id=_id(row.get("id")),
            user_id=_id(row.get("user_id")),
            name=terminal_safe(row.get("name"), limit=200) or "Unnamed model",
            version=terminal_safe(row.get("version"), limit=40) or NO_VERSION,
            description=text_or_none(row.get("description"), limit=2_000, lines=True),
            status=terminal_safe(row.get("status"), limit=20) or "unknown",
            created_at=parse_timestamp(row.get("created_at")),
            updated_at=parse_timestamp(row.get("updated_at")),
            deployed_at=parse_timestamp(row.get("deployed_at")),
            dataset_id=_id(row.get("dataset_id")),
            job_id=_id(row.get("job_id")),
            parent_model_id=text_or_none(row.get("parent_model_id")),
            preset_id=preset or (job.preset_id if job else None),
            quality=Quality.from_json(row.get("quality_metrics")),
            training=training,
            hyperparameters=Hyperparameters.from_json(configuration.get("hyperparameters")),
            gpu=Gpu.from_json(configuration.get("gpu_config")),
            files=_files(row.get("artifacts"), configuration.get("files")),
            others=_others(
                {key: value for key, value in configuration.items() if key not in _CONFIGURATION}
            ),
            dataset=Dataset.from_row(dataset) if dataset else None,
            job=job,
        )

    @property
    def size(self) -> int | None:
        """Bytes of all files together; None unless every size is known."""
        sizes = [file.size for file in self.files]
        known = [size for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None


@dataclass(frozen=True)
class Notification:
    """A message that the backend left for the user."""

    id: str
    type: str
    title: str
    message: str
    priority: str
    read: bool
    model_id: str | None
    created_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Notification:
        """Read a row of `notifications`."""
        return cls(
            id=_id(row.get("id")),
            type=terminal_safe(row.get("type"), limit=60),
            title=terminal_safe(row.get("title"), limit=200),
            message=terminal_safe(row.get("message"), limit=500),
            priority=terminal_safe(row.get("priority"), limit=20) or "medium",
            read=row.get("read") in (True, 1, "true", "t"),
            model_id=text_or_none(mapping(row.get("metadata")).get("artifact_id")),
            created_at=parse_timestamp(row.get("created_at")),
        )


NO_VERSION: Final = "unversioned"


def number(value: object) -> float | None:
    """A finite number from a JSON number or a numeric string; None from anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def whole(value: object) -> int | None:
    """Like `number`, rounded to the nearest integer."""
    result = number(value)
    return None if result is None else round(result)


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or the text of one; the empty mapping from anything else."""
    if isinstance(value, dict):  # asked first: the abstract class takes ten times as long
        return value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def text_or_none(value: object, *, limit: int = 200, lines: bool = False) -> str | None:
    """Text as it may be shown; None from nothing, from JSON objects and from lists."""
    if value is None or isinstance(value, (Mapping, list)):
        return None
    return terminal_safe(value, limit=limit, lines=lines) or None


def _take(data: dict[str, Any], *names: str) -> Any:
    """The first of `names` that is there and not null; all of them are removed from `data`."""
    values = [data.pop(name, None) for name in names]
    return next((value for value in values if value is not None), None)


def _others(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (terminal_safe(key, limit=60), terminal_safe(_plain(value), limit=200))
        for key, value in sorted(data.items(), key=lambda item: str(item[0]))
    )


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _id(value: object) -> str:
    return terminal_safe(value, limit=64)


def _files(artifacts: object, manifest: object) -> tuple[ArtifactFile, ...]:
    described = mapping(manifest)
    files = []
    for name, path in mapping(artifacts).items():
        if not isinstance(path, str) or not path:
            continue
        facts = mapping(described.get(name))
        size = whole(facts.get("size"))
        files.append(
            ArtifactFile(
                name=str(name),
                path=path,
                size=size if size is None or size >= 0 else None,
                sha256=_sha256(facts.get("sha256")),
            )
        )
    return tuple(files)


def _sha256(value: object) -> str | None:
    if not isinstance(value, str) or len(value) != 64:
        return None
    digest = value.lower()
    return digest if all(character in "0123456789abcdef" for character in digest) else None


def _curve(value: object) -> tuple[CurvePoint, ...]:
    if not isinstance(value, list):
        return ()
    points = []
    for item in value:
        if not isinstance(item, list) or len(item) < 2:
            continue
        step, training = number(item[0]), number(item[1])
        if step is not None and training is not None:
            validation = number(item[2]) if len(item) > 2 else None
            points.append(CurvePoint(step, training, validation))
    return tuple(points)


def curve_of(points: Iterable[MetricPoint]) -> tuple[CurvePoint, ...]:
    """The points that a chart can draw, in their order; a missing step is the running number."""
    return tuple(
        CurvePoint(
            step=float(index) if point.step is None else point.step,
            training_loss=point.training_loss,
            validation_loss=point.validation_loss,
        )
        for index, point in enumerate(points)
        if point.training_loss is not None
    )
