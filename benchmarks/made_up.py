"""Caches of any size with believable rows, for the benchmarks; the same in every run."""

from __future__ import annotations

import math
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import homes
from lora_tui.cache import jobs, metadata, metrics, models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.facets import recount
from lora_tui.cache.model_row import COLUMNS
from lora_tui.cache.model_values import COPIED
from lora_tui.cache.search import microseconds
from lora_tui.clock import timestamp_text
from lora_tui.domain import CurvePoint

USER: Final = "5f1c2b9e-7d43-5a80-9c1e-0d6f3ab24e71"
NEWEST: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DATASETS: Final = 60
CURVES: Final = 5_000
"""So many of the newest models have a curve; a sync fetches them as they are looked at."""
PAGE: Final = 1_000
ONE_BY_ONE: Final = 10_000
WHOLE: Final = 100_000
SHARED: Final = "LORA_TUI_BENCH_CACHES"

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

_SCATTERED: Final = (
    ("final_loss", 7919, 500000.0),
    ("perplexity", 104729, 100000.0),
    ("cost", 15485863, 20000.0),
    ("duration_hours", 32452843, 30000.0),
    ("size", 49979687, 0.01),
)


@contextmanager
def filled(sizes: Sequence[int]) -> Iterator[dict[int, Path]]:
    """Caches of these sizes, each in a home of the application.

    `run.py` names a directory, so that several benchmarks share them.
    """
    with tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as own:
        directory = Path(os.environ.get(SHARED, own))
        paths = {size: homes.cache_of(directory / str(size)) for size in sizes}
        for size, path in paths.items():
            if not path.exists():
                fill(path, size)
                homes.configure(homes.home_of(path))
        yield paths


def fill(path: Path, count: int) -> None:
    """Write an account with `count` models, synced a moment ago, into a new cache.

    All but the newest ten thousand are copies of those, which SQLite makes: dates go on, and names
    and figures differ. Beyond `WHOLE` the backend's row, which no list reads, is left out.
    """
    with closing(open_cache(path)) as db:
        db.execute("PRAGMA journal_mode = OFF")  # if it breaks off it is of no use anyway
        db.execute("PRAGMA synchronous = OFF")
        with transaction(db, *Topic):
            records.put_datasets(db, datasets())
            with _without_indexes(db):
                rows = model_rows(min(count, ONE_BY_ONE))
                while page := list(islice(rows, PAGE)):
                    models.put_models(db, page)
                _copy(db, count)
            recount(db)
            for number in range(min(count, CURVES)):
                metrics.put_stored_curve(db, identifier("job", number), curve(number))
            state = metadata.SyncState(NEWEST, NEWEST, running=False, error=None)
            metadata.put_sync_state(db, state, process="")
        db.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _without_indexes(db: sqlite3.Connection) -> Iterator[None]:
    """Made at the end they take a fraction of the time."""
    sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    indexes = db.execute(f"{sql} AND tbl_name = 'models'").fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    yield
    for _, definition in indexes:
        db.execute(definition)


def _copy(db: sqlite3.Connection, count: int) -> None:
    minutes = f"{microseconds(NEWEST)} - i * {11 * 60_000_000}"
    day = f"({minutes}) / 1000000"
    new_id = "substr(m.id, 1, 24) || printf('%012x', i)"
    anew = {
        "id": new_id,
        "row": f"CASE WHEN i < {WHOLE} THEN replace(m.row, m.id, {new_id}) ELSE '{{}}' END",
        "name": f"substr(m.name, 1, length(m.name) - 10) || date({day}, 'unixepoch')",
        "created_at": minutes,
        # a prime apart, so that no two orders are alike
        **{column: f"i * {prime} % 1000003 / {scale}" for column, prime, scale in _SCATTERED},
    }
    others = [column for column in COLUMNS if column not in anew]
    (last,) = db.execute("SELECT max(n) FROM models").fetchone()
    db.execute(
        "WITH RECURSIVE numbers (i) AS"
        f" (SELECT {ONE_BY_ONE} UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {count})"
        f" INSERT INTO models ({', '.join([*anew, *others])})"
        f" SELECT {', '.join([*anew.values(), *(f'm.{column}' for column in others)])}"
        f" FROM numbers CROSS JOIN models m ON m.n = 1 + i % {ONE_BY_ONE} WHERE i < {count}"
    )
    _copy_values(db, last, count)
    db.execute(
        "INSERT INTO models_words (rowid, name, dataset, base_model, description)"
        " SELECT m.n, m.name, d.name, m.base_model, m.description"
        f" FROM models m LEFT JOIN datasets d ON d.id = m.dataset_id WHERE m.n > {last}"
    )


def _copy_values(db: sqlite3.Connection, last: int, count: int) -> None:
    """The values of the copies: what is not of the row differs from copy to copy."""
    copied = [column for column in COPIED if column not in ("job_id",)]
    scattered = {
        "last_validation": "l.n * 7919 % 1000003 / 500000.0 + 0.2",
        "best_validation": "CASE WHEN l.n % 3 THEN l.n * 6151 % 1000003 / 500000.0 + 0.1 END",
        "best_validation_step": "CASE WHEN l.n % 3 THEN l.n * 31 % 1500 END",
        "rank": "4 << (l.n % 6)",
        "learning_rate": "(1 + l.n % 40) / 100000.0",
    }
    others = ("gpu", "alpha", "batch_size", "epochs", "broken")
    db.execute(
        f"INSERT INTO model_values (n, {', '.join([*copied, *scattered, *others])})"
        f" SELECT l.n, {', '.join([*(f'l.{name}' for name in copied), *scattered.values()])},"
        f" {', '.join(f'v.{name}' for name in others)} FROM models l"
        f" CROSS JOIN model_values v ON v.n = 1 + (l.n - {last} - 1) % {ONE_BY_ONE}"
        f" WHERE l.n > {last} AND {count} > {ONE_BY_ONE}"
    )


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


def fill_jobs(path: Path, count: int) -> None:
    """Write `count` jobs, three of which run and two wait, into a new cache."""
    with closing(open_cache(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        with transaction(db, *Topic):
            records.put_datasets(db, datasets())
            for start in range(0, count, PAGE):
                numbers = range(start, min(count, start + PAGE))
                jobs.put_jobs(db, [job_row(number) for number in numbers])


def job_row(number: int) -> dict[str, Any]:
    """Job `number`; 0 is the newest, each next one eleven minutes older."""
    chance = random.Random(number)
    created = NEWEST - timedelta(minutes=11 * number)
    hours = round(chance.uniform(0.3, 30), 6)
    ended = chance.choices(("completed", "failed", "cancelled"), (8, 2, 1))[0]
    status = "running" if number < 3 else "queued" if number < 5 else ended
    return {
        "id": identifier("job", number),
        "user_id": USER,
        "dataset_id": identifier("dataset", chance.randrange(DATASETS)),
        "preset_id": chance.choice(("balanced", "conservative", "aggressive")),
        "hyperparameters": {"base_model": chance.choice(_BASES), "lora_rank": 16},
        "gpu_config": {"gpu_type": chance.choice(("A100-80GB", "H100")), "num_gpus": 1},
        "status": status,
        "progress": 50,
        "current_step": 750,
        "total_steps": 1500,
        "current_metrics": {"training_loss": round(chance.uniform(0.2, 2.5), 6)},
        "created_at": timestamp_text(created),
        "updated_at": timestamp_text(created),
        "started_at": timestamp_text(created),
        "completed_at": timestamp_text(created + timedelta(hours=hours)) if number > 4 else None,
        "final_cost": round(hours * 1.89, 2) if number > 4 else None,
        "error_message": "CUDA out of memory" if status == "failed" else None,
    }
