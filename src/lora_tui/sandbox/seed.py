"""Fills an empty sandbox: accounts, datasets, jobs, curves, models, files, notifications.

Deterministic: the same seed, volume and moment give the same rows and the same bytes. What is
special about single models (deployed, archived, hostile names, odd JSON, a missing file) stands
in seed_oddities.py, by the model's index; index 0 is the newest.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lora_tui import clock
from lora_tui.clock import timestamp_text
from lora_tui.quality import calculate_quality_metrics
from lora_tui.sandbox.adapter_files import (
    FILE_TYPES,
    recipe_pieces,
    recipe_size,
)
from lora_tui.sandbox.auth import password_digest
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.loss_curves import Point
from lora_tui.sandbox.objects import BUCKET, COLUMNS, WORKER_BUCKET, seeded_row
from lora_tui.sandbox.people import DEMO, OTHER, Person
from lora_tui.sandbox.seed_oddities import Special, make_odd
from lora_tui.sandbox.seed_rows import Rows
from lora_tui.sandbox.seed_runs import FAMILY_ORDER, Run, layers_of, plan_run
from lora_tui.sandbox.seed_texts import DATASETS, OTHER_DATASET, DatasetText
from lora_tui.sandbox.tables import TABLES, index_statements, table_statements

_NAMESPACE: Final = uuid.UUID("0d6c6b1e-5c55-5a0e-8d1c-6d3a4b7f9e20")
_DAYS: Final = 120
_MOST_CURVES: Final = 200  # in a sandbox of more than 1000 models
_MOST_FILES: Final = 1000  # models with objects in the bucket
_OTHER_MODELS: Final = 3


@dataclass(frozen=True)
class Volume:
    """How much to make for the demo account; nothing at all where both are 0."""

    models: int
    waiting_jobs: int


def seed_backend(backend: Backend, seed: int, volume: Volume, now: datetime | None) -> None:
    """Create the tables and fill them; nothing is done where that has happened before."""
    database = backend.database
    if database.row("SELECT 1 FROM sqlite_master WHERE name = 'sandbox_facts'") is not None:
        return
    moment = (now or clock.now()).astimezone(UTC)
    if now is None:
        moment = moment.replace(minute=0, second=0, microsecond=0)
    with database.transaction(check_references=False):
        for statement in table_statements():
            database.execute(statement)
        rows = Rows(backend.database)
        _Seeder(rows, seed, moment, volume).run()
        rows.flush()
        for statement in index_statements():
            database.execute(statement)
        database.insert_many(
            "sandbox_facts",
            ("name", "value"),
            [("seed", str(seed)), ("now", timestamp_text(moment))],
        )


class _Seeder:
    """Makes the rows."""

    def __init__(self, rows: Rows, seed: int, now: datetime, volume: Volume) -> None:
        self._rows = rows
        self._seed = seed
        self._now = now
        self._volume = volume
        self._many = volume.models > 1000

    def run(self) -> None:
        self._accounts()
        if not self._volume.models and not self._volume.waiting_jobs:
            return
        demo = [self._dataset(DEMO, text, index) for index, text in enumerate(DATASETS)]
        other = [self._dataset(OTHER, OTHER_DATASET, 0)]
        for index in range(self._volume.models):
            self._model(DEMO, demo, index)
        for index in range(_OTHER_MODELS if self._volume.models else 0):
            self._model(OTHER, other, index)
        if self._volume.models >= Special.DELETED_FROM:
            self._model(DEMO, demo, self._volume.models, deleted=True)
        for index in range(self._volume.waiting_jobs):
            self._waiting_job(demo, index)
        if self._volume.models:
            self._unfinished_jobs(demo)

    # Identity and chance

    def _id(self, *key: object) -> str:
        return str(uuid.uuid5(_NAMESPACE, "/".join(map(str, (self._seed, *key)))))

    def _random(self, *key: object) -> random.Random:
        return random.Random("/".join(map(str, (self._seed, *key))))

    # Tables

    def _accounts(self) -> None:
        created_at = timestamp_text(self._now - timedelta(days=_DAYS + 40))
        self._rows.add_ready(
            "auth_users",
            ("id", "email", "password_sha256", "created_at"),
            [
                (person.id, person.email, password_digest(person.password), created_at)
                for person in (DEMO, OTHER)
            ],
        )

    def _dataset(self, owner: Person, text: DatasetText, index: int) -> tuple[str, DatasetText]:
        dataset_id = self._id("dataset", owner.email, index)
        file_name = f"{text.name.lower().replace(' ', '-')}.jsonl"
        created_at = timestamp_text(self._now - timedelta(days=_DAYS + 30 - 2 * index, hours=index))
        self._rows.add(
            "datasets",
            id=dataset_id,
            user_id=owner.id,
            name=text.name,
            description=text.description,
            status="ready",
            storage_path=f"{owner.id}/{dataset_id}/{file_name}",
            file_name=file_name,
            file_size=text.training_pairs * 1_730,
            total_training_pairs=text.training_pairs,
            total_validation_pairs=text.training_pairs // 10,
            total_tokens=text.training_pairs * 412,
            created_at=created_at,
            updated_at=created_at,
        )
        return dataset_id, text

    def _model(
        self,
        owner: Person,
        datasets: Sequence[tuple[str, DatasetText]],
        index: int,
        *,
        deleted: bool = False,
    ) -> None:
        demo = owner is DEMO
        kind = "deleted" if deleted else "model"
        count = max(self._volume.models if demo else _OTHER_MODELS, 1)
        chance = self._random("moment", kind, owner.email, index)
        age = timedelta(days=_DAYS * (index + chance.uniform(0.1, 0.9)) / count)
        completed = self._now - age - timedelta(minutes=chance.uniform(1, 30))
        special = index if demo and not deleted else -1
        family = FAMILY_ORDER[index % len(FAMILY_ORDER)]
        luck = self._random(kind, owner.email, index)
        run = plan_run(owner, datasets, index, kind, completed, family, luck)
        artifact_id = self._id("artifact", kind, owner.email, index)
        with_curve = not self._many or index < _MOST_CURVES
        curve = run.curve(run.points if with_curve else 2)
        started = None if special == Special.NO_START else run.started
        job_id = self._job(run, curve, "completed", artifact_id=artifact_id, started=started)
        if with_curve:
            self._metrics(run, job_id, curve)
            self._cost(run, job_id)
        created = run.completed + timedelta(minutes=chance.uniform(1, 9))
        large = special == Special.LARGE
        manifest = None
        if not self._many or index < _MOST_FILES:
            recipes = run.recipes(layers=layers_of(run.rank, large))
            missing = "tokenizer.json" if special == Special.MISSING_FILE else None
            self._objects(owner, artifact_id, recipes, created, missing)
            if demo and index % 6 == 0 and index < 60:
                manifest = {file: _facts(recipe) for file, recipe in recipes.items()}
        last_change = created
        if special in {Special.DEPLOYED, Special.ARCHIVED} or deleted:
            last_change = created + (self._now - created) * 0.3
        row = self._artifact_row(run, curve, started, owner, artifact_id, manifest)
        status = {Special.DEPLOYED: "deployed", Special.ARCHIVED: "archived"}.get(special)
        row |= {
            "id": artifact_id,
            "job_id": job_id,
            "name": f"{run.text.name} - {created:%Y-%m-%d}",
            "status": status or "stored",
            "deployed_at": timestamp_text(last_change) if status == "deployed" else None,
            "created_at": timestamp_text(created),
            "updated_at": timestamp_text(last_change),
            "deleted_at": timestamp_text(last_change) if deleted else None,
        }
        if special == Special.CHILD and index + 1 < count:
            row["parent_model_id"] = self._id("artifact", "model", owner.email, index + 1)
            row["version"] = "1.1.0"
            row["description"] = "Continued from an earlier adapter on corrected data."
        if demo and not deleted:
            make_odd(row, special)
        self._rows.add("model_artifacts", **row)
        if not demo or (index < 9 and not deleted):
            stars = json.loads(row["quality_metrics"])["overall_score"]
            self._ready_notification(owner, artifact_id, job_id, stars, created, read=index >= 2)

    def _artifact_row(
        self,
        run: Run,
        curve: Sequence[Point],
        started: datetime | None,
        owner: Person,
        artifact_id: str,
        manifest: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        points = [_losses(point) for point in curve]
        configuration: dict[str, Any] = {
            "preset_id": run.preset,
            "hyperparameters": run.hyperparameters(),
            "gpu_config": run.gpu_config(),
        }
        if manifest is not None:
            configuration["files"] = manifest
        summary = {
            "epochs_completed": run.epochs,
            "total_steps": run.steps,
            "final_loss": _json_number(points[-1]["training_loss"]) if points else None,
            "training_duration_hours": None if started is None else round(run.hours, 6),
            "total_cost": run.cost,
        }
        paths = {file: f"{owner.id}/{artifact_id}/{file}" for file in FILE_TYPES}
        return {
            "user_id": owner.id,
            "dataset_id": run.dataset_id,
            "quality_metrics": json.dumps(calculate_quality_metrics(points)),
            "training_summary": json.dumps(summary),
            "configuration": json.dumps(configuration),
            "artifacts": json.dumps(paths),
        }

    def _job(
        self,
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
        job_id = self._id("job", run.key)
        done = status in {"completed", "failed", "cancelled"}
        queued = run.started - timedelta(minutes=4)
        step = round(run.steps * progress / 100)
        last = _losses(curve[-1]) if curve else None
        metrics = None
        if last is not None:
            metrics = {
                "training_loss": _json_number(last["training_loss"]),
                "validation_loss": _json_number(last["validation_loss"]),
                "step": step,
            }
        spent = round(run.cost * progress / 100, 2)
        changed = run.completed if done else self._now - timedelta(minutes=1)
        self._rows.add(
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

    def _metrics(self, run: Run, job_id: str, curve: Sequence[Point]) -> None:
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
                    point.gradient_norm,
                    round(uniform(1450.0, 1620.0), 1),
                    round(uniform(91.0, 99.5), 1),
                )
            )
        self._rows.add_ready("metrics_points", tuple(TABLES["metrics_points"].columns), rows)

    def _objects(
        self,
        owner: Person,
        artifact_id: str,
        recipes: Mapping[str, Mapping[str, Any]],
        created: datetime,
        missing: str | None,
    ) -> None:
        rows = [
            seeded_row(
                BUCKET,
                f"{owner.id}/{artifact_id}/{file}",
                owner=owner.id,
                content_type=FILE_TYPES[file],
                recipe=recipe,
                moment=timestamp_text(created),
            )
            for file, recipe in recipes.items()
            if file != missing
        ]
        self._rows.add_ready("storage_objects", COLUMNS, rows)

    def _cost(self, run: Run, job_id: str) -> None:
        self._rows.add(
            "cost_records",
            id=self._id("cost", run.key),
            user_id=run.owner.id,
            job_id=job_id,
            cost_type="gpu",
            amount=run.cost,
            details=json.dumps({"gpu_type": run.gpu[0], "hours": round(run.hours, 2)}),
            billing_period=f"{run.completed:%Y-%m}",
            recorded_at=timestamp_text(run.completed),
        )

    def _ready_notification(
        self,
        owner: Person,
        artifact_id: str,
        job_id: str,
        stars: object,
        created: datetime,
        *,
        read: bool,
    ) -> None:
        self._rows.add(
            "notifications",
            id=self._id("notification", artifact_id),
            user_id=owner.id,
            type="artifact_ready",
            title="Model Ready for Download",
            message=f"Your trained model is ready. Quality score: {stars}/5 stars",
            priority="high",
            read=int(read),
            action_url=f"/models/{artifact_id}",
            metadata=json.dumps({"artifact_id": artifact_id, "job_id": job_id}),
            created_at=timestamp_text(created + timedelta(seconds=3)),
        )

    # Jobs that are not models

    def _waiting_job(self, datasets: Sequence[tuple[str, DatasetText]], index: int) -> None:
        completed = self._now - timedelta(minutes=6 * (index + 1))
        family = ("excellent", "good", "sparse_validation", "overfit")[index % 4]
        luck = self._random("waiting", DEMO.email, index + 2)
        run = plan_run(DEMO, datasets, index + 2, "waiting", completed, family, luck)
        if index % 4 == 1:
            # More points than one answer of PostgREST holds, and an adapter beyond one TUS chunk
            run = replace(run, points=1_750, steps=17_500, rank=32, alpha=64)
        curve = run.curve(run.points)
        external_id = f"demo-waiting-{self._id('external', index)[:13]}-u1"
        job_id = self._job(
            run, curve, "completed", started=run.started, external_job_id=external_id
        )
        self._metrics(run, job_id, curve)
        self._cost(run, job_id)
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
        self._rows.add_ready("storage_objects", COLUMNS, rows)
        dialect = ("model_files,model_metadata", "download_urls,metadata")[index % 2]
        facts = {"base_model": run.base_model, "rank": run.rank, "total_steps": run.steps}
        self._worker_job(external_id, "COMPLETED", dialect, list(recipes), facts, None)

    def _worker_job(
        self,
        external_id: str,
        status: str,
        dialect: str,
        files: Sequence[str],
        facts: Mapping[str, Any],
        error: str | None,
    ) -> None:
        self._rows.add_ready(
            "worker_jobs",
            ("id", "status", "dialect", "files", "metadata", "error"),
            [(external_id, status, dialect, json.dumps(files), json.dumps(facts), error)],
        )

    def _unfinished_jobs(self, datasets: Sequence[tuple[str, DatasetText]]) -> None:
        cases = (
            ("running", "IN_PROGRESS", 64.0, "good", None),
            ("running", "IN_PROGRESS", 18.0, "spiky", None),
            ("queued", "IN_QUEUE", 0.0, None, None),
            ("failed", "FAILED", 37.0, "diverged", "CUDA out of memory on step 412"),
            ("cancelled", "CANCELLED", 9.0, "fair", None),
        )
        for index, (status, worker_status, progress, family, error) in enumerate(cases):
            completed = self._now - timedelta(hours=5 * index + 2)
            luck = self._random("unfinished", DEMO.email, index + 1)
            run = plan_run(DEMO, datasets, index + 1, "unfinished", completed, family, luck)
            if status == "running":
                ahead = timedelta(hours=run.hours * (1 - progress / 100))
                shift = self._now + ahead - run.completed
                run = replace(run, started=run.started + shift, completed=run.completed + shift)
            count = max(2, round(run.points * progress / 100))
            curve = run.curve(count, progress / 100) if progress else []
            external_id = f"demo-{status}-{self._id('unfinished', index)[:13]}-u1"
            job_id = self._job(
                run,
                curve,
                status,
                started=run.started if progress else None,
                external_job_id=external_id,
                progress=progress,
                error=error,
            )
            self._metrics(run, job_id, curve)
            self._worker_job(external_id, worker_status, "output,metadata", [], {}, error)
            if error is not None:
                self._rows.add(
                    "notifications",
                    id=self._id("notification", "failed", index),
                    user_id=DEMO.id,
                    type="training_failed",
                    title="Training Failed",
                    message=f"{run.text.name}: {error}",
                    priority="high",
                    action_url=f"/training/{job_id}",
                    metadata=json.dumps({"job_id": job_id}),
                    created_at=timestamp_text(run.completed),
                )
        self._rows.add(
            "notifications",
            id=self._id("notification", "cost"),
            user_id=DEMO.id,
            type="cost_alert",
            title="Monthly GPU Budget at 80 %",
            message="You have used $160 of $200 this month.",
            priority="medium",
            read=1,
            metadata=json.dumps({}),
            created_at=timestamp_text(self._now - timedelta(days=2, hours=3)),
        )


def _facts(recipe: Mapping[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for piece in recipe_pieces(recipe):
        digest.update(piece)
    return {"size": recipe_size(recipe), "sha256": digest.hexdigest()}


def _losses(point: Point) -> dict[str, Any]:
    """The point as PostgREST would hand it to the rating."""
    training = "NaN" if math.isnan(point.training_loss) else point.training_loss
    return {"training_loss": training, "validation_loss": point.validation_loss}


def _json_number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
