"""A job that trains: its row, its points with every metric, and more of them as they come."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from typing import Any, Final

from lora_tui.cache import metrics, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.clock import timestamp_text
from lora_tui.domain import MetricPoint
from tests.tui.library import NOW, USER, Library, identifier

JOB: Final = identifier("live job", 0)
STARTED: Final = NOW - timedelta(minutes=30)


def put_job(library: Library, **changes: Any) -> None:
    row = {
        "id": JOB,
        "user_id": USER,
        "dataset_id": identifier("dataset", 0),
        "preset_id": "balanced",
        "status": "running",
        "current_stage": "training",
        "current_step": 1200,
        "total_steps": 2000,
        "current_epoch": 2,
        "total_epochs": 3,
        "hyperparameters": {"base_model": "meta-llama/Llama-3.1-8B-Instruct"},
        "gpu_config": {"gpu_type": "NVIDIA A100 80GB", "num_gpus": 2, "cost_per_gpu_hour": 2.0},
        "queued_at": timestamp_text(STARTED - timedelta(minutes=4)),
        "started_at": timestamp_text(STARTED),
        "current_cost": 1.9,
        "estimated_total_cost": 3.2,
        "updated_at": timestamp_text(NOW),
    }
    with closing(open_cache(library.path)) as db, transaction(db, Topic.DATASETS):
        name = "Customer Support Emails"
        records.put_datasets(db, [{"id": identifier("dataset", 0), "name": name}])
    library.put_jobs({**row, **changes})
    library.put_state()


def point(number: int, **changes: Any) -> MetricPoint:
    """Point `number`, at ten times its step."""
    fall = math.exp(-number / 40)
    values: dict[str, Any] = {
        "id": f"{number:06}",
        "timestamp": timestamp_text(STARTED + timedelta(seconds=15 * number)),
        "step": number * 10.0,
        "epoch": 1.0 + number // 67,
        "training_loss": 0.8 + 1.6 * fall + 0.05 * math.sin(number * 2.3),
        "validation_loss": 0.95 + 1.4 * fall if number % 10 == 9 else None,
        "learning_rate": 2e-4 * (1 - number / 200),
        "gradient_norm": 0.6 + fall + 0.2 * math.sin(number * 1.1),
        "throughput": 5200.0 + 100 * math.sin(number),
        "gpu_utilization": 95.0 + 3 * math.sin(number / 5),
    }
    return MetricPoint(**{**values, **changes})


def put_points(library: Library, points: Iterable[MetricPoint], job: str = JOB) -> None:
    with closing(open_cache(library.path)) as db, transaction(db, Topic.CURVES):
        metrics.add_points(db, job, list(points))
        metrics.draw_curve(db, job)


def put_live_job(library: Library, **changes: Any) -> None:
    """With 120 points of 2,000 steps."""
    put_job(library, **changes)
    put_points(library, (point(number) for number in range(120)))
