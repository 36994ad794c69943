"""Decides what a push does: a new model, an update of one, a new version, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lora_tui.errors import NotFoundError, UsageError
from lora_tui.gateway import Gateway
from lora_tui.gateway.rest import Rest
from lora_tui.harvest.artifact_rows import Identity
from lora_tui.json_values import Row, mapping
from lora_tui.keeping.change import LONGEST_NAME, is_storable, require_name
from lora_tui.push.checkpoint import find_weights_step
from lora_tui.push.directory import LocalAdapter, training_settings
from lora_tui.push.existing import Changes, Existing, compare, find_existing
from lora_tui.push.identity import (
    canonical_config,
    job_id_of,
    job_id_of_weights,
    major,
    metrics_digest,
    next_name,
)
from lora_tui.push.job_rows import job_row, point_rows, run_columns
from lora_tui.push.trainer_state import TrainingLog
from lora_tui.text import terminal_safe

_MOST_VERSIONS: Final = 100
"""Of the same weights with the same configuration."""


class WhenChanged(StrEnum):
    """What a push does where the weights are stored, and something else than they has changed."""

    ASK = "ask"
    UPDATE = "update"
    NEW_VERSION = "new version"


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
    changes: Changes
    """What an update changes; empty where it is new, or is stored as it is."""
    log: TrainingLog
    parent: Row | None
    """The model that a new version follows."""

    @property
    def identity(self) -> Identity:
        """The job, its owner, and the id and name of the model."""
        return Identity.of(self.job)

    @property
    def summary(self) -> Row:
        """Keys of `training_summary` that the points and the job don't give."""
        weights = find_weights_step(self.adapter, self.log)
        return {**self.log.summary(), **(weights.summary() if weights else {})}

    @property
    def metrics_digest(self) -> str:
        """What tells whether a later push brings other metrics."""
        return metrics_digest(self.points, self.log.summary())

    @property
    def model_id(self) -> str:
        """The id of the model, existing or to be made."""
        return self.identity.artifact_id if self.artifact is None else str(self.artifact["id"])


def plan_push(
    gateway: Gateway,
    user_id: str,
    adapter: LocalAdapter,
    log: TrainingLog,
    *,
    dataset: str | None = None,
    job: str | None = None,
    name: str | None = None,
    when_changed: WhenChanged = WhenChanged.ASK,
) -> Plan:
    """Plan a push without writing anything.

    `job` is the id of a completed job of the user, here or at the worker, whose model this becomes.
    Without it the adapter gets a job of its own for `dataset` (an id or a name).
    Raises UsageError, NotFoundError, IntegrityError; UsageError also where a model has these
    weights and differs in something else, unless `when_changed` says what to do.
    """
    if name is not None:
        require_name(name)
    for word, what in ((job, "job"), (dataset, "dataset")):
        if word is not None and not is_storable(word):
            raise UsageError(
                f"There is no such {what}: the name has control characters, or is not UTF-8",
                details=terminal_safe(word, limit=60) or None,
            )
    if job is not None:
        row = _find_job(gateway.rest, user_id, job)
        artifact = gateway.rest.artifact_by_job(str(row["id"]))
        found = [] if artifact is None else [compare(gateway, row, artifact, adapter, log, name)]
        if when_changed is WhenChanged.NEW_VERSION:
            raise UsageError(
                "A job can have only one model",
                remedy="leave out --job, so that the new version gets a job of its own",
            )
    else:
        found = find_existing(gateway, user_id, adapter, log, name)
    live = [model for model in found if not model.deleted]
    there = _chosen(found, live, when_changed, by_job=job is not None)
    if there is not None:
        if job is None:
            _require_same_dataset(there.job, dataset)
        return Plan(
            adapter=adapter,
            job=there.job,
            new_job=False,
            points=tuple(point_rows(str(there.job["id"]), adapter, log))
            if there.changes.metrics
            else (),
            artifact=there.artifact,
            name=str((there.changes.name and name) or there.artifact.get("name")),
            changes=there.changes,
            log=log,
            parent=None,
        )
    parent = max(live, key=lambda model: major(model.artifact.get("version")), default=None)
    if job is None:
        row, new = _own_job(gateway.rest, user_id, adapter, log, dataset, parent)
    else:
        new = False
    return Plan(
        adapter=adapter,
        job=row,
        new_job=new,
        points=tuple(point_rows(str(row["id"]), adapter, log)),
        artifact=None,
        name=name or _default_name(row, parent),
        changes=Changes(),
        log=log,
        parent=None if parent is None else parent.artifact,
    )


def _chosen(
    found: Sequence[Existing], live: Sequence[Existing], when_changed: WhenChanged, *, by_job: bool
) -> Existing | None:
    """The model that this adapter is, or that is updated. Raises UsageError where that is open."""
    if live and (not live[0].changes or when_changed is WhenChanged.UPDATE):
        return live[0]
    if when_changed is WhenChanged.NEW_VERSION:
        return None
    if live:
        name = terminal_safe(live[0].artifact.get("name"), limit=80)
        raise UsageError(
            "The job has a model already, which differs from this adapter"
            if by_job
            else "These weights are stored already, and something else differs from that model",
            details=f"{name}, {live[0].artifact['id']}: {'; '.join(live[0].changes.phrases)}",
            remedy="add --update to change that model, or "
            + ("leave out --job" if by_job else "--new-version")
            + " to store a second one beside it; nothing was sent",
        )
    if found and (by_job or not found[0].changes.config):
        raise UsageError(
            "This model was pushed before, and has been deleted",
            details=str(found[0].artifact["id"]),
            remedy="restore it in the web application: a job can have only one model"
            if by_job
            else "restore it in the web application, or add --new-version to store it again",
        )
    return None


def _own_job(
    rest: Rest,
    user_id: str,
    adapter: LocalAdapter,
    log: TrainingLog,
    dataset: str | None,
    parent: Existing | None,
) -> tuple[Row, bool]:
    """The job that this push makes for its model, and whether its row has to be written.

    An interrupted push may have written it.
    """
    config = canonical_config(adapter.config_content)
    settings = training_settings(adapter)
    ids = [
        job_id_of(user_id, adapter.sha256, config, number)
        for number in range(1, _MOST_VERSIONS + 1)
    ]
    free = None
    for job_id in (job_id_of_weights(user_id, adapter.sha256), *ids):
        row = rest.job(user_id, job_id)
        if row is None:
            free = job_id
            if job_id in ids:
                break
        elif rest.artifact_by_job(job_id) is None and (
            job_id in ids or settings.items() <= mapping(row.get("hyperparameters")).items()
        ):
            _require_same_dataset(row, dataset)
            hyperparameters = {**mapping(row.get("hyperparameters")), **settings, **log.settings()}
            return {**row, "hyperparameters": hyperparameters, **run_columns(log)}, False
    if free not in ids:
        raise UsageError("There are too many versions of this adapter")
    if dataset is None and parent is not None:
        dataset = str(parent.job.get("dataset_id"))
    found = _find_dataset(rest, user_id, dataset)
    return job_row(user_id, str(free), found, adapter, log), True


def _default_name(job: Row, parent: Existing | None) -> str:
    if parent is None:
        return Identity.of(job).name
    return next_name(str(parent.artifact.get("name") or Identity.of(job).name), LONGEST_NAME)


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
