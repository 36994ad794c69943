"""A model that has everything: its row, job, dataset and curve, and the download of its files."""

from __future__ import annotations

import math
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from lora_tui.cache import jobs, metrics, models, records, transfer_queue
from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.downloaded import put_downloaded
from lora_tui.cache.transfer_queue import FileRequest, TransferState
from lora_tui.clock import timestamp_text
from lora_tui.domain import MetricPoint
from tests.tui.library import NOW, Library, identifier, model_row

NARROW, WIDE, HIGH = (80, 24), (160, 48), (160, 80)
MODEL, JOB = identifier("model", 0), identifier("job", 0)
MIB = 1024 * 1024
OWNER = "a download"
DIRECTORY = Path("/data/models/customer-support-emails")
FILES = {
    "adapter_model.safetensors": 48 * MIB,
    "adapter_config.json": 620,
    "tokenizer.json": 2 * MIB,
}
CONFIGURATION = {
    "preset_id": "balanced",
    "hyperparameters": {
        "base_model": "meta-llama/Llama-3.1-8B-Instruct",
        "lora_rank": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
        "learning_rate": 2e-4,
        "batch_size": 4,
        "num_epochs": 3,
        "warmup_steps": 100,
        "weight_decay": 0.01,
        "optimizer": "adamw_8bit",
    },
    "gpu_config": {
        "gpu_type": "NVIDIA A100 80GB",
        "num_gpus": 1,
        "gpu_memory_gb": 80,
        "cost_per_gpu_hour": 1.89,
    },
    "files": {name: {"size": size, "sha256": "0" * 64} for name, size in FILES.items()},
}


def put_model(library: Library, **changes: Any) -> None:
    started = NOW - timedelta(hours=6)
    row = {
        "configuration": CONFIGURATION,
        "artifacts": {name: f"u/m/{name}" for name in FILES},
        "training_summary": {
            "epochs_completed": 3,
            "total_steps": 12_480,
            "final_loss": 0.8214,
            "training_duration_hours": 2.305,
            "total_cost": 4.36,
        },
        "quality_metrics": {
            "overall_score": 4,
            "convergence_quality": "good",
            "final_training_loss": 0.8214,
            "final_validation_loss": 0.9345,
            "perplexity": math.exp(0.9345),
            "loss_reduction_percent": 48.3,
        },
    }
    job = {
        "id": JOB,
        "preset_id": "balanced",
        "status": "completed",
        "created_at": timestamp_text(started - timedelta(minutes=5)),
        "queued_at": timestamp_text(started - timedelta(minutes=4)),
        "started_at": timestamp_text(started),
        "completed_at": timestamp_text(started + timedelta(hours=2, minutes=18, seconds=18)),
    }
    dataset = {
        "id": identifier("dataset", 0),
        "name": "Customer Support Emails",
        "format": "brightrun_lora_v4",
        "total_training_pairs": 18_420,
    }
    topics = (Topic.MODELS, Topic.JOBS, Topic.DATASETS)
    with closing(open_cache(library.path)) as db, transaction(db, *topics):
        records.put_datasets(db, [dataset])
        jobs.put_jobs(db, [job])
        models.put_models(db, [model_row(0, **{**row, **changes})])
    library.put_state()


def put_points(library: Library, count: int = 400) -> None:
    points = [
        MetricPoint(
            id=f"{number:06}",
            timestamp=timestamp_text(NOW + timedelta(seconds=number)),
            step=number * 30.0,
            epoch=None,
            training_loss=0.8
            + 1.6 * math.exp(-number / (count / 5))
            + 0.08 * math.sin(number * 2.3),
            validation_loss=0.93 + 1.5 * math.exp(-number / (count / 5))
            if number % 20 == 0
            else None,
        )
        for number in range(count)
    ]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.CURVES):
        metrics.add_points(db, JOB, points)
        metrics.draw_curve(db, JOB)


def queue_files(library: Library) -> None:
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        queue.enqueue(
            db,
            MODEL,
            [
                FileRequest(name, f"u/m/{name}", DIRECTORY / name, size)
                for name, size in FILES.items()
            ],
        )


def report(
    library: Library, file: str, state: TransferState, done: int, error: str | None = None
) -> None:
    with closing(open_cache(library.path)) as db, transaction(db, Topic.TRANSFERS):
        number = next(t.id for t in transfer_queue.transfers_of(db, MODEL) if t.file == file)
        queue.claim(db, OWNER, [number])
        queue.report(db, number, OWNER, state, bytes_done=done, error=error)


def finish(library: Library) -> None:
    for name, size in FILES.items():
        report(library, name, TransferState.DONE, size)
    topics = (Topic.TRANSFERS, Topic.MODELS)
    with closing(open_cache(library.path)) as db, transaction(db, *topics):
        put_downloaded(db, MODEL, DIRECTORY)
