"""The rows of the backend as dataclasses: datasets, training jobs, models, notifications."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple, Self

from lora_tui import formats
from lora_tui.clock import parse_timestamp
from lora_tui.domain.training import (
    CurvePoint,
    Gpu,
    Hyperparameters,
    Quality,
    Training,
    finite,
    usable_loss,
)
from lora_tui.domain.weight_summary import WeightSummary
from lora_tui.json_values import (
    Row,
    identifier,
    integer,
    mapping,
    number,
    remaining_values,
    text_or_none,
    total_size,
)
from lora_tui.text import terminal_safe

NO_VERSION: Final = "unversioned"
FILES_REMOVED_AT: Final = "files_removed_at"
"""Key of `configuration`: when the harvester had removed the files of the deleted model."""
REMOVAL_BEGAN_AT: Final = "files_removal_began_at"
"""Key of `configuration` until then: some of the files may be gone."""
_CONFIGURATION: Final = frozenset(
    {
        *("preset_id", "hyperparameters", "gpu_config", "files", "weights", "metrics_sha256"),
        *(FILES_REMOVED_AT, REMOVAL_BEGAN_AT),
    }
)


@dataclass(frozen=True)
class ArtifactFile:
    """One file of a model in the bucket."""

    name: str
    """The untrusted name in the row, used in requests. Show `label` instead."""
    path: str
    """The object's path in the bucket."""
    size: int | None = None
    """Bytes, from the manifest of the harvest; None if unknown."""
    sha256: str | None = None

    @property
    def label(self) -> str:
        """The name, safe for a terminal."""
        return terminal_safe(self.name, limit=120) or "unnamed"


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
    other_settings: tuple[tuple[str, str], ...] = ()
    """Keys of `configuration` that this version does not know, with their values."""
    weights: WeightSummary | None = None
    """What the weights say, where the harvest or the push has measured them."""
    dataset: Dataset | None = None
    job: Job | None = None
    files_removed_at: datetime | None = None
    """When its files were removed from the bucket, while it was deleted; it was restored since."""
    may_lack_files: bool = False
    """Whether such a removal had begun, and its end is not known."""

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
            id=identifier(row.get("id")),
            user_id=identifier(row.get("user_id")),
            name=text_or_none(row.get("name")) or "Unnamed model",
            version=text_or_none(row.get("version"), limit=40) or NO_VERSION,
            description=text_or_none(row.get("description"), limit=2_000, lines=True),
            status=text_or_none(row.get("status"), limit=20) or "unknown",
            created_at=parse_timestamp(row.get("created_at")),
            updated_at=parse_timestamp(row.get("updated_at")),
            deployed_at=parse_timestamp(row.get("deployed_at")),
            dataset_id=identifier(row.get("dataset_id")),
            job_id=identifier(row.get("job_id")),
            parent_model_id=identifier(row.get("parent_model_id")) or None,
            preset_id=preset or (job.preset_id if job else None),
            quality=Quality.from_json(row.get("quality_metrics")),
            training=training,
            hyperparameters=Hyperparameters.from_json(configuration.get("hyperparameters")),
            gpu=Gpu.from_json(configuration.get("gpu_config")),
            files=_files(row.get("artifacts"), configuration.get("files")),
            other_settings=remaining_values(
                {key: value for key, value in configuration.items() if key not in _CONFIGURATION}
            ),
            weights=WeightSummary.from_json(configuration.get("weights")),
            dataset=Dataset.from_row(dataset) if dataset else None,
            job=job,
            files_removed_at=parse_timestamp(configuration.get(FILES_REMOVED_AT)),
            may_lack_files=bool(configuration.get(REMOVAL_BEGAN_AT)),
        )

    @property
    def lost_files(self) -> str | None:
        """What the harvester removed while the model was deleted, as a sentence without its end."""
        if self.files_removed_at is not None:
            return (
                f"Its files were removed from the bucket on {formats.date(self.files_removed_at)}"
            )
        return "Some of its files may be gone from the bucket" if self.may_lack_files else None

    @property
    def size(self) -> int | None:
        """Bytes of all files; None unless every size is known."""
        return total_size(file.size for file in self.files)


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


class NewestValues(NamedTuple):
    """What the newest metric points of a run tell; None where they tell nothing."""

    step: float | None = None
    training_loss: float | None = None
    validation_loss: float | None = None

    @classmethod
    def of_curve(cls, curve: Sequence[CurvePoint]) -> Self:
        """The newest values of a curve."""
        if not curve:
            return cls()
        validated = (p.validation_loss for p in reversed(curve) if p.validation_loss is not None)
        return cls(curve[-1].step, curve[-1].training_loss, next(validated, None))

    def with_point(
        self,
        step: float | None,
        training: float | None,
        validation: float | None,
        gradient_norm: float | None,
    ) -> Self:
        """After one more point, which is later than those before it."""
        loss, validated = usable_loss(training, gradient_norm), finite(validation)
        return type(self)(
            self.step if step is None else step,
            self.training_loss if loss is None else loss,
            self.validation_loss if validated is None else validated,
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
    updated_at: datetime | None
    current_cost: float | None
    """US dollars so far."""
    estimated_cost: float | None
    """US dollars, of the whole run, as estimated when it was queued."""
    final_cost: float | None
    """US dollars, once it has ended."""
    error_message: str | None
    error_stack: str | None
    """With its lines."""
    retries: int | None
    """How often it was tried again."""
    total_epochs: float | None
    training_loss: float | None
    """The newest one that is known, in nats a token: of the row, or of points (`with_newest`)."""
    validation_loss: float | None
    external_job_id: str | None
    artifact_id: str | None

    @property
    def cost(self) -> float | None:
        """US dollars: the final cost, before that the cost so far."""
        return self.current_cost if self.final_cost is None else self.final_cost

    @property
    def duration_hours(self) -> float | None:
        """From the start to the end; None where one is unknown, or the end is before the start."""
        if self.started_at is None or self.completed_at is None:
            return None
        seconds = (self.completed_at - self.started_at).total_seconds()
        return seconds / 3600 if seconds >= 0 else None

    def with_newest(self, newest: NewestValues) -> Job:
        """This job with the losses of its newest points, unless the row is of a later step."""
        training, validation = newest.training_loss, newest.validation_loss
        if training is None and validation is None:
            return self
        if self.current_step is not None and self.current_step > (newest.step or 0):
            training = training if self.training_loss is None else self.training_loss
            validation = validation if self.validation_loss is None else self.validation_loss
        return replace(
            self,
            training_loss=self.training_loss if training is None else training,
            validation_loss=self.validation_loss if validation is None else validation,
        )

    @classmethod
    def from_row(cls, row: Row) -> Job:
        """Read a row of `training_jobs`, with or without its dataset embedded."""
        metrics = mapping(row.get("current_metrics"))
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
            updated_at=parse_timestamp(row.get("updated_at")),
            current_cost=number(row.get("current_cost")),
            estimated_cost=number(row.get("estimated_total_cost")),
            final_cost=number(row.get("final_cost")),
            error_message=text_or_none(row.get("error_message"), limit=2_000, lines=True),
            error_stack=text_or_none(row.get("error_stack"), limit=50_000, lines=True),
            retries=integer(row.get("retry_count")),
            total_epochs=number(row.get("total_epochs")),
            training_loss=number(metrics.get("training_loss")),
            validation_loss=number(metrics.get("validation_loss")),
            external_job_id=text_or_none(row.get("external_job_id")),
            artifact_id=identifier(row.get("artifact_id")) or None,
        )


@dataclass(frozen=True)
class Notification:
    """A message of the backend to the user."""

    id: str
    type: str
    title: str
    message: str
    priority: str
    read: bool
    model_id: str | None
    job_id: str | None
    """The training job that it is about."""
    created_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Notification:
        """Read a row of `notifications`."""
        metadata = mapping(row.get("metadata"))
        return cls(
            id=identifier(row.get("id")),
            type=text_or_none(row.get("type"), limit=60) or "",
            title=text_or_none(row.get("title")) or "",
            message=text_or_none(row.get("message"), limit=500) or "",
            priority=text_or_none(row.get("priority"), limit=20) or "medium",
            read=row.get("read") in (True, 1, "true", "t"),
            model_id=identifier(metadata.get("artifact_id")) or None,
            job_id=identifier(metadata.get("job_id")) or None,
            created_at=parse_timestamp(row.get("created_at")),
        )


def _files(artifacts: object, manifest: object) -> tuple[ArtifactFile, ...]:
    described = mapping(manifest)
    files = []
    for name, path in mapping(artifacts).items():
        if not isinstance(path, str) or not path:
            continue
        facts = mapping(described.get(name))
        size = integer(facts.get("size"))
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
