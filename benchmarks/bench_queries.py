"""What the list asks of the cache, from a thousand to a million models.

Each at 100,000 and at a million is held against the same at a thousand (what growth costs), and at
100,000 against the plain query that one would write first: ORDER BY without an index, LIKE,
row_number(). The list of jobs is held against that of a hundred jobs.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from figures import Figure, figure, milliseconds, report
from lora_tui.cache import models
from lora_tui.cache.connection import open_cache
from lora_tui.cache.facets import facet_counts, job_facets
from lora_tui.cache.job_query import JobQuery, JobSort
from lora_tui.cache.jobs import JobList
from lora_tui.cache.leaders import read_groups
from lora_tui.cache.model_columns import column_of, values_of
from lora_tui.cache.models import ModelList, ModelQuery, Sort
from made_up import fill_jobs, filled

SIZES = (1_000, 10_000, 100_000, 1_000_000)
AGAINST_PLAIN = 100_000
ROUNDS = 9
JOBS = (100, 100_000)
JOB_PAGE = 25
PAGE = 64
SORTED = ModelQuery(sort=Sort.LOSS)


def main() -> None:
    found: dict[int, dict[str, list[float]]] = {}
    plain: dict[str, list[float]] = {}
    with filled(SIZES) as paths:
        for size, path in paths.items():
            with closing(open_cache(path)) as db:
                work = questions(db, size)
                found[size] = {name: milliseconds(ask, ROUNDS) for name, ask in work.items()}
                if size == AGAINST_PLAIN:
                    plain = {
                        name: milliseconds(ask, 3) for name, ask in plain_questions(db).items()
                    }
    figures = []
    for name in found[SIZES[0]]:
        smallest = {"peer": f"{SIZES[0]:,} models", "peer_values": found[SIZES[0]][name]}
        for size in SIZES:
            peer = smallest if size >= AGAINST_PLAIN else {}
            figures.append(figure(f"{name}, {size:,}", "ms", found[size][name], **peer))  # type: ignore[arg-type]
            if size == AGAINST_PLAIN and name in plain:
                figures.append(
                    figure(
                        f"{name}, {size:,}",
                        "ms",
                        found[size][name],
                        peer=PLAIN[name],
                        peer_values=plain[name],
                    )
                )
    figures += job_figures()
    report(f"queries: a page is {PAGE} models, sorted by final loss", "queries", figures)


def questions(db: sqlite3.Connection, size: int) -> dict[str, Callable[[], object]]:
    listed = ModelList(db, SORTED)
    middle = size // 2 // PAGE * PAGE
    listed.window(middle, PAGE)
    model_id = models.summaries(db, listed.window(middle, 1))[0].id

    def page(offset: int) -> Callable[[], object]:
        return lambda: models.summaries(db, listed.window(offset, PAGE))

    def search(text: str) -> Callable[[], object]:
        def ask() -> object:
            models.count_models(db, ModelQuery(search="another question"))
            query = ModelQuery(sort=Sort.LOSS, search=text)
            asked = ModelList(db, query)
            return models.summaries(db, asked.window(0, PAGE))

        return ask

    def filtered() -> object:
        models.count_models(db, ModelQuery(search="another question"))
        asked = ModelList(db, ModelQuery(sort=Sort.LOSS, min_stars=4))
        return models.summaries(db, asked.window(0, PAGE))

    def anew(query: ModelQuery) -> Callable[[], object]:
        """The first page, with nothing kept from before."""

        def ask() -> object:
            for table in ("sorted_models", "matches_of"):
                db.execute(f"DROP TABLE IF EXISTS temp.{table}")
            return models.summaries(db, ModelList(db, query).window(0, PAGE))

        return ask

    three = [column_of(name) for name in ("rank", "learning_rate", "best_validation_loss")]
    return {
        "order by best validation loss, anew": anew(ModelQuery(sort="best_validation_loss")),
        "order by rank, anew": anew(ModelQuery(sort="rank")),
        "order by dataset, anew": anew(ModelQuery(sort="dataset")),
        "order by favorites, anew": anew(ModelQuery(sort="favorite")),
        "condition on two columns": anew(
            ModelQuery(where="rank >= 16 and best_validation_loss < 1.2", sort=Sort.LOSS)
        ),
        "condition and order by rank": anew(
            ModelQuery(where="rank >= 16 and best_validation_loss < 1.2", sort="rank")
        ),
        "values of three columns": lambda: values_of(db, three, ModelQuery()),
        "groups of the leaderboard": lambda: read_groups(db),
        "count": lambda: ModelList(db, SORTED).total,
        "first page": page(0),
        "next page in the middle": page(middle + PAGE),
        "jump into the middle": lambda: models.select_models(db, SORTED, offset=middle, limit=PAGE),
        "last page": page(size - PAGE),
        "place of a model": lambda: listed.position(model_id),
        "search, first letter": search("s"),
        "search, a word": search("support"),
        "search, two words": search("support 2026"),
        "search, no match": search("zzz"),
        "filter by stars": filtered,
        "facets": lambda: facet_counts(db),
    }


def job_figures() -> list[Figure]:
    """The list of jobs at a hundred thousand, held against the same at a hundred."""
    found: dict[int, dict[str, list[float]]] = {}
    for size in JOBS:
        with tempfile.TemporaryDirectory(prefix="lora-tui-bench-") as directory:
            path = Path(directory) / "cache.sqlite3"
            fill_jobs(path, size)
            with closing(open_cache(path)) as db:
                work = job_questions(db, size)
                found[size] = {name: milliseconds(ask, ROUNDS) for name, ask in work.items()}
    few, many = JOBS
    return [
        figure(
            f"jobs: {name}, {many:,}",
            "ms",
            found[many][name],
            peer=f"{few:,} jobs",
            peer_values=found[few][name],
        )
        for name in found[few]
    ]


def job_questions(db: sqlite3.Connection, size: int) -> dict[str, Callable[[], object]]:
    page = JOB_PAGE
    by_loss = JobQuery(sort=JobSort.LOSS)
    listed = JobList(db, by_loss)
    middle = size // 2 // page * page
    [summary] = listed.window(middle, 1)
    listed.window(middle, page)

    def narrowed(**filters: Any) -> Callable[[], object]:
        def ask() -> object:
            db.execute("DROP TABLE IF EXISTS temp.job_matches_of")  # else they are kept
            return JobList(db, JobQuery(**filters)).window(0, page)

        return ask

    return {
        "what runs first": lambda: JobList(db, JobQuery()).window(0, page),
        "first page": lambda: JobList(db, by_loss).window(0, page),
        "next page in the middle": lambda: listed.window(middle + page, page),
        "jump into the middle": lambda: JobList(db, by_loss).window(middle, page),
        "last page": lambda: listed.window(size - page, page),
        "place of a job": lambda: listed.position(summary.job.id),
        "search, a word": narrowed(search="support"),
        "failed ones": narrowed(statuses=frozenset({"failed"})),
        "facets": lambda: job_facets(db),
    }


PLAIN = {
    "first page": "ORDER BY without an index",
    "last page": "ORDER BY … OFFSET without an index",
    "place of a model": "row_number() over all",
    "search, a word": "LIKE over four columns, then sort",
}


def plain_questions(db: sqlite3.Connection) -> dict[str, Callable[[], object]]:
    # a unary plus keeps SQLite from using an index
    order = "ORDER BY +final_loss IS NULL, +final_loss, +created_at DESC, id"
    (total,) = db.execute("SELECT count(*) FROM models").fetchone()
    like = " OR ".join(
        f"{column} LIKE '%support%'" for column in ("m.name", "d.name", "base_model", "description")
    )

    def ask(sql: str) -> Callable[[], object]:
        return lambda: db.execute(sql).fetchall()

    return {
        "first page": ask(f"SELECT * FROM models NOT INDEXED {order} LIMIT {PAGE}"),
        "last page": ask(
            f"SELECT * FROM models NOT INDEXED {order} LIMIT {PAGE} OFFSET {total - PAGE}"
        ),
        "place of a model": ask(
            f"SELECT n FROM (SELECT id, row_number() OVER ({order}) AS n"
            " FROM models NOT INDEXED) WHERE id = 'x'"
        ),
        "search, a word": ask(
            "SELECT m.* FROM models m NOT INDEXED LEFT JOIN datasets d ON d.id = m.dataset_id"
            f" WHERE {like} ORDER BY +m.final_loss LIMIT {PAGE}"
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
