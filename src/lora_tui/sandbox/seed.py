"""Fills an empty sandbox: accounts, datasets, jobs, curves, models, files, notifications.

Deterministic: the same seed, volume and moment give the same rows and the same bytes. What is
special about single models (deployed, archived, hostile names, odd JSON, a missing file) stands
in `_Special`, by the model's index; index 0 is the newest.
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
    BASE_MODELS,
    FILE_TYPES,
    WEIGHTS,
    adapter_recipe,
    recipe_pieces,
    recipe_size,
)
from lora_tui.sandbox.auth import password_digest
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.loss_curves import Point, make_curve
from lora_tui.sandbox.objects import BUCKET, COLUMNS, WORKER_BUCKET, seeded_row
from lora_tui.sandbox.people import DEMO, OTHER, Person
from lora_tui.sandbox.seed_texts import DATASETS, HOSTILE_NAMES, OTHER_DATASET, DatasetText
from lora_tui.sandbox.tables import NEW_ID, NOW, TABLES, index_statements, table_statements

_NAMESPACE: Final = uuid.UUID("0d6c6b1e-5c55-5a0e-8d1c-6d3a4b7f9e20")
_DAYS: Final = 120
_MOST_CURVES: Final = 200  # in a sandbox of more than 1000 models
_MOST_FILES: Final = 1000  # models with objects in the bucket
_OTHER_MODELS: Final = 3

_PRESETS: Final = ("balanced", "conservative", "aggressive", "custom")
_GPUS: Final = (
    ("NVIDIA A100 80GB PCIe", 80, 1.89),
    ("NVIDIA H100 80GB HBM3", 80, 3.29),
    ("NVIDIA RTX A6000", 48, 0.79),
    ("NVIDIA L40S", 48, 1.03),
)
# Preset → (rank, alpha, dropout, learning rate, epochs, batch size)
_SETTINGS: Final = {
    "conservative": (8, 16, 0.1, 1e-5, 2, 4),
    "balanced": (16, 32, 0.05, 1e-4, 3, 4),
    "aggressive": (32, 64, 0.05, 3e-4, 4, 8),
    "custom": (64, 128, 0.0, 2e-4, 3, 16),
}
# The families in the order in which the models take them; None is a run that logged nothing.
_FAMILIES: Final = (
    "excellent",
    "good",
    "sparse_validation",
    "overfit",
    "fair",
    "excellent",
    "diverged",
    "good",
    "spiky",
    None,
    "plateaued",
    "excellent",
    "poor",
    "good",
    "not_a_number",
    "fair",
    "overfit",
)


class _Special:
    """Models that differ from the rest, by index."""

    DEPLOYED: Final = 1
    LARGE: Final = 3
    CHILD: Final = 5  # has the next older model as its parent
    MISSING_FILE: Final = 7
    ARCHIVED: Final = 9
    NO_START: Final = 12
    PATH_TRICKS: Final = 26
    NULL_JSON: Final = 30
    WRONG_JSON: Final = 31
    EMPTY_JSON: Final = 32
    TEXT_NUMBERS: Final = 33
    DELETED_FROM: Final = 12  # with as many models as this there is a deleted one besides


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
        rows = _Rows(backend)
        _Seeder(rows, seed, moment, volume).run()
        rows.flush()
        for statement in index_statements():
            database.execute(statement)
        database.insert_many(
            "sandbox_facts",
            ("name", "value"),
            [("seed", str(seed)), ("now", timestamp_text(moment))],
        )


class _Rows:
    """Collects rows a table and writes them in batches."""

    _BATCH: Final = 20_000

    def __init__(self, backend: Backend) -> None:
        self._database = backend.database
        self._waiting: dict[str, list[Sequence[Any]]] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._defaults: dict[str, list[Any]] = {}
        for table in TABLES.values():
            self._columns[table.name] = tuple(table.columns)
            self._defaults[table.name] = [
                None if column.default in (NOW, NEW_ID) else column.default
                for column in table.columns.values()
            ]

    def add(self, table: str, **values: Any) -> None:
        """One row of a public table; JSON columns are given as text."""
        names, defaults = self._columns[table], self._defaults[table]
        row = [values.get(name, default) for name, default in zip(names, defaults, strict=True)]
        self.add_ready(table, names, [row])

    def add_ready(
        self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Rows of ready values, by `columns`."""
        self._columns[table] = columns
        waiting = self._waiting.setdefault(table, [])
        waiting.extend(rows)
        if len(waiting) >= self._BATCH:
            self._write(table)

    def flush(self) -> None:
        for table in list(self._waiting):
            self._write(table)

    def _write(self, table: str) -> None:
        self._database.insert_many(table, self._columns[table], self._waiting.pop(table))


@dataclass(frozen=True)
class _Run:
    """One training run: who, on what, how, when."""

    key: str
    owner: Person
    dataset_id: str
    text: DatasetText
    preset: str
    family: str | None
    points: int
    steps: int
    base_model: str
    rank: int
    alpha: int
    dropout: float
    learning_rate: float
    epochs: int
    batch_size: int
    gpu: tuple[str, int, float]
    page_dialect: bool
    started: datetime
    completed: datetime
    random_seed: int

    @property
    def hours(self) -> float:
        return (self.completed - self.started).total_seconds() / 3600

    @property
    def cost(self) -> float:
        return round(self.hours * self.gpu[2], 2)

    def hyperparameters(self) -> dict[str, Any]:
        """In one of the two dialects."""
        rank, epochs = ("rank", "epochs") if self.page_dialect else ("lora_rank", "num_epochs")
        return {
            "base_model": self.base_model,
            rank: self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            epochs: self.epochs,
            "warmup_steps": round(self.steps * 0.05),
            "weight_decay": 0.01,
        }

    def gpu_config(self) -> dict[str, Any]:
        """In one of the two dialects."""
        kind, memory, price = self.gpu
        if self.page_dialect:
            return {"type": kind, "count": 1}
        return {
            "gpu_type": kind,
            "num_gpus": 1,
            "gpu_memory_gb": memory,
            "cost_per_gpu_hour": price,
        }


class _Seeder:
    """Makes the rows."""

    def __init__(self, rows: _Rows, seed: int, now: datetime, volume: Volume) -> None:
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
        if self._volume.models >= _Special.DELETED_FROM:
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

    def _plan(
        self,
        owner: Person,
        datasets: Sequence[tuple[str, DatasetText]],
        index: int,
        kind: str,
        completed: datetime,
        family: str | None,
    ) -> _Run:
        chance = self._random(kind, owner.email, index)
        dataset_id, text = datasets[(index * 3 + index // 8) % len(datasets)]
        preset = _PRESETS[(index + index // 5) % len(_PRESETS)]
        rank, alpha, dropout, rate, epochs, batch = _SETTINGS[preset]
        if preset == "custom":
            rank = chance.choice((4, 12, 24, 64))
            alpha, epochs = 2 * rank, chance.randint(1, 6)
        points = chance.choice((200, 240, 320, 400, 500, 640, 800, 1000, 1200))
        if kind == "model" and index in {2, 11}:
            points = (3000, 2400)[index == 11]
        hours = points / 230 * chance.uniform(0.8, 1.3)
        return _Run(
            key=f"{kind}/{owner.email}/{index}",
            owner=owner,
            dataset_id=dataset_id,
            text=text,
            preset=preset,
            family=family,
            points=points,
            steps=points * chance.choice((1, 5, 10)),
            base_model=BASE_MODELS[(index // 2 + index) % len(BASE_MODELS)],
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            learning_rate=rate,
            epochs=epochs,
            batch_size=batch,
            gpu=_GPUS[(index + index // 3) % len(_GPUS)],
            page_dialect=index % 3 == 1,
            started=completed - timedelta(hours=hours),
            completed=completed,
            random_seed=chance.randrange(2**31),
        )

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
        family = _FAMILIES[index % len(_FAMILIES)]
        run = self._plan(owner, datasets, index, kind, completed, family)
        artifact_id = self._id("artifact", kind, owner.email, index)
        with_curve = not self._many or index < _MOST_CURVES
        curve = self._curve(run, run.points if with_curve else 2)
        started = None if special == _Special.NO_START else run.started
        job_id = self._job(run, curve, "completed", artifact_id=artifact_id, started=started)
        if with_curve:
            self._metrics(run, job_id, curve)
            self._cost(run, job_id)
        created = run.completed + timedelta(minutes=chance.uniform(1, 9))
        large = special == _Special.LARGE
        manifest = None
        if not self._many or index < _MOST_FILES:
            recipes = self._recipes(run, layers=_layers(run.rank, large))
            missing = "tokenizer.json" if special == _Special.MISSING_FILE else None
            self._objects(owner, artifact_id, recipes, created, missing)
            if demo and index % 6 == 0 and index < 60:
                manifest = {file: _facts(recipe) for file, recipe in recipes.items()}
        last_change = created
        if special in {_Special.DEPLOYED, _Special.ARCHIVED} or deleted:
            last_change = created + (self._now - created) * 0.3
        row = self._artifact_row(run, curve, started, owner, artifact_id, manifest)
        status = {_Special.DEPLOYED: "deployed", _Special.ARCHIVED: "archived"}.get(special)
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
        if special == _Special.CHILD and index + 1 < count:
            row["parent_model_id"] = self._id("artifact", "model", owner.email, index + 1)
            row["version"] = "1.1.0"
            row["description"] = "Continued from an earlier adapter on corrected data."
        if demo and not deleted:
            _make_odd(row, special)
        self._rows.add("model_artifacts", **row)
        if not demo or (index < 9 and not deleted):
            stars = json.loads(row["quality_metrics"])["overall_score"]
            self._ready_notification(owner, artifact_id, job_id, stars, created, read=index >= 2)

    def _artifact_row(
        self,
        run: _Run,
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
        run: _Run,
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

    def _curve(self, run: _Run, count: int, until: float = 1.0) -> list[Point]:
        if run.family is None:
            return []
        return make_curve(
            run.family,
            count,
            epochs=run.epochs,
            peak_learning_rate=run.learning_rate,
            randomness=random.Random(run.random_seed),
            until=until,
        )

    def _metrics(self, run: _Run, job_id: str, curve: Sequence[Point]) -> None:
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

    def _recipes(self, run: _Run, *, layers: int) -> dict[str, dict[str, Any]]:
        return {
            file: adapter_recipe(
                file,
                base_model=run.base_model,
                rank=run.rank,
                alpha=run.alpha,
                dropout=run.dropout,
                layers=layers,
                seed=run.random_seed,
            )
            for file in FILE_TYPES
        }

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

    def _cost(self, run: _Run, job_id: str) -> None:
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
        run = self._plan(DEMO, datasets, index + 2, "waiting", completed, family)
        if index % 4 == 1:
            # More points than one answer of PostgREST holds, and an adapter beyond one TUS chunk
            run = replace(run, points=1_750, steps=17_500, rank=32, alpha=64)
        curve = self._curve(run, run.points)
        external_id = f"demo-waiting-{self._id('external', index)[:13]}-u1"
        job_id = self._job(
            run, curve, "completed", started=run.started, external_job_id=external_id
        )
        self._metrics(run, job_id, curve)
        self._cost(run, job_id)
        recipes = self._recipes(run, layers=9 if index % 4 == 1 else _layers(run.rank, False))
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
            run = self._plan(DEMO, datasets, index + 1, "unfinished", completed, family)
            if status == "running":
                ahead = timedelta(hours=run.hours * (1 - progress / 100))
                shift = self._now + ahead - run.completed
                run = replace(run, started=run.started + shift, completed=run.completed + shift)
            count = max(2, round(run.points * progress / 100))
            curve = self._curve(run, count, progress / 100) if progress else []
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


def _make_odd(row: dict[str, Any], special: int) -> None:
    """Give a row the oddity that its index stands for."""
    row["name"] = HOSTILE_NAMES.get(special, row["name"])[:200]
    if special == _Special.PATH_TRICKS:
        paths = json.loads(row["artifacts"])
        stem = paths[WEIGHTS].rpartition("/")[0]
        tricks = {
            "../../x": f"{stem}/adapter_config.json",
            "/etc/cron.d/owned": f"{stem}/tokenizer.json",
            "..\\..\\autoexec.bat": f"{stem}/tokenizer_config.json",
            ".bashrc": f"{stem}/special_tokens_map.json",
            "CON": f"{stem}/training_args.bin",
            "escape\x1b[31m.json": f"{stem}/../../{OTHER.id}/adapter_config.json",
        }
        row["artifacts"] = json.dumps({WEIGHTS: paths[WEIGHTS], **tricks})
    elif special == _Special.NULL_JSON:
        for name in ("quality_metrics", "training_summary", "configuration", "artifacts"):
            row[name] = "null"
    elif special == _Special.WRONG_JSON:
        row |= {
            "quality_metrics": '"excellent"',
            "training_summary": "[1, 2, 3]",
            "configuration": '{"hyperparameters": "rank=16", "gpu_config": ["H100"]}',
            "artifacts": '["adapter_model.safetensors"]',
        }
    elif special == _Special.EMPTY_JSON:
        for name in ("quality_metrics", "training_summary", "configuration", "artifacts"):
            row[name] = "{}"
    elif special == _Special.TEXT_NUMBERS:
        for name in ("quality_metrics", "training_summary"):
            values = json.loads(row[name])
            row[name] = json.dumps(
                {key: str(value) if _is_number(value) else value for key, value in values.items()}
            )


def _layers(rank: int, large: bool) -> int:
    """How many layers an adapter covers, so that files stay between 0.2 and 6 MB (or are large)."""
    if large:
        return max(1, 960 // rank)
    return max(1, min(6, 96 // rank))


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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
