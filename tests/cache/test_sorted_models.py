"""Models can be sorted by any column: in full, in parts, from any page, in a thread."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache import model_columns, models, records, sorted_models
from lora_tui.cache.connection import open_cache, open_existing, transaction
from lora_tui.cache.model_columns import MODEL_COLUMNS, Kind, ModelColumn, column_of, sort_of
from lora_tui.cache.models import ModelList, ModelQuery, Sort, natural_direction
from lora_tui.cache.sorted_models import needs_sorting, sort_models
from lora_tui.errors import UsageError
from tests.cache.test_model_list import row

MANY = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Sixty models with equal, different and unknown values in every column."""
    chance = random.Random(5)
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db, transaction(db):
        records.put_datasets(db, [{"id": f"d{n}", "name": name} for n, name in enumerate("bAc")])
        models.put_models(
            db,
            [
                row(
                    n,
                    dataset_id=f"d{chance.randrange(5)}",
                    description=chance.choice((None, "ab", "Aa", "b")),
                    configuration={
                        "hyperparameters": {
                            "rank": chance.choice((None, 4, 8, 16)),
                            "learning_rate": chance.choice((None, 1e-4, 2e-4)),
                        },
                        "gpu_config": {"type": chance.choice((None, "a100", "H100"))},
                    },
                    quality_metrics={
                        "final_validation_loss": chance.choice((None, chance.random())),
                        "final_training_loss": chance.random(),
                    },
                )
                for n in range(MANY)
            ],
        )
        for model_id in [r[0] for r in db.execute("SELECT id FROM models WHERE n % 4 = 0")]:
            db.execute(
                "INSERT INTO own_marks (model_id, favorite, tags, note) VALUES (?, ?, ?, ?)",
                [model_id, chance.randrange(2), chance.choice(("", " prod ")), chance.choice("ab")],
            )
        db.execute("UPDATE model_values SET broken = 1 WHERE n % 7 = 0")
    return path


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_existing(path)) as connection:
        yield connection


def expected(db: sqlite3.Connection, column: ModelColumn, *, descends: bool) -> list[str]:
    """The ids, sorted by Python: unknown values and broken runs last, then the newest first."""
    columns = (column, column_of("created_at"))
    broken = {r[0] for r in db.execute("SELECT id FROM model_values WHERE broken")}
    found = []
    for place, (model_id, value, created) in enumerate(
        model_columns.values_of(db, columns, ModelQuery())
    ):
        known = value is not None and not (column.broken_last and model_id in broken)
        if column.kind in (Kind.TEXT, Kind.TAGS):
            known = known and value != ""
            value = (value or "").lower()
        n = db.execute("SELECT n FROM models WHERE id = ?", [model_id]).fetchone()[0]
        found.append((known, value, -created, n, model_id, place))
    last = sorted((one for one in found if not one[0]), key=lambda one: one[2:4])
    first = sorted((one for one in found if one[0]), key=lambda one: one[2:4])
    first.sort(key=lambda one: one[1], reverse=descends)
    return [one[4] for one in (*first, *last)]


def ids(db: sqlite3.Connection, listed: ModelList, offset: int, limit: int) -> list[str]:
    return [model.id for model in models.summaries(db, listed.window(offset, limit))]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("column", MODEL_COLUMNS, ids=lambda column: column.name)
def test_any_column_sorts_with_unknown_values_last_then_the_newest_first(
    db: sqlite3.Connection, column: ModelColumn, reverse: bool
) -> None:
    sort = sort_of(column.name)
    query = ModelQuery(sort=sort, reverse=reverse)
    right = expected(db, column, descends=natural_direction(sort) is not reverse)
    listed = ModelList(db, query)
    assert ids(db, listed, 0, MANY) == right
    assert ids(db, listed, 50, 20) == right[50:]
    assert listed.window(MANY, 5) == []
    assert listed.position(right[17]) == 17
    narrowed = ModelList(db, query._replace(search="Model 1"))
    matching = [r[0] for r in db.execute("SELECT id FROM models WHERE name LIKE 'Model 1%'")]
    some = [model_id for model_id in right if model_id in matching]
    assert (narrowed.total, ids(db, narrowed, 0, MANY)) == (len(some), some)
    assert narrowed.position(right[0] if right[0] not in some else right[-1]) in (None, len(some))
    assert [value[0] for value in model_columns.values_of(db, (column,), query)] == right


def test_a_screen_sorts_many_models_in_a_thread_and_keeps_its_list_meanwhile(
    path: Path, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_models, "QUICKLY_SORTED", 10)
    query = ModelQuery(sort="rank")
    assert needs_sorting(db, query)
    assert not needs_sorting(db, ModelQuery(sort=Sort.LOSS))
    assert not needs_sorting(db, query._replace(where="name = 'Model 3'"))
    with closing(open_existing(path)) as other:  # as a thread has it
        found = sort_models(other, query)
    listed = ModelList(db, query, found)
    before = ids(db, listed, 0, MANY)
    assert before == expected(db, column_of("rank"), descends=True)
    with closing(open_existing(path)) as other, transaction(other):
        models.put_models(other, [row(MANY, configuration={"hyperparameters": {"rank": 99}})])
        models.delete_models(other, before[:1])
    assert ids(db, listed, 0, MANY) == before[1:]
    assert listed.position(before[5]) == 5
    again = ModelList(db, query)
    assert ids(db, again, 0, 3) == [row(MANY)["id"], *before[1:3]]


def test_an_order_is_sorted_once_for_a_connection_until_the_cache_changes(
    path: Path, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorts: list[str] = []
    db.set_trace_callback(lambda sql: sorts.append(sql) if "ORDER BY v.rank" in sql else None)
    query = ModelQuery(sort="rank", search="Model 1")
    for _ in range(3):
        assert ModelList(db, query).window(0, 5)
    assert len(sorts) == 1
    with closing(open_existing(path)) as other, transaction(other):
        models.put_models(other, [row(1000, name="Model 1")])
    assert ModelList(db, query).position(row(1000)["id"]) is not None
    assert len(sorts) == 2


@pytest.mark.parametrize(
    ("name", "sort"),
    [
        ("rating", Sort.QUALITY),
        ("Created_At", Sort.CREATED),
        ("loss", Sort.LOSS),
        ("best-validation-loss", "best_validation_loss"),
    ],
)
def test_orders_have_the_names_of_columns_too(name: str, sort: str) -> None:
    assert sort_of(name) == sort


def test_an_order_by_no_column_names_those_that_come_near(db: sqlite3.Connection) -> None:
    with pytest.raises(UsageError, match="rnk") as error:
        sort_of("rnk")
    assert "rank" in str(error.value.remedy)
    listed: Any = ModelList(db, ModelQuery(sort="rnk"))
    with pytest.raises(UsageError):
        listed.window(0, 1)
