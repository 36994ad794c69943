"""The list of models: sorted, searched, filtered, in a stable order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.cache import models, records
from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.integrity import find_damage
from lora_tui.cache.models import ModelQuery, Sort


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:08x}-0000-4000-8000-000000000000",
        "name": f"Model {number}",
        "dataset_id": "d1",
        "job_id": f"j{number}",
        "created_at": f"2026-11-{number + 1:02}T00:00:00+00:00",
        "updated_at": f"2026-11-{number + 1:02}T00:00:00+00:00",
        **changes,
    }


def rated(number: int, stars: object, **changes: Any) -> dict[str, Any]:
    return row(
        number,
        quality_metrics={"overall_score": stars, "convergence_quality": "good"},
        **changes,
    )


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as connection:
        with transaction(connection):
            records.put_datasets(connection, [{"id": "d1", "name": "Support mails"}])
        yield connection


def put(db: sqlite3.Connection, *rows: dict[str, Any]) -> None:
    with transaction(db, Topic.MODELS):
        models.put_models(db, rows)


def names(db: sqlite3.Connection, **query: Any) -> list[str]:
    return [m.name for m in models.select_models(db, ModelQuery(**query), offset=0, limit=99)]


def test_the_newest_come_first(db: sqlite3.Connection) -> None:
    put(db, row(1), row(3), row(2))
    assert names(db) == ["Model 3", "Model 2", "Model 1"]
    assert names(db, reverse=True) == ["Model 1", "Model 2", "Model 3"]


def test_unrated_models_come_last_in_both_directions(db: sqlite3.Connection) -> None:
    put(db, rated(1, 2), rated(2, None), rated(3, 5))
    assert names(db, sort=Sort.QUALITY) == ["Model 3", "Model 1", "Model 2"]
    assert names(db, sort=Sort.QUALITY, reverse=True) == ["Model 1", "Model 3", "Model 2"]


def test_the_lowest_loss_comes_first(db: sqlite3.Connection) -> None:
    for number, loss in ((1, 0.5), (2, 1.5), (3, 0.1)):
        put(db, row(number, quality_metrics={"final_training_loss": loss}))
    assert names(db, sort=Sort.LOSS) == ["Model 3", "Model 1", "Model 2"]


def test_sorting_by_name_ignores_case(db: sqlite3.Connection) -> None:
    put(db, row(1, name="beta"), row(2, name="Alpha"), row(3, name="gamma"))
    assert names(db, sort=Sort.NAME) == ["Alpha", "beta", "gamma"]


def test_every_word_of_a_search_must_occur(db: sqlite3.Connection) -> None:
    base = {"hyperparameters": {"base_model": "Qwen/Qwen2.5-7B"}}
    put(db, row(1, configuration=base), row(2))
    assert names(db, search="support qwen") == ["Model 1"]
    assert names(db, search="SUPPORT") == ["Model 2", "Model 1"]


@pytest.mark.parametrize("text", ["%", "_", "\\", "'; DROP TABLE models; --", '"'])
def test_punctuation_in_a_search_is_literal(db: sqlite3.Connection, text: str) -> None:
    put(db, row(1))
    put(db, row(2, description=f"with {text} in it"))
    assert names(db, search=text) == ["Model 2"]


def test_filters_combine(db: sqlite3.Connection) -> None:
    put(db, rated(1, 5), rated(2, 3), rated(3, 5, dataset_id="d2"), row(4))
    assert names(db, min_stars=4, dataset="Support mails") == ["Model 1"]
    assert names(db, convergences=frozenset({"good"}), min_stars=3) == [
        "Model 3",
        "Model 2",
        "Model 1",
    ]


def test_a_model_is_found_by_id_by_its_beginning_and_by_name(db: sqlite3.Connection) -> None:
    put(db, row(1), row(0x12345678, created_at="2026-01-01", updated_at="2026-01-01"))
    first = "00000001-0000-4000-8000-000000000000"
    for reference in (first, first.upper(), "00000001", "Model 1"):
        assert [m.id for m in models.find_models(db, reference)] == [first]
    assert models.find_models(db, "Model") == []
    assert models.find_models(db, "%") == []


def test_a_renamed_dataset_shows_its_new_name_at_once(db: sqlite3.Connection) -> None:
    put(db, row(1))
    with transaction(db, Topic.DATASETS):
        records.put_datasets(db, [{"id": "d1", "name": "Renamed"}])
    assert models.select_models(db, ModelQuery(), offset=0, limit=1)[0].dataset_name == "Renamed"


stars = st.one_of(st.none(), st.integers(1, 5))


@settings(max_examples=25, deadline=None)
@given(st.lists(stars, max_size=30), st.sampled_from(list(Sort)), st.booleans())
def test_pages_show_each_model_once_and_positions_agree(
    ratings: list[int | None], sort: Sort, reverse: bool
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        from lora_tui.cache.schema import migrate

        migrate(db)
        with transaction(db):
            models.put_models(
                db,
                [
                    rated(n, rating, created_at="2026-11-01", updated_at="2026-11-01")
                    for n, rating in enumerate(ratings)
                ],
            )
        query = ModelQuery(sort=sort, reverse=reverse)
        paged = [
            model.id
            for offset in range(0, len(ratings), 7)
            for model in models.select_models(db, query, offset=offset, limit=7)
        ]
        assert len(set(paged)) == len(paged) == len(ratings) == models.count_models(db, query)
        assert [models.ModelList(db, query).position(model_id) for model_id in paged] == list(
            range(len(paged))
        )


def test_of_rows_that_are_written_together_the_last_one_counts(db: sqlite3.Connection) -> None:
    put(db, row(1))
    put(db, row(1, name="Other"), row(1))
    assert names(db) == ["Model 1"]
    put(db, row(1), row(1, name="Other"))
    assert names(db) == ["Other"]
    assert find_damage(db) is None


def test_the_change_feed_reports_changes_of_another_connection(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as writer, closing(open_cache(path)) as reader:
        feed = ChangeFeed(reader)
        assert feed.poll() == frozenset()
        put(writer, row(1))
        assert feed.poll() == {Topic.MODELS}
        assert feed.poll() == frozenset()


def rows_until_a_failure() -> Iterator[dict[str, Any]]:
    yield row(1)
    raise KeyError


def test_a_failed_transaction_changes_nothing_and_is_not_reported(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as writer, closing(open_cache(path)) as reader:
        feed = ChangeFeed(reader)
        with pytest.raises(KeyError), transaction(writer, Topic.MODELS):
            models.put_models(writer, rows_until_a_failure())
        assert names(writer) == []
        assert feed.poll() == frozenset()
