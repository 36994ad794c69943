"""Pushes an adapter in the order of a harvest: objects, job, points, artifact, notification, link.

The same push finishes what an interrupted one began: all ids are derived from the job's id, so
existing objects and rows are found and not made twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lora_tui.config.table import Profile
from lora_tui.domain import Quality
from lora_tui.errors import ConfigError, ConflictError, MissingReferenceError, NotFoundError
from lora_tui.gateway import Gateway
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.retry import repeat
from lora_tui.harvest.artifact_rows import StoredFile, artifact_row
from lora_tui.harvest.harvester import LEASE_SECONDS, spool_directory
from lora_tui.harvest.harvester import connect_service as connect_to_project
from lora_tui.harvest.lease import Lease
from lora_tui.harvest.publish import check_stored, discard_if_deleted, publish, write_artifact
from lora_tui.harvest.receipts import Owner, Receipts
from lora_tui.harvest.sending import Sender
from lora_tui.json_values import Row
from lora_tui.keeping.change import LONGEST_NAME
from lora_tui.processes import new_identity
from lora_tui.push.existing import METRICS
from lora_tui.push.identity import major
from lora_tui.push.plan import Plan
from lora_tui.push.send import send_files, write_points
from lora_tui.push.update import update_model
from lora_tui.text import terminal_safe

_LOGGED: Final = (
    "hyperparameters", "current_epoch", "total_epochs", "current_step", "total_steps",
    "current_metrics",
)  # fmt: skip
"""The columns of a job that come from the adapter and its log."""


@dataclass(frozen=True)
class PushResult:
    """The result of a push."""

    model_id: str
    name: str
    quality: Quality
    files: tuple[StoredFile, ...]
    """Empty where the model existed before, and nothing was changed."""
    existed: bool
    updated: bool = False


def connect(profile: Profile) -> Gateway:
    """The project as its service role. Raises ConfigError where the key is not configured."""
    if not profile.service_key:
        raise ConfigError(
            "A model needs the row of a training job, and no user's own session may write one",
            remedy="set SUPABASE_SERVICE_ROLE_KEY (or SUPABASE_SERVICE_ROLE_KEY_FILE), or ask"
            " whoever runs the harvest to push it",
        )
    return connect_to_project(profile, profile.service_key)


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
        return _push(gateway, plan, receipts, spool_dir, holder, on_file, lambda: None)
    lease = Lease.claim(rest, identity.job_id, holder, LEASE_SECONDS)
    if lease is None:
        raise ConflictError(
            "A harvester works on this job now", remedy="wait until it has ended, then try again"
        )
    with lease.kept():
        return _push(gateway, plan, receipts, spool_dir, holder, on_file, lease.check)


def _push(
    gateway: Gateway,
    plan: Plan,
    receipts: Receipts,
    spool_dir: Path,
    holder: str,
    on_file: Callable[[StoredFile], None],
    check: Callable[[], None],
) -> PushResult:
    rest, identity = gateway.rest, plan.identity
    artifact, existed = plan.artifact, plan.artifact is not None
    stored: list[StoredFile] = []
    if artifact is None:
        sender = Sender(gateway.storage, gateway.s3)
        files = [(file, identity.path(file.name)) for file in plan.adapter.files]
        stored = send_files(sender, files, receipts, spool_dir, check=check, on_file=on_file)
        check()
        _write_job(rest, plan.job, new=plan.new_job)
        ours = write_points(rest, plan.job, plan.points)
        points = (point for page in rest.metric_points(identity.job_id) for point in page)
        weights = plan.adapter.weights.as_json() if plan.adapter.weights else None
        row = artifact_row(plan.job, points, stored, weights)
        row |= {"name": plan.name, **_version(plan)}
        row["training_summary"] = {**row["training_summary"], **plan.summary}
        if ours or not (plan.points or plan.job.get("external_job_id")):
            row["configuration"][METRICS] = plan.metrics_digest
        check_stored(gateway.storage, identity, stored)
        artifact, existed = write_artifact(rest, row)
    elif plan.changes:
        artifact, stored = update_model(gateway, plan, spool_dir, holder, on_file, check)
    publish(rest, gateway.storage, receipts, identity, artifact)
    return PushResult(
        model_id=str(artifact["id"]),
        name=terminal_safe(artifact.get("name"), limit=LONGEST_NAME),
        quality=Quality.from_json(artifact.get("quality_metrics")),
        files=tuple(stored),
        existed=existed,
        updated=bool(plan.changes),
    )


def _write_job(rest: Rest, job: Row, *, new: bool) -> None:
    """Write a job of our own; an interrupted push may have written it, from an earlier log."""
    row = {key: value for key, value in job.items() if key != "dataset"}
    user_id, job_id = str(row["user_id"]), str(row["id"])
    if new:
        try:
            repeat(lambda: rest.insert_job(row))
        except ConflictError:
            if rest.job(user_id, job_id) is None:
                raise
    elif not row.get("external_job_id"):
        changed: dict[str, Any] = {key: row[key] for key in _LOGGED if key in row}
        repeat(lambda: rest.update_job(user_id, job_id, changed))


def _version(plan: Plan) -> dict[str, Any]:
    """The columns of an artifact that tell versions apart."""
    if plan.parent is None:
        return {}
    return {
        "version": f"{major(plan.parent.get('version')) + 1}.0.0",
        "parent_model_id": str(plan.parent["id"]),
    }
