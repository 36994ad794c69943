"""Caches of any size with believable rows, for the benchmarks; the same in every run."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from lora_tui.cache import facts, metrics, models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.clock import timestamp_text
from lora_tui.domain import CurvePoint

USER: Final = "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71"
NEWEST: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DATASETS: Final = 60
CURVES: Final = 5_000
"""So many of the newest models have a curve; a sync fetches them as they are looked at."""
PAGE: Final = 1_000

_FIELDS: Final = (
    "Customer Support", "SQL", "Radiology", "Legal Clause", "Python Code", "Sales Call",
    "Patent", "Chemistry", "Travel", "Insurance", "Recipe", "Finance",
)  # fmt: skip
_KINDS: Final = ("Emails", "Assistant", "Reports", "Reviews", "Questions")
_BASES: Final = (
    "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct",
    "mistralai/Mistral-7B-Instruct-v0.3", "google/gemma-2-9b-it", "microsoft/phi-4",
)  # fmt: skip
_VERDICTS: Final = (("excellent", 5), ("good", 4), ("overfit", 3), ("fair", 3), ("poor", 1))
_WORDS: Final = tuple(
    first + second
    for first in ("bal", "con", "dor", "fen", "gra", "hul", "jas", "kor", "lim", "mer", "nov")
    for second in ("ance", "tor", "ix", "ular", "emic", "ogen", "ward", "ine", "este", "olo")
)


def fill(path: Path, count: int) -> None:
    """Write an account with `count` models, synced a moment ago, into a new cache."""
    with closing(open_cache(path)) as db:
        with transaction(db, *Topic):
            records.put_datasets(db, datasets())
            rows = model_rows(count)
            while page := list(islice(rows, PAGE)):
                models.put_models(db, page)
            for number in range(min(count, CURVES)):
                metrics.put_stored_curve(db, identifier("job", number), curve(number))
            state = facts.SyncState(NEWEST, NEWEST, running=False, error=None)
            facts.put_sync_state(db, state, process_id=0)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def datasets() -> list[dict[str, Any]]:
    """The datasets of the account, as the backend has them."""
    return [
        {
            "id": identifier("dataset", number),
            "user_id": USER,
            "name": _dataset_name(number),
            "updated_at": timestamp_text(NEWEST),
        }
        for number in range(DATASETS)
    ]


def model_rows(count: int) -> Iterator[dict[str, Any]]:
    """The models, as the backend has them, oldest first as a sync reads them."""
    return (model_row(number) for number in reversed(range(count)))


def model_row(number: int) -> dict[str, Any]:
    """Model `number`; 0 is the newest, each next one eleven minutes older. About 1.5 KB."""
    chance = random.Random(number)
    verdict, stars = chance.choice(_VERDICTS)
    dataset = chance.randrange(DATASETS)
    created = NEWEST - timedelta(minutes=11 * number)
    loss = round(chance.uniform(0.2, 2.5), 6)
    hours = round(chance.uniform(0.3, 30), 6)
    base = f"{USER}/{identifier('model', number)}"
    files = ("adapter_model.safetensors", "adapter_config.json", "tokenizer.json")
    return {
        "id": identifier("model", number),
        "user_id": USER,
        "job_id": identifier("job", number),
        "dataset_id": identifier("dataset", dataset),
        "name": f"{_dataset_name(dataset)} - {created:%Y-%m-%d}",
        "version": "1.0.0",
        "description": " ".join(chance.choices(_WORDS, k=6)) if number % 2 else None,
        "status": "stored",
        "deployed_at": None,
        "quality_metrics": {
            "overall_score": stars,
            "convergence_quality": verdict,
            "final_training_loss": loss,
            "final_validation_loss": loss + 0.2,
            "perplexity": math.exp(loss + 0.2),
            "loss_reduction_percent": 60.0,
        },
        "training_summary": {
            "epochs_completed": 3,
            "total_steps": 1500,
            "final_loss": loss,
            "training_duration_hours": hours,
            "total_cost": round(hours * 1.89, 2),
        },
        "configuration": {
            "preset_id": chance.choice(("balanced", "conservative", "aggressive")),
            "hyperparameters": {
                "base_model": chance.choice(_BASES),
                "lora_rank": 16,
                "lora_alpha": 32,
                "lora_dropout": 0.05,
                "learning_rate": 0.0002,
                "batch_size": 4,
                "num_epochs": 3,
                "warmup_steps": 100,
                "weight_decay": 0.01,
            },
            "gpu_config": {"gpu_type": "A100-80GB", "num_gpus": 1, "cost_per_gpu_hour": 1.89},
            "files": {
                name: {"size": chance.randrange(10**4, 10**8), "sha256": f"{number:064x}"}
                for name in files
            },
        },
        "artifacts": {name: f"{base}/{name}" for name in files},
        "parent_model_id": None,
        "created_at": timestamp_text(created),
        "updated_at": timestamp_text(created),
        "deleted_at": None,
    }


def curve(number: int) -> list[CurvePoint]:
    """A loss that falls, with some noise."""
    chance = random.Random(number)
    return [
        CurvePoint(step * 30.0, 0.4 + 2 * math.exp(-step / 9) + chance.uniform(0, 0.1))
        for step in range(48)
    ]


def identifier(kind: str, number: int) -> str:
    """The same id for the same thing in every run; ids do not follow the order of the rows."""
    digits = f"{random.Random(f'{kind}-{number}').getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def _dataset_name(number: int) -> str:
    return f"{_FIELDS[number % len(_FIELDS)]} {_KINDS[number // len(_FIELDS) % len(_KINDS)]}"
