"""Training jobs of every status, for the tests of the Jobs screen."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, Final

from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.clock import timestamp_text
from lora_tui.domain import MetricPoint
from tests.tui.library import DATASETS, NOW, USER, Library, curve, identifier

BASES: Final = ("meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct")
REASON: Final = "CUDA out of memory. Tried to allocate 2.00 GiB\non device 0"


def run_row(number: int, status: str = "completed", **changes: Any) -> dict[str, Any]:
    """Training job `number`, queued so many hours ago (those that are active: minutes)."""
    is_active = status in ("queued", "initializing", "running")
    queued = NOW - (timedelta(minutes=20 + number) if is_active else timedelta(hours=5 * number))
    started = queued + timedelta(minutes=5)
    row = {
        "id": identifier("run", number),
        "user_id": USER,
        "dataset_id": identifier("dataset", number % len(DATASETS)),
        "preset_id": ("balanced", "aggressive", "conservative")[number % 3],
        "hyperparameters": {"base_model": BASES[number % 2], "lora_rank": 16},
        "gpu_config": {"gpu_type": "A100-80GB", "num_gpus": 1 + number % 2,
                       "cost_per_gpu_hour": 2.5},
        "status": status,
        "current_stage": "training",
        "progress": 40,
        "current_epoch": 1.2,
        "total_epochs": 3,
        "current_step": 600,
        "total_steps": 1500,
        "current_metrics": {"training_loss": 0.81, "validation_loss": 0.93},
        "queued_at": _text(queued),
        "created_at": _text(queued),
        "started_at": None if status == "queued" else _text(started),
        "completed_at": None if is_active else _text(started + timedelta(minutes=90)),
        "updated_at": _text(NOW),
        "current_cost": 1.25,
        "estimated_total_cost": 4.5,
        "final_cost": 4.2 if status == "completed" else None,
        "retry_count": 0,
        "external_job_id": f"run-{number}",
        "artifact_id": identifier("model", number) if status == "completed" else None,
    }  # fmt: skip
    if status == "queued":
        row |= {"progress": 0, "current_epoch": None, "current_step": None, "current_metrics": None}
        row |= {"current_cost": None}
    if status == "failed":
        row |= {"error_message": REASON, "retry_count": 2}
    return {**row, **changes}


def fill_runs(library: Library) -> None:
    """Two that run, one that waits, and some that have ended in each way."""
    library.fill(count=12)
    ended = ["completed", "failed", "cancelled", "completed", "failed", "completed"]
    library.put_jobs(
        run_row(0, "running"),
        run_row(1, "initializing", progress=0, current_step=None, current_metrics=None),
        run_row(2, "queued"),
        *(run_row(number, status) for number, status in enumerate(ended, start=3)),
    )
    log_points(library, identifier("run", 0))
    with closing(open_cache(library.path)) as db, transaction(db, Topic.CURVES):
        for number in range(3, 9):
            metrics.put_stored_curve(db, identifier("run", number), curve(number))


def log_points(library: Library, job_id: str, *, count: int = 60, ends_at: float = 600) -> None:
    """Points of the last minutes: two steps a second, the last one a moment ago."""
    points = [
        MetricPoint(
            id=f"{number:06}",
            timestamp=_text(NOW - timedelta(seconds=5 * (count - 1 - number))),
            step=ends_at - 10 * (count - 1 - number),
            epoch=None,
            training_loss=0.8 + 1 / (number + 1),
            validation_loss=None,
        )
        for number in range(count)
    ]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.CURVES):
        metrics.add_points(db, job_id, points)
        metrics.draw_curve(db, job_id)


def _text(moment: datetime) -> str:
    return timestamp_text(moment)
