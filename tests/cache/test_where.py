"""A condition of a query: lists, counts and positions honour it, and no large row is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from lora_tui.cache import models, records
from lora_tui.cache.conditions import parse
from lora_tui.cache.connection import transaction
from lora_tui.cache.models import ModelList, ModelQuery, Sort
from lora_tui.errors import UsageError
from tests.cache.test_model_list import memory, row

MANY = 40


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """Forty models of two datasets, with ranks from 0 to 39; three are favorites."""
    with closing(memory()) as connection:
        with transaction(connection):
            records.put_datasets(connection, [{"id": "d0", "name": "A"}, {"id": "d1", "name": "B"}])
            models.put_models(
                connection, [row(n, dataset_id=f"d{n % 2}", name=f"Run {n}") for n in range(MANY)]
            )
            connection.executemany(
                "UPDATE model_values SET rank = ?, best_validation = ? WHERE name = ?",
                [(n, None if n % 4 == 3 else n / 10, f"Run {n}") for n in range(MANY)],
            )
            connection.execute(
                "INSERT INTO own_marks (model_id, favorite) SELECT id, 1 FROM models"
                " WHERE name IN ('Run 1', 'Run 2', 'Run 3')"
            )
        yield connection


def found(db: sqlite3.Connection, **query: object) -> list[int]:
    rows = models.select_models(db, ModelQuery(**query), offset=0, limit=MANY)  # type: ignore[arg-type]
    return sorted(int(model.name.split()[1]) for model in rows)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("rank >= 30 and best_validation_loss < 3.5", [30, 32, 33, 34]),
        ("favorite and rank > 1", [2, 3]),
        ("rank > 37 or favorite and dataset = B", [1, 3, 38, 39]),
        ("dataset = A and rank < 5 and not favorite", [0, 4]),
        ("best_validation_loss is unknown and rank < 9", [3, 7]),
        ("name = 'Run 7'", [7]),
    ],
)
def test_a_list_has_the_models_of_its_condition(
    db: sqlite3.Connection, where: str, expected: list[int]
) -> None:
    assert found(db, where=where) == expected
    assert models.count_models(db, ModelQuery(where=where)) == len(expected)


def test_a_condition_goes_with_a_search_and_with_filters(db: sqlite3.Connection) -> None:
    where = "rank in (1, 10, 11, 12, 13)"
    assert found(db, where=where, search="run", dataset="A") == [10, 12]
    assert found(db, where=where, search="11") == [11]
    assert found(db, where=where, dataset="B") == [1, 11, 13]


def test_positions_and_windows_honour_the_condition(db: sqlite3.Connection) -> None:
    query = ModelQuery(sort=Sort.NAME, where="rank < 4")
    listed = ModelList(db, query)
    ids = [model.id for model in models.select_models(db, query, offset=0, limit=9)]
    assert [listed.position(model_id) for model_id in ids] == [0, 1, 2, 3]
    (other,) = models.find_models(db, "Run 9")
    assert listed.position(other.id) is None


def test_a_condition_that_is_wrong_is_refused(db: sqlite3.Connection) -> None:
    with pytest.raises(UsageError):
        models.count_models(db, ModelQuery(where="rank >"))


@pytest.mark.parametrize("where", ["rank >= 16 and best_validation_loss < 1.2", "rank is unknown"])
def test_a_condition_on_facts_reads_no_row_of_models(db: sqlite3.Connection, where: str) -> None:
    condition = parse(where)
    sql = f"EXPLAIN QUERY PLAN {condition.select()}"
    assert " ".join(str(step[3]) for step in db.execute(sql, condition.values)) == "SCAN v"
