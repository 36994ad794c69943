"""Pushes an adapter in the order of a harvest: objects, job, points, artifact, notification, link.

The same push finishes what an interrupted one began: all ids are derived from the job's id, so
existing objects and rows are found and not made twice.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from lora_tui.clock import timestamp_text
from lora_tui.config.table import Profile
from lora_tui.domain import Quality
from lora_tui.errors import (
    ConfigError,
    ConflictError,
    IntegrityError,
    MissingReferenceError,
    NotFoundError,
    UsageError,
)
from lora_tui.gateway import Gateway
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.retry import repeat
from lora_tui.harvest.artifact_rows import NAMESPACE, Identity, StoredFile, artifact_row
from lora_tui.harvest.harvester import LEASE_SECONDS, spool_directory
from lora_tui.harvest.lease import Lease
from lora_tui.harvest.publish import check_stored, discard_if_deleted, publish, write_artifact
from lora_tui.harvest.receipts import Owner, Receipts
from lora_tui.harvest.store import Spool, store_file
from lora_tui.json_values import Row, mapping
from lora_tui.processes import new_identity
from lora_tui.push.directory import (
    LocalAdapter,
    LocalFile,
    training_settings,
    translating_read_errors,
)
from lora_tui.push.trainer_state import TrainingLog
from lora_tui.text import terminal_safe

_PIECE: Final = 1 << 20
_POINTS_AT_ONCE: Final = 500
_LONGEST_NAME: Final = 200


@dataclass(frozen=True)
class Plan:
    """What a push would do."""

    adapter: LocalAdapter
    job: Row
    """With its dataset's name embedded."""
    new_job: bool
    """Whether the job's row has to be written."""
    points: tuple[Row, ...]
    """Metric points to write, unless they exist."""
    artifact: Row | None
    """The model, if it exists."""
    name: str

    @property
    def identity(self) -> Identity:
        """The job, its owner, and the id and name of the model."""
        return Identity.of(self.job)

    @property
    def model_id(self) -> str:
        """The id of the model, existing or to be made."""
        return self.identity.artifact_id if self.artifact is None else str(self.artifact["id"])


@dataclass(frozen=True)
class PushResult:
    """The result of a push."""

    model_id: str
    name: str
    quality: Quality
    files: tuple[StoredFile, ...]
    """Empty where the model existed before."""
    existed: bool


def connect(profile: Profile) -> Gateway:
    """The project as its service role. Raises ConfigError where the key is not configured."""
    if not profile.service_key:
        raise ConfigError(
            "A model needs the row of a training job, and no user's own session may write one",
            remedy="set SUPABASE_SERVICE_ROLE_KEY (or SUPABASE_SERVICE_ROLE_KEY_FILE), or ask"
            " whoever runs the harvest to push it",
        )
    return Gateway.for_service(profile.url, profile.service_key)


def plan_push(
    rest: Rest,
    user_id: str,
    adapter: LocalAdapter,
    log: TrainingLog,
    *,
    dataset: str | None = None,
    job: str | None = None,
    name: str | None = None,
) -> Plan:
    """Plan a push without writing anything.

    `job` is the id of a completed job of the user, here or at the worker, whose model this becomes.
    Without it the adapter gets a job of its own for `dataset` (an id or a name).
    Raises UsageError, NotFoundError, IntegrityError.
    """
    if name is not None:
        _require_name(name)
    for word, what in ((job, "job"), (dataset, "dataset")):
        if word is not None and not _is_storable(word):
            raise UsageError(
                f"There is no such {what}: the name has control characters, or is not UTF-8",
                details=terminal_safe(word, limit=60) or None,
            )
    if job is not None:
        row, new = _find_job(rest, user_id, job), False
    else:
        own = str(uuid.uuid5(NAMESPACE, f"push {user_id} {adapter.sha256}"))
        there = rest.job(user_id, own)
        new = there is None
        if there is None:
            row = _new_job_row(rest, user_id, own, adapter, log, dataset)
        else:
            row = there
            _require_same_dataset(row, dataset)
    identity = Identity.of(row)
    artifact = rest.artifact_by_job(identity.job_id)
    if artifact is not None and artifact.get("deleted_at"):
        raise UsageError(
            "This model was pushed before, and has been deleted",
            details=str(artifact["id"]),
            remedy="restore it in the web application: a job can have only one model",
        )
    return Plan(
        adapter=adapter,
        job=row,
        new_job=new,
        points=() if artifact is not None else tuple(_points(row, adapter, log)),
        artifact=artifact,
        name=name or str((artifact or {}).get("name") or identity.name),
    )


def push(
    gateway: Gateway, profile: Profile, plan: Plan, on_file: Callable[[StoredFile], None]
) -> PushResult:
    """Carry out the plan. Raises the error family; the same push continues from there."""
    identity, spool_dir, holder = plan.identity, spool_directory(profile), new_identity()
    receipts = Receipts(spool_dir, identity.artifact_id, holder, Owner.of(identity))
    rest = gateway.rest
    try:
        return _push_under_lease(gateway, plan, receipts, spool_dir, holder, on_file)
    except MissingReferenceError as error:
        if not discard_if_deleted(rest, gateway.storage, receipts, identity):
            raise
        what = "dataset" if plan.new_job else "job, or its dataset,"
        raise NotFoundError(
            f"The {what} was deleted during the push, so the model can't be stored",
            details=error.details,
            remedy="what was sent has been removed; push it to another dataset",
        ) from None


def _push_under_lease(
    gateway: Gateway,
    plan: Plan,
    receipts: Receipts,
    spool_dir: Path,
    holder: str,
    on_file: Callable[[StoredFile], None],
) -> PushResult:
    rest, identity = gateway.rest, plan.identity
    if plan.new_job:
        return _push(gateway, plan, receipts, spool_dir, on_file, lambda: None)
    lease = Lease.claim(rest, identity.job_id, holder, LEASE_SECONDS)
    if lease is None:
        raise ConflictError(
            "A harvester works on this job now", remedy="wait until it has ended, then try again"
        )
    with lease.kept():
        return _push(gateway, plan, receipts, spool_dir, on_file, lease.check)


def _push(
    gateway: Gateway,
    plan: Plan,
    receipts: Receipts,
    spool_dir: Path,
    on_file: Callable[[StoredFile], None],
    check: Callable[[], None],
) -> PushResult:
    rest, identity = gateway.rest, plan.identity
    artifact, existed = plan.artifact, plan.artifact is not None
    stored: list[StoredFile] = []
    if artifact is None:
        for file in plan.adapter.files:
            check()
            stored.append(_store(gateway, file, identity, receipts, spool_dir))
            on_file(stored[-1])
        check()
        if plan.new_job:
            _write_job(rest, plan.job)
        _write_points(rest, identity.job_id, plan.points)
        points = (point for page in rest.metric_points(identity.job_id) for point in page)
        weights = plan.adapter.weights.as_json() if plan.adapter.weights else None
        row = {**artifact_row(plan.job, points, stored, weights), "name": plan.name}
        check_stored(gateway.storage, identity, stored)
        artifact, existed = write_artifact(rest, row)
    publish(rest, gateway.storage, receipts, identity, artifact)
    return PushResult(
        model_id=str(artifact["id"]),
        name=terminal_safe(artifact.get("name"), limit=_LONGEST_NAME),
        quality=Quality.from_json(artifact.get("quality_metrics")),
        files=tuple(stored),
        existed=existed,
    )


def _store(
    gateway: Gateway, file: LocalFile, identity: Identity, receipts: Receipts, spool_dir: Path
) -> StoredFile:
    stored = store_file(
        gateway.storage,
        file.name,
        identity.path(file.name),
        partial(_read_into, file),
        spool_dir=spool_dir,
        receipts=receipts,
    )
    if stored.sha256 != file.sha256:
        raise IntegrityError(
            f"{file.name} changed while it was sent",
            remedy="wait until the training has ended, then push again",
        )
    return stored


def _read_into(file: LocalFile, spool: Spool) -> None:
    spool.announce(file.size, f'"{file.sha256}"')
    with translating_read_errors(), file.path.open("rb") as source:
        while piece := source.read(_PIECE):
            spool.append(memoryview(piece))
    spool.finish()


def _write_job(rest: Rest, job: Row) -> None:
    row = {key: value for key, value in job.items() if key != "dataset"}
    try:
        repeat(lambda: rest.insert_job(row))
    except ConflictError:
        if rest.job(str(row["user_id"]), str(row["id"])) is None:
            raise


def _write_points(rest: Rest, job_id: str, points: Sequence[Row]) -> None:
    """Write the points, unless the job has points that are not ours."""
    ours = {point["id"] for point in points}
    there = (str(point["id"]) for page in rest.metric_points(job_id) for point in page)
    if not points or not all(point in ours for point in there):
        return
    for start in range(0, len(points), _POINTS_AT_ONCE):
        piece = points[start : start + _POINTS_AT_ONCE]
        repeat(partial(rest.insert_metric_points, piece))


def _is_storable(text: str) -> bool:
    """Whether a row can hold the text: no control characters, no broken UTF-8."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _require_name(name: str) -> None:
    shown = terminal_safe(name, limit=1000)
    if not _is_storable(name):
        raise UsageError(
            "The name has control characters, or is not UTF-8", details=shown[:60] or None
        )
    if not 0 < len(shown) <= _LONGEST_NAME:
        raise UsageError(f"A name has 1 to {_LONGEST_NAME} characters", details=shown[:60] or None)


def _find_job(rest: Rest, user_id: str, name: str) -> Row:
    row = rest.job(user_id, name)
    if row is None:
        raise NotFoundError("Job not found or access denied", remedy="give its whole id")
    if row.get("status") != "completed":
        raise UsageError(
            "The job is not completed",
            details=f"it is {terminal_safe(row.get('status'), limit=20)}",
        )
    return row


def _require_same_dataset(job: Row, dataset: str | None) -> None:
    name = mapping(job.get("dataset")).get("name")
    if dataset is not None and dataset not in (job.get("dataset_id"), name):
        raise UsageError(
            "This adapter was pushed before, for another dataset",
            details=terminal_safe(name, limit=80),
            remedy="leave out --dataset",
        )


def _new_job_row(
    rest: Rest,
    user_id: str,
    job_id: str,
    adapter: LocalAdapter,
    log: TrainingLog,
    dataset: str | None,
) -> dict[str, Any]:
    """The row of a training outside the worker: it has no external id, so no harvest takes it."""
    found = _find_dataset(rest, user_id, dataset)
    completed = adapter.trained_at
    started = completed - timedelta(seconds=log.seconds) if log.seconds else None
    last = log.steps[-1] if log.steps else None
    losses = {} if last is None else {"training_loss": last.training_loss}
    begun = timestamp_text(started or completed)
    return {
        "id": job_id,
        "user_id": user_id,
        "dataset_id": str(found["id"]),
        "dataset": {"name": found.get("name")},
        "preset_id": "custom",
        "hyperparameters": training_settings(adapter) | log.settings(),
        "gpu_config": {},
        "status": "completed",
        "progress": 100,
        "current_epoch": log.epochs,
        "total_epochs": log.total_epochs,
        "current_step": log.last_step,
        "total_steps": log.total_steps,
        "current_metrics": losses,
        "queued_at": begun,
        "started_at": timestamp_text(started) if started else None,
        "completed_at": timestamp_text(completed),
    }


def _find_dataset(rest: Rest, user_id: str, reference: str | None) -> Row:
    ids = rest.ids("datasets", user_id)
    rows = rest.rows_by_id("datasets", user_id, ids)
    found = [row for row in rows if reference in (row.get("id"), row.get("name"))]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} datasets have this name",
            details=", ".join(str(row["id"]) for row in found[:10]),
            remedy="give the id",
        )
    names = ", ".join(terminal_safe(row.get("name"), limit=60) for row in rows[:20])
    if reference is None:
        raise UsageError(
            "Name the dataset of the adapter with --dataset",
            details=names or "there is no dataset",
            remedy="a model needs a dataset; one is made in the web application",
        )
    raise NotFoundError("Dataset not found or access denied", details=names or None)


def _points(job: Row, adapter: LocalAdapter, log: TrainingLog) -> list[dict[str, Any]]:
    job_id = str(job["id"])
    return [
        {
            "id": str(uuid.uuid5(NAMESPACE, f"{job_id} step {step.step}")),
            "job_id": job_id,
            "timestamp": timestamp,
            "epoch": step.epoch,
            "step": step.step,
            "training_loss": step.training_loss,
            "validation_loss": step.validation_loss,
            "learning_rate": step.learning_rate,
            "gradient_norm": step.gradient_norm,
        }
        for step, timestamp in zip(log.steps, log.timestamps(adapter.trained_at), strict=True)
    ]
