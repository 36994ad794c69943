"""The rows that the pipeline keeps of a live run: its job, points, costs, result and notification.

Each function changes rows of an open transaction. `moment` is the sandbox's time.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.objects import BUCKET, COLUMNS, WORKER_BUCKET, seeded_row
from lora_tui.sandbox.seed.adapter_files import BASE_MODELS, FILE_TYPES, adapter_recipe
from lora_tui.sandbox.seed.runs import layers_of, plan_run
from lora_tui.sandbox.seed.seeding import DATASETS, DEMO, Rows
from lora_tui.sandbox.training.course import Course, current_metrics, json_object, positive

LIVE: Final = "demo-live-"
"""How the worker's ids of runs begin that were queued here."""
ACTIVE: Final = "status IN ('queued', 'initializing', 'running')"
_SCALED_BY: Final = 16
_WORKER_STATUS: Final = {"completed": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELLED"}
Row = Mapping[str, Any]


def update_job(backend: Backend, job: Row, moment: datetime, **values: Any) -> None:
    """Change columns of a job; `updated_at` is set as the trigger does."""
    changed = {**values, "updated_at": timestamp_text(moment)}
    names = ", ".join(f'"{name}" = ?' for name in changed)
    backend.database.execute(
        f"UPDATE training_jobs SET {names} WHERE id = ?", [*changed.values(), job["id"]]
    )


def start_run(backend: Backend, job: Row, course: Course, moment: datetime) -> None:
    """A place is free: the GPU loads the base model."""
    update_job(
        backend,
        job,
        moment,
        status="initializing",
        current_stage="loading_model",
        started_at=timestamp_text(moment),
        estimated_total_cost=round(course.price * course.points / 3600 * 1.1, 2),
    )
    _set_worker(backend, job, "IN_PROGRESS", None)


def log_point(backend: Backend, job: Row, course: Course, index: int, moment: datetime) -> Row:
    """Add a point, and what the job's row tells of it. Returns the point's row."""
    row = course.row(index, _scale(backend, job, course), timestamp_text(moment))
    backend.database.insert_many("metrics_points", list(row), [list(row.values())])
    spent = float(job["current_cost"] or 0) + course.price * _seconds_since(job, moment) / 3600
    update_job(
        backend,
        job,
        moment,
        status="running",
        current_stage="training",
        progress=round(100 * index / course.points, 2),
        current_epoch=row["epoch"],
        current_step=row["step"],
        current_metrics=current_metrics(row, job["current_metrics"]),
        current_cost=round(spent, 4),
    )
    return row


def end_run(
    backend: Backend,
    job_id: str,
    status: str,
    moment: datetime,
    *,
    error: tuple[str, str] | None = None,
) -> None:
    """The job `completed`, `failed` (with message and stack) or was `cancelled`."""
    job = backend.database.row("SELECT * FROM training_jobs WHERE id = ?", (job_id,))
    assert job is not None, "the caller has just read it"
    cost = round(float(job["current_cost"] or 0), 2)
    values: dict[str, Any] = {
        "status": status,
        "current_stage": "finalizing" if status == "completed" else status,
        "completed_at": timestamp_text(moment),
        "final_cost": cost,
    }
    message, stack = error or (None, None)
    if error is not None:
        values |= {"error_message": message, "error_stack": stack}
    update_job(backend, job, moment, **values)
    _set_worker(backend, job, _WORKER_STATUS[status], message)
    if cost > 0:
        _add_cost(backend, job, cost, moment)
    if status == "completed":
        _add_result(backend, job, moment)
    if message is not None:
        _notify_of_failure(backend, job, message, moment)


def queue_run(backend: Backend, seed: int, number: int, family: str, moment: datetime) -> str:
    """Add a queued job, the `number`th of this sandbox; its id, or "" where there is no dataset."""
    found = {
        row["name"]: row["id"]
        for row in backend.database.rows(
            "SELECT id, name FROM datasets WHERE user_id = ? AND deleted_at IS NULL", (DEMO.id,)
        )
    }
    datasets = [(found[text.name], text) for text in DATASETS if text.name in found]
    if not datasets:
        return ""
    chance = random.Random(f"{seed}/live/{number}")
    run = plan_run(DEMO, datasets, number, "live", moment, family, chance)
    job_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    now = timestamp_text(moment)
    rows = Rows(backend.database)
    rows.add(
        "training_jobs",
        id=job_id,
        user_id=DEMO.id,
        dataset_id=run.dataset_id,
        preset_id=run.preset,
        hyperparameters=json.dumps(run.hyperparameters()),
        gpu_config=json.dumps(run.gpu_config()),
        current_stage="queued",
        total_epochs=run.epochs,
        total_steps=run.steps,
        queued_at=now,
        estimated_total_cost=round(run.gpu[2] * 0.1 * 1.1, 2),
        external_job_id=f"{LIVE}{number}-{job_id[:18]}-u1",
        created_at=now,
        updated_at=now,
    )
    rows.flush()
    return job_id


def remove_old_runs(backend: Backend, kept: int) -> None:
    """Remove all that belongs to ended runs that were queued here, except the newest `kept`."""
    database = backend.database
    jobs = database.rows(
        "SELECT id, user_id, external_job_id, artifact_id FROM training_jobs AS j"
        f" WHERE external_job_id GLOB '{LIVE}*' AND NOT {ACTIVE} AND NOT EXISTS"
        " (SELECT 1 FROM model_artifacts WHERE parent_model_id = j.artifact_id)"
        " ORDER BY completed_at DESC, id LIMIT -1 OFFSET ?",
        (kept,),
    )
    for job in jobs:
        external = job["external_job_id"]
        _remove_objects(backend, WORKER_BUCKET, f"{external}/")
        for model in database.rows("SELECT id FROM model_artifacts WHERE job_id = ?", (job["id"],)):
            _remove_objects(backend, BUCKET, f"{job['user_id']}/{model['id']}/")
        for statement in (
            "UPDATE training_jobs SET artifact_id = NULL WHERE id = ?",
            "DELETE FROM model_artifacts WHERE job_id = ?",
            "DELETE FROM notifications WHERE json_extract(metadata, '$.job_id') = ?",
            "DELETE FROM training_jobs WHERE id = ?",
        ):
            database.execute(statement, (job["id"],))
        database.execute("DELETE FROM worker_jobs WHERE id = ?", (external,))


def is_cancelled(backend: Backend, job: Row) -> bool:
    """Whether the worker was asked to cancel it."""
    row = backend.database.row(
        "SELECT status FROM worker_jobs WHERE id = ?", (job["external_job_id"],)
    )
    return row is not None and row["status"] == "CANCELLED"


def ensure_worker_job(backend: Backend, job: Row) -> None:
    """The worker knows each job that was submitted."""
    backend.database.execute(
        "INSERT OR IGNORE INTO worker_jobs (id, status, dialect, files, metadata)"
        " VALUES (?, 'IN_QUEUE', 'model_files,model_metadata', '[]', '{}')",
        (job["external_job_id"],),
    )


def _set_worker(backend: Backend, job: Row, status: str, error: str | None) -> None:
    ensure_worker_job(backend, job)
    backend.database.execute(
        "UPDATE worker_jobs SET status = ?, error = ? WHERE id = ?",
        (status, error, job["external_job_id"]),
    )


def _scale(backend: Backend, job: Row, course: Course) -> float:
    if job["external_job_id"].startswith(LIVE):
        return course.scale(())
    logged = backend.database.rows(  # of a seeded run, which goes on without a jump
        "SELECT step, training_loss FROM metrics_points WHERE job_id = ?"
        " ORDER BY timestamp DESC LIMIT ?",
        (job["id"], _SCALED_BY),
    )
    return course.scale(logged)


def _seconds_since(job: Row, moment: datetime) -> float:
    """Seconds since the row was last changed; a long gap was not paid."""
    seconds = (moment - (parse_timestamp(job["updated_at"]) or moment)).total_seconds()
    return min(10.0, max(0.0, seconds))


def _add_cost(backend: Backend, job: Row, cost: float, moment: datetime) -> None:
    gpu = json_object(job["gpu_config"])
    rows = Rows(backend.database)
    rows.add(
        "cost_records",
        id=str(uuid.uuid5(uuid.UUID(job["id"]), "cost")),
        user_id=job["user_id"],
        job_id=job["id"],
        cost_type="gpu",
        amount=cost,
        details=json.dumps({"gpu_type": gpu.get("gpu_type") or gpu.get("type")}),
        billing_period=f"{moment:%Y-%m}",
        recorded_at=timestamp_text(moment),
    )
    rows.flush()


def _add_result(backend: Backend, job: Row, moment: datetime) -> None:
    """The files of the adapter, at the worker."""
    settings = json_object(job["hyperparameters"])
    base_model = settings.get("base_model")
    rank = int(positive(settings.get("lora_rank", settings.get("rank")), 16))
    recipes = {
        file: adapter_recipe(
            file,
            base_model=base_model if base_model in BASE_MODELS else BASE_MODELS[0],
            rank=rank,
            alpha=int(positive(settings.get("lora_alpha"), 2 * rank)),
            dropout=positive(settings.get("lora_dropout"), 0.0),
            layers=layers_of(rank, False),
            seed=random.Random(job["id"]).randrange(2**31),
        )
        for file in FILE_TYPES
    }
    backend.database.insert_many(
        "storage_objects",
        COLUMNS,
        [
            seeded_row(
                WORKER_BUCKET,
                f"{job['external_job_id']}/{file}",
                owner=None,
                content_type="binary/octet-stream",
                recipe=recipe,
                moment=timestamp_text(moment),
            )
            for file, recipe in recipes.items()
        ],
    )
    facts = {"base_model": base_model, "rank": rank, "total_steps": job["total_steps"]}
    backend.database.execute(
        "UPDATE worker_jobs SET dialect = 'model_files,model_metadata', files = ?, metadata = ?"
        " WHERE id = ?",
        (json.dumps(list(recipes)), json.dumps(facts), job["external_job_id"]),
    )


def _notify_of_failure(backend: Backend, job: Row, message: str, moment: datetime) -> None:
    dataset = backend.database.row("SELECT name FROM datasets WHERE id = ?", (job["dataset_id"],))
    name = "Training" if dataset is None else dataset["name"]
    rows = Rows(backend.database)
    rows.add(
        "notifications",
        id=str(uuid.uuid5(uuid.UUID(job["id"]), "failed")),
        user_id=job["user_id"],
        type="training_failed",
        title="Training Failed",
        message=f"{name}: {message}",
        priority="high",
        action_url=f"/training/{job['id']}",
        metadata=json.dumps({"job_id": job["id"]}),
        created_at=timestamp_text(moment),
    )
    rows.flush()


def _remove_objects(backend: Backend, bucket: str, prefix: str) -> None:
    for name in backend.objects.names_under(bucket, prefix):
        stored = backend.objects.find(bucket, name)
        if stored is not None:
            backend.objects.remove(stored)
