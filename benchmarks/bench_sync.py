"""A first sync from its first request to its last row, against SQLite's own `executemany`.

`sync_cache` fetches prepared pages over the loopback interface, decodes, checks and writes them.
Its first peer is handed the decoded rows, takes the same columns out of them as they are, without
cleaning or checking anything, and writes them with the indexes and words of a schema that is frozen
(frozen_schema.sql), so that a better schema of ours counts. The second is handed finished columns
and writes them into a table with a primary key only: the ratio is what the indexes cost.
Transactions are as long as a sync's pages everywhere. Whole and first peer take turns, and the
ratio is that of neighbours. Then the parts, each alone, in microseconds a row.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from figures import Figure, figure, in_turn, report
from lora_tui.cache import models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.model_row import COLUMNS, columns
from lora_tui.cache.search import index_new_words
from lora_tui.gateway.rest import Cursor, Rest
from lora_tui.sync import sync_cache
from made_up import PAGE, USER, datasets, model_rows
from page_server import bodies, serving

ROWS = 10_000
ROUNDS = 5
PART_ROUNDS = 2
FROZEN = Path(__file__).with_name("frozen_schema.sql")
FROZEN_COLUMNS = (
    *("id", "row", "name", "version", "description", "status", "dataset_id", "job_id"),
    *("preset_id", "base_model", "stars", "convergence", "final_loss", "perplexity", "cost"),
    *("duration_hours", "size", "created_at", "updated_at"),
)
"""Those of `models` in the frozen schema, in the order of `careless`."""
CHOSEN = (
    "models m LEFT JOIN datasets d ON d.id = m.dataset_id"
    " WHERE m.id IN (SELECT value FROM json_each(?))"
)
FROZEN_WORDS = (
    "DELETE FROM models_words WHERE rowid IN (SELECT m.n FROM models_words w"
    f" JOIN {CHOSEN} AND w.rowid = m.n AND (w.name, w.dataset, w.base_model, w.description)"
    " IS NOT (m.name, d.name, m.base_model, m.description))",
    "INSERT INTO models_words (rowid, name, dataset, base_model, description)"
    " SELECT m.n, m.name, d.name, m.base_model, m.description"
    f" FROM {CHOSEN} AND NOT EXISTS (SELECT 1 FROM models_words w WHERE w.rowid = m.n)",
)
"""How the words of a page were written at the commit of the frozen schema (`index_words`)."""


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
        """Into the frozen schema, words included."""
        db.executemany(
            "INSERT INTO datasets (id, row, name) VALUES (?, ?, ?)",
            [(row["id"], json.dumps(row), row["name"]) for row in datasets()],
        )

        def write() -> None:
            for page in paged(self.rows):
                db.execute("BEGIN IMMEDIATE")
                values = [careless(row) for row in page]
                db.executemany(insert("models", FROZEN_COLUMNS), values)
                ids = json.dumps([value[0] for value in values])
                for statement in FROZEN_WORDS:
                    db.execute(statement, [ids])
                db.execute("COMMIT")

        return timed(write)

    def without_words(self, db: sqlite3.Connection) -> float:
        return timed(lambda: write_flat(db, "models", self.flat))

    def without_indexes(self, db: sqlite3.Connection) -> float:
        db.execute(f"CREATE TABLE bare ({', '.join(COLUMNS)}, PRIMARY KEY (id))")
        return timed(lambda: write_flat(db, "bare", self.flat))

    def words(self, db: sqlite3.Connection) -> float:
        """With the tables filled beforehand: only the index of words."""
        with transaction(db):
            models.put_models(db, self.rows)
        db.execute("DELETE FROM models_words")

        def write() -> None:
            for start in range(1, ROWS, PAGE):
                with transaction(db):
                    index_new_words(db, range(start, start + PAGE))

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


def main() -> None:
    with serving(ROWS) as url:
        work = Work(url)
        raw, whole = in_turn(
            lambda: rate(work.raw, frozen_cache), lambda: rate(work.whole, open_cache), ROUNDS
        )
        kinds = {
            "put": work.put,
            "no words": work.without_words,
            "words": work.words,
            "bare": work.without_indexes,
            "fetching": work.fetching,
            "decoding": work.decoding,
            "flattening": work.flattening,
        }
        parts: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(PART_ROUNDS):
            for name, do in kinds.items():
                parts[name].append(rate(do, open_cache))
    peer = "executemany of the decoded rows, frozen schema"
    report(
        f"sync: {ROWS:,} rows of 2 KB into a new cache, {PAGE:,} a transaction",
        "sync",
        [
            figure(
                "sync_cache, HTTP and all", "rows/s", whole,
                peer=peer, peer_values=raw, promise="at least 0.9", paired=True,
            ),
            figure("put_models", "rows/s", parts["put"], peer=peer, peer_values=raw),
            figure(
                "sync_cache, HTTP and all", "rows/s", whole,
                peer="executemany into a table without indexes", peer_values=parts["bare"],
            ),
            *shares({name: max(rates) for name, rates in {**parts, "whole": whole}.items()}),
        ],
    )  # fmt: skip


def shares(rates: dict[str, float]) -> list[Figure]:
    """Microseconds a row in the best round, and the share of the whole.

    Parts may run beside each other. Flattening and words are parts of `put_models`.
    """
    each = {name: 1e6 / rate for name, rate in rates.items()}
    parts = {
        "HTTP": each["fetching"] - each["decoding"],
        "decoding": each["decoding"],
        "flattening": each["flattening"],
        "the table": each["bare"],
        "its indexes": each["no words"] - each["bare"],
        "words": each["words"],
        "put_models, all of it": each["put"],
    }
    whole = {"peer": "the whole", "peer_values": [each["whole"]]}
    return [figure(f"a row: {name}", "µs", [part], **whole) for name, part in parts.items()]


def frozen_cache(path: Path) -> sqlite3.Connection:
    """A new file with the frozen schema."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(FROZEN.read_text())
    return db


def rate(
    do: Callable[[sqlite3.Connection], float], create: Callable[[Path], sqlite3.Connection]
) -> float:
    """Rows a second, into a file that did not exist before."""
    with (
        tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as directory,
        closing(create(Path(directory) / "cache.sqlite3")) as db,
    ):
        return ROWS / do(db)


def insert(table: str, names: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"


def write_flat(db: sqlite3.Connection, table: str, flat: Sequence[tuple[Any, ...]]) -> None:
    for page in paged(flat):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(insert(table, COLUMNS), page)
        db.execute("COMMIT")


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
