"""Seeds training jobs with their curves and costs: completed, waiting for a harvest, unfinished."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from lora_tui.clock import timestamp_text
from lora_tui.sandbox.objects import COLUMNS, WORKER_BUCKET, seeded_row
from lora_tui.sandbox.postgrest.tables import TABLES
from lora_tui.sandbox.seed.runs import Point, Run, layers_of, plan_run
from lora_tui.sandbox.seed.seeding import DEMO, DatasetText, Person, Seeding


def add_job(
    seeding: Seeding,
    run: Run,
    curve: Sequence[Point],
    status: str,
    *,
    artifact_id: str | None = None,
    started: datetime | None = None,
    external_job_id: str | None = None,
    progress: float = 100.0,
    error: str | None = None,
) -> str:
    """Add the row of a run; returns its id."""
    job_id = seeding.id("job", run.key)
    done = status in {"completed", "failed", "cancelled"}
    queued = run.started - timedelta(minutes=4)
    step = round(run.steps * progress / 100)
    last = losses(curve[-1]) if curve else None
    metrics = None
    if last is not None:
        metrics = {
            "training_loss": json_number(last["training_loss"]),
            "validation_loss": json_number(last["validation_loss"]),
            "step": step,
        }
    spent = round(run.cost * progress / 100, 2)
    changed = run.completed if done else seeding.now - timedelta(minutes=1)
    seeding.rows.add(
        "training_jobs",
        id=job_id,
        user_id=run.owner.id,
        dataset_id=run.dataset_id,
        preset_id=run.preset,
        hyperparameters=json.dumps(run.hyperparameters()),
        gpu_config=json.dumps(run.gpu_config()),
        status=status,
        current_stage={"running": "training", "completed": "finalizing"}.get(status, status),
        progress=progress,
        current_epoch=math.ceil(run.epochs * progress / 100),
        total_epochs=run.epochs,
        current_step=step,
        total_steps=run.steps,
        current_metrics=None if metrics is None else json.dumps(metrics),
        queued_at=timestamp_text(queued),
        started_at=None if started is None else timestamp_text(started),
        completed_at=timestamp_text(run.completed) if done else None,
        current_cost=spent,
        estimated_total_cost=round(run.cost * 1.1, 2),
        final_cost=spent if done else None,
        error_message=error,
        error_stack=None if error is None else f"RuntimeError: {error}",
        external_job_id=external_job_id or f"demo-{job_id[:18]}-u1",
        artifact_id=artifact_id,
        created_at=timestamp_text(queued - timedelta(seconds=20)),
        updated_at=timestamp_text(changed),
    )
    return job_id


def add_metrics(seeding: Seeding, run: Run, job_id: str, curve: Sequence[Point]) -> None:
    """Add the points of its curve."""
    if not curve:
        return
    chance = random.Random(run.random_seed + 1)
    bits, uniform = chance.getrandbits, chance.uniform
    length = run.completed - run.started
    rows = []
    for point in curve:
        digits = f"{bits(128):032x}"
        moment = run.started + length * point.progress
        training = point.training_loss
        rows.append(
            (
                f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-9{digits[17:20]}-{digits[20:]}",
                job_id,
                moment.isoformat(timespec="microseconds"),
                max(1, math.ceil(point.progress * run.epochs)),
                max(1, round(point.progress * run.steps)),
                "NaN" if math.isnan(training) else training,
                point.validation_loss,
                point.learning_rate,
                "NaN" if math.isnan(point.gradient_norm) else point.gradient_norm,
                round(uniform(1450.0, 1620.0), 1),
                round(uniform(91.0, 99.5), 1),
            )
        )
    seeding.rows.add_ready("metrics_points", tuple(TABLES["metrics_points"].columns), rows)


def add_cost(seeding: Seeding, run: Run, job_id: str) -> None:
    """Add its cost record."""
    seeding.rows.add(
        "cost_records",
        id=seeding.id("cost", run.key),
        user_id=run.owner.id,
        job_id=job_id,
        cost_type="gpu",
        amount=run.cost,
        details=json.dumps({"gpu_type": run.gpu[0], "hours": round(run.hours, 2)}),
        billing_period=f"{run.completed:%Y-%m}",
        recorded_at=timestamp_text(run.completed),
    )


def add_account_costs(seeding: Seeding, owner: Person) -> None:
    """Add what is billed to the account and not to a run: storage of each month, and a credit."""
    first = seeding.now.replace(day=1, hour=0, minute=20, second=0, microsecond=0)
    for months in range(4):
        ended = first - timedelta(days=1)
        hostile = seeding.settings.hostile and months == 0
        _add_account_cost(seeding, owner, "storage", round(1.9 + 0.35 * (4 - months), 2), first)
        if months == 1:
            _add_account_cost(seeding, owner, "credit", -5.0, ended)
        if hostile:
            _add_account_cost(seeding, owner, "\x1b[31m=SUM(A1)\u202e", 1e300, ended, "Nov/26")
        first = ended.replace(day=1)


def _add_account_cost(
    seeding: Seeding,
    owner: Person,
    kind: str,
    amount: float,
    recorded: datetime,
    period: str | None = None,
) -> None:
    """Storage is billed on the first day of the next month."""
    seeding.rows.add(
        "cost_records",
        id=seeding.id("account cost", owner.email, kind, f"{recorded:%Y-%m}"),
        user_id=owner.id,
        cost_type=kind,
        amount=amount,
        details=json.dumps({}),
        billing_period=period or f"{recorded - timedelta(days=1):%Y-%m}",
        recorded_at=timestamp_text(recorded),
    )


def add_waiting_job(
    seeding: Seeding, datasets: Sequence[tuple[str, DatasetText]], index: int
) -> None:
    """A completed run that nobody has harvested; its files are at the worker."""
    completed = seeding.now - timedelta(minutes=6 * (index + 1))
    family = ("excellent", "good", "sparse_validation", "overfit")[index % 4]
    luck = seeding.random("waiting", DEMO.email, index + 2)
    run = plan_run(DEMO, datasets, index + 2, "waiting", completed, family, luck)
    if index % 4 == 1:
        # More points than one answer of PostgREST holds, and an adapter beyond one TUS chunk
        run = replace(run, points=1_750, steps=17_500, rank=32, alpha=64)
    curve = run.curve(run.points)
    external_id = f"demo-waiting-{seeding.id('external', index)[:13]}-u1"
    job_id = add_job(
        seeding, run, curve, "completed", started=run.started, external_job_id=external_id
    )
    add_metrics(seeding, run, job_id, curve)
    add_cost(seeding, run, job_id)
    recipes = run.recipes(layers=9 if index % 4 == 1 else layers_of(run.rank, False))
    rows = [
        seeded_row(
            WORKER_BUCKET,
            f"{external_id}/{file}",
            owner=None,
            content_type="binary/octet-stream",
            recipe=recipe,
            moment=timestamp_text(completed),
        )
        for file, recipe in recipes.items()
    ]
    seeding.rows.add_ready("storage_objects", COLUMNS, rows)
    dialect = ("model_files,model_metadata", "download_urls,metadata")[index % 2]
    facts = {"base_model": run.base_model, "rank": run.rank, "total_steps": run.steps}
    _add_worker_job(seeding, external_id, "COMPLETED", dialect, list(recipes), facts, None)


def add_unfinished_jobs(seeding: Seeding, datasets: Sequence[tuple[str, DatasetText]]) -> None:
    """Runs that are running, queued, failed or cancelled, and their notifications."""
    cases = (
        ("running", "IN_PROGRESS", 64.0, "good", None),
        ("running", "IN_PROGRESS", 18.0, "spiky", None),
        ("queued", "IN_QUEUE", 0.0, None, None),
        ("failed", "FAILED", 37.0, "diverged", "CUDA out of memory on step 412"),
        ("cancelled", "CANCELLED", 9.0, "fair", None),
    )
    for index, (status, worker_status, progress, family, error) in enumerate(cases):
        completed = seeding.now - timedelta(hours=5 * index + 2)
        luck = seeding.random("unfinished", DEMO.email, index + 1)
        run = plan_run(DEMO, datasets, index + 1, "unfinished", completed, family, luck)
        if status == "running":
            ahead = timedelta(hours=run.hours * (1 - progress / 100))
            shift = seeding.now + ahead - run.completed
            run = replace(run, started=run.started + shift, completed=run.completed + shift)
        if status == "queued":  # a few minutes ago
            shift = seeding.now - run.started + timedelta(minutes=1)
            run = replace(run, started=run.started + shift, completed=run.completed + shift)
        count = max(2, round(run.points * progress / 100))
        curve = run.curve(count, progress / 100) if progress else []
        external_id = f"demo-{status}-{seeding.id('unfinished', index)[:13]}-u1"
        job_id = add_job(
            seeding,
            run,
            curve,
            status,
            started=run.started if progress else None,
            external_job_id=external_id,
            progress=progress,
            error=error,
        )
        add_metrics(seeding, run, job_id, curve)
        _add_worker_job(seeding, external_id, worker_status, "output,metadata", [], {}, error)
        if error is not None:
            seeding.rows.add(
                "notifications",
                id=seeding.id("notification", "failed", index),
                user_id=DEMO.id,
                type="training_failed",
                title="Training Failed",
                message=f"{run.text.name}: {error}",
                priority="high",
                action_url=f"/training/{job_id}",
                metadata=json.dumps({"job_id": job_id}),
                created_at=timestamp_text(run.completed),
            )
    seeding.rows.add(
        "notifications",
        id=seeding.id("notification", "cost"),
        user_id=DEMO.id,
        type="cost_alert",
        title="Monthly GPU Budget at 80 %",
        message="You have used $160 of $200 this month.",
        priority="medium",
        read=1,
        metadata=json.dumps({}),
        created_at=timestamp_text(seeding.now - timedelta(days=2, hours=3)),
    )


def losses(point: Point) -> dict[str, Any]:
    """The losses of a point as PostgREST returns them."""
    training = "NaN" if math.isnan(point.training_loss) else point.training_loss
    return {"training_loss": training, "validation_loss": point.validation_loss}


def json_number(value: object) -> float | None:
    """A number that JSON can hold, or None."""
    return float(value) if isinstance(value, (int, float)) else None


def _add_worker_job(
    seeding: Seeding,
    external_id: str,
    status: str,
    dialect: str,
    files: Sequence[str],
    facts: Mapping[str, Any],
    error: str | None,
) -> None:
    seeding.rows.add_ready(
        "worker_jobs",
        ("id", "status", "dialect", "files", "metadata", "error"),
        [(external_id, status, dialect, json.dumps(files), json.dumps(facts), error)],
    )
