"""Seeds models: each with its job, its files in the bucket, and a notification.

Some have data that breaks a careless program: hostile names, file paths that escape, odd JSON. A
model has them by its index (0 is the newest), from 20 on: the first screen looks normal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from lora_tui.clock import timestamp_text
from lora_tui.quality import calculate_quality_metrics
from lora_tui.sandbox.objects import BUCKET, COLUMNS, seeded_row
from lora_tui.sandbox.seed.adapter_files import FILE_TYPES, WEIGHTS, recipe_pieces, recipe_size
from lora_tui.sandbox.seed.jobs import add_cost, add_job, add_metrics, json_number, losses
from lora_tui.sandbox.seed.runs import FAMILY_ORDER, Point, Run, layers_of, plan_run
from lora_tui.sandbox.seed.seeding import DAYS, DEMO, OTHER, DatasetText, Person, Seeding

OTHER_MODELS: Final = 3
"""Models of the other account."""
DELETED_FROM: Final = 12
"""With this many models or more, a deleted one is added."""
_DEPLOYED: Final = 1
_LARGE: Final = 3
_CHILD: Final = 5  # the next older model is its parent
_MISSING_FILE: Final = 7
_ARCHIVED: Final = 9
_WITHOUT_EFFECT: Final = 11  # its B matrices are zero: servers load it, and nothing changes
_NO_START: Final = 12
_MOST_CURVES: Final = 200  # in a sandbox of more than 1000 models
_MOST_FILES: Final = 1000  # models with objects in the bucket


def add_model(
    seeding: Seeding,
    owner: Person,
    datasets: Sequence[tuple[str, DatasetText]],
    index: int,
    *,
    deleted: bool = False,
) -> None:
    """Add the model of this index with its job, curve, cost, files and notification."""
    demo = owner is DEMO
    kind = "deleted" if deleted else "model"
    count = max(seeding.settings.models if demo else OTHER_MODELS, 1)
    chance = seeding.random("moment", kind, owner.email, index)
    age = timedelta(days=DAYS * (index + chance.uniform(0.1, 0.9)) / count)
    completed = seeding.now - age - timedelta(minutes=chance.uniform(1, 30))
    special = index if demo and not deleted else -1
    family = FAMILY_ORDER[index % len(FAMILY_ORDER)]
    luck = seeding.random(kind, owner.email, index)
    run = plan_run(owner, datasets, index, kind, completed, family, luck)
    artifact_id = seeding.id("artifact", kind, owner.email, index)
    with_curve = not seeding.many or index < _MOST_CURVES
    curve = run.curve(run.points if with_curve else 2)
    started = None if special == _NO_START else run.started
    job_id = add_job(seeding, run, curve, "completed", artifact_id=artifact_id, started=started)
    if with_curve:
        add_metrics(seeding, run, job_id, curve)
        add_cost(seeding, run, job_id)
    created = run.completed + timedelta(minutes=chance.uniform(1, 9))
    large = special == _LARGE
    manifest = None
    if not seeding.many or index < _MOST_FILES:
        recipes = run.recipes(
            layers=layers_of(run.rank, large), untrained=special == _WITHOUT_EFFECT
        )
        missing = "tokenizer.json" if special == _MISSING_FILE else None
        _add_objects(seeding, owner, artifact_id, recipes, created, missing)
        if demo and index % 6 == 0 and index < 60:
            manifest = {file: _facts(recipe) for file, recipe in recipes.items()}
    last_change = created
    if special in {_DEPLOYED, _ARCHIVED} or deleted:
        last_change = created + (seeding.now - created) * 0.3
    row = _artifact_row(run, curve, started, owner, artifact_id, manifest)
    status = {_DEPLOYED: "deployed", _ARCHIVED: "archived"}.get(special)
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
    if special == _CHILD and index + 1 < count:
        row["parent_model_id"] = seeding.id("artifact", "model", owner.email, index + 1)
        row["version"] = "1.1.0"
        row["description"] = "Continued from an earlier adapter on corrected data."
    if seeding.settings.hostile:
        make_hostile(row, special)
    seeding.rows.add("model_artifacts", **row)
    if not demo or (index < 9 and not deleted):
        stars = json.loads(row["quality_metrics"])["overall_score"]
        _add_notification(seeding, owner, artifact_id, job_id, stars, created, read=index >= 2)


def make_hostile(row: dict[str, Any], index: int) -> None:
    """Change the row of the model with this index, if it is one of the hostile ones."""
    row["name"] = _NAMES.get(index, row["name"])[:200]
    if index == _PATHS:
        paths = json.loads(row["artifacts"])
        stem = paths[WEIGHTS].rpartition("/")[0]
        escaping = {
            "../../x": f"{stem}/adapter_config.json",
            "/etc/cron.d/owned": f"{stem}/tokenizer.json",
            "..\\..\\autoexec.bat": f"{stem}/tokenizer_config.json",
            ".bashrc": f"{stem}/special_tokens_map.json",
            "CON": f"{stem}/training_args.bin",
            "escape\x1b[31m.json": f"{stem}/../../{OTHER.id}/adapter_config.json",
        }
        row["artifacts"] = json.dumps({WEIGHTS: paths[WEIGHTS], **escaping})
    elif index == _NULL_JSON:
        for name in ("quality_metrics", "training_summary", "configuration", "artifacts"):
            row[name] = "null"
    elif index == _WRONG_JSON:
        row |= {
            "quality_metrics": '"excellent"',
            "training_summary": "[1, 2, 3]",
            "configuration": '{"hyperparameters": "rank=16", "gpu_config": ["H100"]}',
            "artifacts": '["adapter_model.safetensors"]',
        }
    elif index == _EMPTY_JSON:
        for name in ("quality_metrics", "training_summary", "configuration", "artifacts"):
            row[name] = "{}"
    elif index == _TEXT_NUMBERS:
        for name in ("quality_metrics", "training_summary"):
            values = json.loads(row[name])
            row[name] = json.dumps(
                {key: str(value) if _is_number(value) else value for key, value in values.items()}
            )


def _artifact_row(
    run: Run,
    curve: Sequence[Point],
    started: datetime | None,
    owner: Person,
    artifact_id: str,
    manifest: Mapping[str, Any] | None,
) -> dict[str, Any]:
    points = [losses(point) for point in curve]
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
        "final_loss": json_number(points[-1]["training_loss"]) if points else None,
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


def _add_objects(
    seeding: Seeding,
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
    seeding.rows.add_ready("storage_objects", COLUMNS, rows)


def _add_notification(
    seeding: Seeding,
    owner: Person,
    artifact_id: str,
    job_id: str,
    stars: object,
    created: datetime,
    *,
    read: bool,
) -> None:
    seeding.rows.add(
        "notifications",
        id=seeding.id("notification", artifact_id),
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


def _facts(recipe: Mapping[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for piece in recipe_pieces(recipe):
        digest.update(piece)
    return {"size": recipe_size(recipe), "sha256": digest.hexdigest()}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_NAMES: Final[dict[int, str]] = {
    20: "\x1b[2J\x1b[31mAll models deleted\x1b[0m\x07 \x1b]0;owned\x07(escape sequences)",
    21: "Invoices \u202egpj.exe\u202c \u2066left\u2069 (bidi\u200b \u200fmarks)",
    22: "[red]Markup[/red] [bold]is[/] [link=file:///x]not[/link] [/open [@click=quit]quit[/]",
    23: "A very long name " + "that goes on and on " * 9 + "→ ends",
    24: "客户支持邮件 · 均衡预设 · 第三版 顧客サポート 고객 지원",
    25: "🦙 LoRA 🚀 adapter 👩‍💻 👍🏽 🇫🇷 — emoji",
    26: "../../../etc/passwd\r\nX-Injected: yes\ttab",
    27: "'; DROP TABLE model_artifacts; -- %s {name} ${HOME} `id`",
}
_PATHS: Final = 26
_NULL_JSON: Final = 30
_WRONG_JSON: Final = 31
_EMPTY_JSON: Final = 32
_TEXT_NUMBERS: Final = 33
