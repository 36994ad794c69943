"""Finds the models that hold an adapter's weights already, and says what differs from it now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui import formats
from lora_tui.adapters.config import CONFIG, MAX_CONFIG_BYTES
from lora_tui.adapters.header import WEIGHTS
from lora_tui.errors import BackendError, IntegrityError, NotFoundError
from lora_tui.gateway import Gateway
from lora_tui.gateway.read_prefix import read_prefix
from lora_tui.gateway.rest import Rest
from lora_tui.json_values import Row, mapping
from lora_tui.push.directory import TRAINING_ARGS, LocalAdapter
from lora_tui.push.identity import (
    canonical_config,
    config_changes,
    job_id_of,
    job_id_of_weights,
    metrics_digest,
    same_points,
)
from lora_tui.push.job_rows import point_rows
from lora_tui.push.trainer_state import TrainingLog
from lora_tui.text import terminal_safe

METRICS: Final = "metrics_sha256"
"""The key of `configuration` with the digest of the metric points that a push wrote."""


@dataclass(frozen=True)
class Changes:
    """How an adapter on this disk differs from a stored model; phrases for a sentence."""

    config: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.phrases)

    @property
    def phrases(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.config, *self.files, *self.name, *self.metrics)


@dataclass(frozen=True)
class Existing:
    """A stored model that an adapter on this disk may be."""

    job: Row
    """With its dataset's name embedded."""
    artifact: Row
    changes: Changes

    @property
    def deleted(self) -> bool:
        """Whether its owner has deleted it."""
        return bool(self.artifact.get("deleted_at"))


def find_existing(
    gateway: Gateway, user_id: str, adapter: LocalAdapter, log: TrainingLog, name: str | None
) -> list[Existing]:
    """The pushed models of a user with these weights, those with the fewest changes first.

    Found by their ids, also by those of earlier versions, and by the checksum of their weights.
    """
    config = canonical_config(adapter.config_content)
    rest, found = gateway.rest, dict[str, Existing]()
    for job_id in (
        job_id_of(user_id, adapter.sha256, config),
        job_id_of_weights(user_id, adapter.sha256),
        *_jobs_with_weights(rest, user_id, adapter),
    ):
        job = None if job_id in found else rest.job(user_id, job_id)
        if job is None or job.get("external_job_id"):
            continue  # a harvested model with these weights is not one that was pushed
        artifact = rest.artifact_by_job(job_id)
        if artifact is not None:
            found[job_id] = compare(gateway, job, artifact, adapter, log, name)
    return sorted(found.values(), key=lambda model: len(model.changes.phrases))


def compare(
    gateway: Gateway,
    job: Row,
    artifact: Row,
    adapter: LocalAdapter,
    log: TrainingLog,
    name: str | None,
) -> Existing:
    """The model of a job, with what differs between it and the adapter on this disk.

    With an empty log, or without `name`, the stored metrics or the stored name are right.
    """
    points = point_rows(str(job["id"]), adapter, log)
    before = terminal_safe(artifact.get("name"), limit=200)
    renamed = name is not None and name != artifact.get("name")
    changes = Changes(
        config=tuple(_config_changes(gateway, artifact, adapter)),
        files=tuple(_file_changes(artifact, adapter)),
        name=(f'name "{before}" → "{terminal_safe(name, limit=200)}"',) if renamed else (),
        metrics=tuple(_metric_changes(gateway.rest, job, artifact, points, log)),
    )
    return Existing(job, artifact, changes)


def recorded_sha256(artifact: Row, name: str) -> object:
    """The checksum that a model's row records for a file that it has; None where it has none."""
    if name not in mapping(artifact.get("artifacts")):
        return None
    files = mapping(mapping(artifact.get("configuration")).get("files"))
    return mapping(files.get(name)).get("sha256")


def _jobs_with_weights(rest: Rest, user_id: str, adapter: LocalAdapter) -> Iterator[str]:
    try:
        rows = rest.artifacts_with_file(user_id, WEIGHTS, adapter.sha256)
    except BackendError:
        return  # a backend without this query: the ids find all but corrected configurations
    yield from (str(row.get("job_id")) for row in rows)


def _config_changes(gateway: Gateway, artifact: Row, adapter: LocalAdapter) -> Iterator[str]:
    local = next(file.sha256 for file in adapter.files if file.name == CONFIG)
    recorded = recorded_sha256(artifact, CONFIG)
    if recorded == local:
        return
    path = mapping(artifact.get("artifacts")).get(CONFIG)
    try:
        if not isinstance(path, str):
            raise NotFoundError("The model has no such file")
        stored, _ = read_prefix(gateway.storage.sign(path), MAX_CONFIG_BYTES + 1)
        changed = config_changes(stored, adapter.config_content)
    except (NotFoundError, IntegrityError):
        yield f"{CONFIG}: the stored one can't be read"
        return
    if changed:
        yield f"{CONFIG}: {', '.join(changed)}"


def _file_changes(artifact: Row, adapter: LocalAdapter) -> Iterator[str]:
    stored = mapping(artifact.get("artifacts"))
    for file in adapter.files:
        if file.name not in stored:
            yield f"{file.name} is not stored"
        elif file.name != CONFIG and recorded_sha256(artifact, file.name) != file.sha256:
            yield f"{file.name} differs"
    local = {file.name for file in adapter.files}
    for name in sorted(map(str, stored.keys() - local - {TRAINING_ARGS})):
        yield f"{terminal_safe(name, limit=80)} is stored, and not in the directory"


def _metric_changes(
    rest: Rest, job: Row, artifact: Row, points: Sequence[Row], log: TrainingLog
) -> Iterator[str]:
    recorded = mapping(artifact.get("configuration")).get(METRICS)
    if log == TrainingLog() or recorded == metrics_digest(points, log.summary()):
        return
    stored = [point for page in rest.metric_points(str(job["id"])) for point in page]
    if recorded is None and (not points or same_points(stored, points)):
        return  # an earlier version wrote them
    if recorded is None and job.get("external_job_id") and stored:
        return  # the worker logged them: they stay
    yield f"the metrics ({formats.counted(len(stored), 'point')} stored, {len(points)} now)"
