"""A first sync from its first request to its last row, against SQLite's own `executemany`.

`sync_cache` fetches prepared pages over the loopback interface, decodes, checks and writes them.
Its first peer is handed the decoded rows, takes the same columns out of them as they are, without
cleaning or checking anything, and writes them into the same schema, words included: the ratio is
what network, decoding and our care cost. The second is handed finished columns and writes them
into a table with a primary key only: the ratio is what the indexes cost. Transactions are as long
as a sync's pages everywhere. Then the parts, each alone.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from figures import Figure, figure, report
from lora_tui.cache import models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.model_row import COLUMNS, columns
from lora_tui.cache.search import index_words
from lora_tui.gateway.rest import Cursor, Rest
from lora_tui.sync import sync_cache
from made_up import PAGE, USER, datasets, model_rows
from page_server import bodies, serving

ROWS = 10_000
ROUNDS = 5
MARKS = ", ".join("?" for _ in COLUMNS)
INSERT = f"INSERT INTO {{}} ({', '.join(COLUMNS)}) VALUES ({MARKS})"


class Work:
    """The rows in every form that they have on their way, and what is done to them."""

    def __init__(self, url: str) -> None:
        self.rest = Rest(url, httpx.Auth())
        self.rows = list(model_rows(ROWS))
        self.flat = [columns(row) for row in self.rows]
        self.sent = bodies(ROWS)

    def whole(self, db: sqlite3.Connection) -> float:
        """Until the list is true; the curves of the newest models come afterwards."""
        written = 0.0

        def progress(table: str, _rows: int) -> None:
            nonlocal written
            if table == "curves" and not written:
                written = time.perf_counter()

        start = time.perf_counter()
        sync_cache(self.rest, db, USER, progress=progress)
        return written - start

    def raw(self, db: sqlite3.Connection) -> float:
        with transaction(db):
            records.put_datasets(db, datasets())
        return timed(lambda: self._write(db, "models", self.rows, careless, words=True))

    def without_words(self, db: sqlite3.Connection) -> float:
        return timed(lambda: self._write(db, "models", self.flat, tuple))

    def without_indexes(self, db: sqlite3.Connection) -> float:
        db.execute(f"CREATE TABLE bare ({', '.join(COLUMNS)}, PRIMARY KEY (id))")
        return timed(lambda: self._write(db, "bare", self.flat, tuple))

    def words(self, db: sqlite3.Connection) -> float:
        """With the table filled beforehand: only the index of words."""
        self._write(db, "models", self.flat, tuple)

        def write() -> None:
            for page in paged(self.flat):
                with transaction(db):
                    index_words(db, [value[0] for value in page])

        return timed(write)

    def put(self, db: sqlite3.Connection) -> float:
        with transaction(db):
            records.put_datasets(db, datasets())

        def write() -> None:
            for page in paged(self.rows):
                with transaction(db, Topic.MODELS):
                    models.put_models(db, page)

        return timed(write)

    def fetching(self, _db: sqlite3.Connection) -> float:
        def fetch() -> None:
            after: Cursor | None = None
            while page := self.rest.page("model_artifacts", USER, after=after).rows:
                after = Cursor(page[-1]["updated_at"], page[-1]["id"])

        return timed(fetch)

    def decoding(self, _db: sqlite3.Connection) -> float:
        return timed(lambda: [json.loads(body) for body in self.sent])

    def flattening(self, _db: sqlite3.Connection) -> float:
        return timed(lambda: [columns(row) for row in self.rows])

    def _write(
        self,
        db: sqlite3.Connection,
        table: str,
        rows: Sequence[Any],
        flatten: Callable[[Any], tuple[Any, ...]],
        *,
        words: bool = False,
    ) -> None:
        for page in paged(rows):
            db.execute("BEGIN IMMEDIATE")
            values = [flatten(row) for row in page]
            db.executemany(INSERT.format(table), values)
            if words:
                index_words(db, [value[0] for value in values])
            db.execute("COMMIT")


def main() -> None:
    with serving(ROWS) as url:
        work = Work(url)
        kinds = {
            "whole": work.whole,
            "put": work.put,
            "raw": work.raw,
            "no words": work.without_words,
            "words": work.words,
            "bare": work.without_indexes,
            "fetching": work.fetching,
            "decoding": work.decoding,
            "flattening": work.flattening,
        }
        rates: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, do in kinds.items():
                with (
                    tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as directory,
                    closing(open_cache(Path(directory) / "cache.sqlite3")) as db,
                ):
                    rates[name].append(ROWS / do(db))
    raw = "executemany of the decoded rows, same schema"
    report(
        f"sync: {ROWS:,} rows of 2 KB into a new cache, {PAGE:,} a transaction",
        "sync",
        [
            figure(
                "sync_cache, HTTP and all", "rows/s", rates["whole"],
                peer=raw, peer_values=rates["raw"], promise="at least 0.8",
            ),
            figure("put_models", "rows/s", rates["put"], peer=raw, peer_values=rates["raw"]),
            figure(
                "sync_cache, HTTP and all", "rows/s", rates["whole"],
                peer="executemany into a table without indexes", peer_values=rates["bare"],
            ),
            *shares({name: statistics.median(values) for name, values in rates.items()}),
        ],
    )  # fmt: skip


def shares(rates: dict[str, float]) -> list[Figure]:
    """Microseconds a row, and the share of the whole; parts may run beside each other."""
    each = {name: 1e6 / rate for name, rate in rates.items()}
    parts = {
        "HTTP": each["fetching"] - each["decoding"],
        "decoding": each["decoding"],
        "flattening": each["flattening"],
        "the table": each["bare"],
        "its indexes": each["no words"] - each["bare"],
        "words": each["words"],
    }
    whole = {"peer": "the whole", "peer_values": [each["whole"]]}
    return [figure(f"a row: {name}", "µs", [part], **whole) for name, part in parts.items()]


def paged(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (rows[start : start + PAGE] for start in range(0, len(rows), PAGE))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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
