"""Writing a sync's rows into the cache, against SQLite's own `executemany`.

The rows are decoded already and the transactions are as long as a sync's pages. The first peer
takes the same columns out of the rows as they are, without cleaning or checking anything, and
writes them into the same schema, words included: the ratio is what our care costs. The second is
handed finished columns and writes them into a table with a primary key only: the ratio is what
the indexes cost.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from figures import figure, report
from lora_tui.cache import models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.model_row import COLUMNS, columns
from lora_tui.cache.model_words import index_words
from made_up import PAGE, datasets, model_rows

ROWS = 10_000
ROUNDS = 5
Write = Callable[[Path], float]


def main() -> None:
    rows = list(model_rows(ROWS))
    flat = [columns(row) for row in rows]
    pages = [rows[start : start + PAGE] for start in range(0, ROWS, PAGE)]
    flat_pages = [flat[start : start + PAGE] for start in range(0, ROWS, PAGE)]
    marks = ", ".join("?" for _ in COLUMNS)
    insert = f"INSERT INTO {{}} ({', '.join(COLUMNS)}) VALUES ({marks})"

    def ours(path: Path) -> float:
        with closing(open_cache(path)) as db:
            with transaction(db):
                records.put_datasets(db, datasets())
            start = time.perf_counter()
            for page in pages:
                with transaction(db, Topic.MODELS):
                    models.put_models(db, page)
            return ROWS / (time.perf_counter() - start)

    def raw(path: Path) -> float:
        with closing(open_cache(path)) as db:
            with transaction(db):
                records.put_datasets(db, datasets())
            start = time.perf_counter()
            for page in pages:
                db.execute("BEGIN IMMEDIATE")
                values = [careless(row) for row in page]
                db.executemany(insert.format("models"), values)
                index_words(db, [value[0] for value in values])
                db.execute("COMMIT")
            return ROWS / (time.perf_counter() - start)

    def bare(path: Path) -> float:
        with closing(open_cache(path)) as db:
            db.execute(f"CREATE TABLE bare ({', '.join(COLUMNS)}, PRIMARY KEY (id))")
            start = time.perf_counter()
            for page in flat_pages:
                db.execute("BEGIN IMMEDIATE")
                db.executemany(insert.format("bare"), page)
                db.execute("COMMIT")
            return ROWS / (time.perf_counter() - start)

    rates: dict[str, list[float]] = {"ours": [], "raw": [], "bare": []}
    for _ in range(ROUNDS):
        for name, write in (("ours", ours), ("raw", raw), ("bare", bare)):
            with tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as directory:
                rates[name].append(write(Path(directory) / "cache.sqlite3"))
    flattening = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for row in rows:
            columns(row)
        flattening.append(ROWS / (time.perf_counter() - start))
    report(
        f"sync: {ROWS:,} decoded rows of 1.5 KB into the cache, {PAGE:,} a transaction",
        "sync",
        [
            figure(
                "put_models", "rows/s", rates["ours"],
                peer="executemany of the same rows, same schema",
                peer_values=rates["raw"], promise="at least 0.8",
            ),
            figure(
                "put_models", "rows/s", rates["ours"],
                peer="executemany into a table without indexes", peer_values=rates["bare"],
            ),
            figure("of which flattening alone", "rows/s", flattening),
        ],
    )  # fmt: skip


def careless(row: dict[str, Any]) -> tuple[Any, ...]:
    """The columns, provided that every row is as it should be."""
    quality, training = row["quality_metrics"], row["training_summary"]
    configuration = row["configuration"]
    return (
        row["id"],
        json.dumps(row),
        row["name"],
        row["version"],
        row["description"],
        row["status"],
        row["dataset_id"],
        row["job_id"],
        configuration["preset_id"],
        configuration["hyperparameters"]["base_model"],
        quality["overall_score"],
        quality["convergence_quality"],
        quality["final_training_loss"],
        quality["perplexity"],
        training["total_cost"],
        training["training_duration_hours"],
        sum(file["size"] for file in configuration["files"].values()),
        int(datetime.fromisoformat(row["created_at"]).timestamp() * 1_000_000),
        row["updated_at"],
    )


if __name__ == "__main__":
    sys.exit(main())
