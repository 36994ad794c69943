"""Large lists: every order uses an index, every window is right, searches find words."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.cache import keyset, models, records
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.downloaded import put_downloaded
from lora_tui.cache.facets import facet_counts
from lora_tui.cache.model_row import COLUMNS, columns
from lora_tui.cache.models import ModelList, ModelQuery, Sort
from lora_tui.cache.schema import migrate
from lora_tui.domain import Model


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:08x}-0000-4000-8000-000000000000",
        "name": f"Model {number}",
        "dataset_id": "d1",
        "job_id": f"j{number}",
        "created_at": f"2026-11-{number % 28 + 1:02}T00:00:00+00:00",
        "updated_at": "2026-11-01T00:00:00+00:00",
        **changes,
    }


def memory() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    migrate(db)
    return db


def put(db: sqlite3.Connection, *rows: dict[str, Any]) -> None:
    with transaction(db):
        models.put_models(db, rows)


def names(db: sqlite3.Connection, **query: Any) -> set[str]:
    found = models.select_models(db, ModelQuery(**query), offset=0, limit=99)
    return {model.name for model in found}


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(memory()) as connection:
        with transaction(connection):
            records.put_datasets(
                connection, [{"id": "d1", "name": "Support mails"}, {"id": "d2", "name": "Other"}]
            )
        yield connection


@pytest.fixture
def without_word_index(db: sqlite3.Connection) -> sqlite3.Connection:
    """As a SQLite without FTS5 makes the cache."""
    triggers = db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        db.execute(f"DROP TRIGGER {name}")
    db.execute("DROP TABLE models_words")
    return db


def same_figures(number: int, *, known: bool) -> dict[str, Any]:
    """Models that no order tells apart but by date, and some of which nothing is known."""
    quality: dict[str, Any] = {"convergence_quality": "good"}
    if not known:
        return row(number, name="Model", quality_metrics=quality)
    return row(
        number,
        name="Model",
        quality_metrics={**quality, "overall_score": 4, "final_training_loss": 1, "perplexity": 2},
        training_summary={"total_cost": 3, "training_duration_hours": 4},
        configuration={"files": {"a": {"size": 5}}},
        artifacts={"a": "path"},
    )


def plans(db: sqlite3.Connection, statements: list[str]) -> list[str]:
    return [
        step["detail"]
        for statement in statements
        if statement.startswith("SELECT")
        for step in db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    ]


@pytest.mark.parametrize("filters", [{}, {"convergences": frozenset({"good"})}])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sort", list(Sort))
def test_every_order_is_read_from_its_index_and_never_sorted(
    db: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
    sort: Sort,
    reverse: bool,
    filters: dict[str, Any],
) -> None:
    monkeypatch.setattr(keyset, "FEW_MATCHES", 0)
    monkeypatch.setattr(keyset, "MOST_COUNTED", 0)
    put(db, *(same_figures(n, known=n % 4 > 0) for n in range(40)))
    listed = ModelList(db, ModelQuery(sort=sort, reverse=reverse, **filters))
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    for offset in (0, 10, 20, 30):  # from the top, then each after the one before, then the end
        assert len(listed.window(offset, 10)) == 10
    assert len(listed.window(5, 5)) == 5  # before one that is known
    listed.position(row(17)["id"])
    db.set_trace_callback(None)
    steps = [step for step in plans(db, statements) if " l" in step or "TEMP" in step]
    assert steps
    assert not [step for step in steps if "TEMP B-TREE" in step]
    assert [step for step in steps if step.startswith(("SCAN l", "SEARCH l"))]
    assert not [step for step in steps if step.startswith("SCAN l") and "INDEX" not in step]


values = st.one_of(st.none(), st.integers(1, 4))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(values, values, values, st.integers(1, 3)), max_size=40),
    st.sampled_from(list(Sort)),
    st.booleans(),
    st.integers(1, 9),
    st.sampled_from([None, 0, 10**9]),
)
def test_windows_read_in_any_direction_equal_the_sorted_list(
    rows: list[tuple[int | None, int | None, int | None, int]],
    sort: Sort,
    reverse: bool,
    size: int,
    few: int | None,
) -> None:
    """`few`: no filter, or a filter that matches all, read in either of the two ways."""
    with closing(memory()) as db, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyset, "MOST_COUNTED", 0)
        if few is not None:
            patch.setattr(keyset, "FEW_MATCHES", few)
        put(
            db,
            *(
                row(
                    number,
                    name=f"{'Aa'[number % 2]}{loss}",
                    created_at=f"2026-11-{day:02}",
                    quality_metrics={
                        "overall_score": stars,
                        "final_training_loss": loss,
                        "perplexity": loss,
                        "convergence_quality": "good",
                    },
                    training_summary={"total_cost": cost, "training_duration_hours": cost},
                )
                for number, (stars, loss, cost, day) in enumerate(rows)
            ),
        )
        query = ModelQuery(
            sort=sort,
            reverse=reverse,
            convergences=frozenset() if few is None else frozenset({"good"}),
        )
        expected = reference_order(db, sort, reverse)
        forwards, backwards = ModelList(db, query), ModelList(db, query)
        starts = range(0, len(rows), size)
        assert [n for start in starts for n in forwards.window(start, size)] == expected
        pages = [backwards.window(start, size) for start in reversed(starts)]
        assert [n for page in reversed(pages) for n in page] == expected
        jumps = [ModelList(db, query).window(start, size) for start in starts]
        assert [n for page in jumps for n in page] == expected
        ids = dict(tuple(found) for found in db.execute("SELECT n, id FROM models"))
        assert [forwards.position(ids[n]) for n in expected] == list(range(len(rows)))


def reference_order(db: sqlite3.Connection, sort: Sort, reverse: bool) -> list[int]:
    """By Python's own sort, from the least important key to the first."""
    column, descending = {
        Sort.CREATED: ("created_at", True),
        Sort.QUALITY: ("stars", True),
        Sort.NAME: ("name", False),
        Sort.COST: ("cost", True),
        Sort.LOSS: ("final_loss", False),
        Sort.DURATION: ("duration_hours", True),
        Sort.SIZE: ("size", True),
        Sort.PERPLEXITY: ("perplexity", False),
    }[sort]
    found = [dict(entry) for entry in db.execute("SELECT * FROM models ORDER BY n")]
    found.sort(key=lambda entry: -entry["created_at"])
    known = [entry for entry in found if entry[column] is not None]
    known.sort(
        key=lambda entry: entry[column].lower() if sort is Sort.NAME else entry[column],
        reverse=descending is not reverse,
    )
    return [entry["n"] for entry in [*known, *(e for e in found if e[column] is None)]]


texts = st.text(alphabet="abAB12éÉüß-_.+% ", max_size=12)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=6), texts)
def test_a_search_equals_reading_every_text(rows: list[tuple[str, str, str]], search: str) -> None:
    with closing(memory()) as db:
        for number, (name, dataset, description) in enumerate(rows):
            with transaction(db):
                records.put_datasets(db, [{"id": f"d{number}", "name": dataset}])
            put(db, row(number, name=name, dataset_id=f"d{number}", description=description))
        stored = db.execute(
            "SELECT m.id, m.name, d.name, m.base_model, m.description FROM models m"
            " LEFT JOIN datasets d ON d.id = m.dataset_id"
        ).fetchall()
        expected = {entry[0] for entry in stored if is_found(search, [t or "" for t in entry[1:]])}
        found = models.select_models(db, ModelQuery(search=search), offset=0, limit=99)
        assert {model.id for model in found} == expected


def is_found(search: str, texts: list[str]) -> bool:
    """Each word begins a run of words of one of the texts; signs alone occur as they are."""
    for word in search.split():
        wanted = tokens(word)
        if wanted:
            if not any(begins(wanted, tokens(text)) for text in texts):
                return False
        elif not any(word.lower() in text.lower() for text in texts):
            return False
    return True


def begins(wanted: list[str], have: list[str]) -> bool:
    *whole, last = wanted
    return any(
        have[start : start + len(whole)] == whole and have[start + len(whole)].startswith(last)
        for start in range(len(have) - len(whole))
    )


def tokens(text: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", plain.lower())


def test_a_search_ignores_accents_and_case(db: sqlite3.Connection) -> None:
    put(db, row(1, name="Énergie Modèle"))
    for search in ("energie", "ÉNERGIE", "mode", "énergie modele"):
        assert names(db, search=search) == {"Énergie Modèle"}
    assert names(db, search="nergie") == set()


def test_a_search_follows_a_renamed_dataset(db: sqlite3.Connection) -> None:
    put(db, row(1), row(2, dataset_id="d2"))
    assert names(db, search="support") == {"Model 1"}
    with transaction(db):
        records.put_datasets(db, [{"id": "d1", "name": "Renamed"}])
    assert names(db, search="support") == set()
    assert names(db, search="renamed") == {"Model 1"}


def test_a_search_follows_a_changed_and_a_deleted_model(db: sqlite3.Connection) -> None:
    put(db, row(1), row(2))
    put(db, row(1, name="Quite new", dataset_id="d2"))
    assert names(db, search="new other") == {"Quite new"}
    assert names(db, search="model") == {"Model 2"}
    with transaction(db):
        models.delete_models(db, [row(1)["id"]])
    assert names(db, search="new") == set()
    put(db, row(3, name="Quite third"))
    assert names(db, search="quite") == {"Quite third"}


def test_a_search_sees_what_another_process_wrote(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as writer, closing(open_cache(path)) as reader:
        put(writer, row(1))
        assert names(reader, search="model") == {"Model 1"}
        put(writer, row(2))
        assert names(reader, search="model") == {"Model 1", "Model 2"}


def test_without_the_word_index_a_search_reads_the_texts(
    without_word_index: sqlite3.Connection,
) -> None:
    db = without_word_index
    put(db, row(1, description="about %"), row(2, dataset_id="d2"))
    assert names(db, search="support MODEL") == {"Model 1"}
    assert names(db, search="%") == {"Model 1"}
    assert names(db, search="other", convergences=frozenset({"unknown"})) == {"Model 2"}


def test_two_lists_on_one_connection_do_not_mix(db: sqlite3.Connection) -> None:
    put(db, row(1), row(2, dataset_id="d2"))
    first = ModelList(db, ModelQuery(search="support"))
    second = ModelList(db, ModelQuery(search="other"))
    assert first.window(0, 9) != second.window(0, 9)
    assert [len(first.window(0, 9)), len(second.window(0, 9))] == [1, 1]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"preset": "balanced"}, {"Model 1"}),
        ({"base_model": "Qwen"}, {"Model 2"}),
        ({"dataset": "d2"}, {"Model 3"}),
        ({"dataset": "Other"}, {"Model 3"}),
        ({"downloaded": True}, {"Model 2"}),
        ({"downloaded": False}, {"Model 1", "Model 3", "Model 4"}),
        ({"created_from": datetime(2026, 11, 3, tzinfo=UTC)}, {"Model 2", "Model 3"}),
        ({"created_before": datetime(2026, 11, 3, tzinfo=UTC)}, {"Model 1"}),
        ({"min_stars": 3}, {"Model 1"}),
        ({"min_stars": 3, "preset": "none"}, set()),
        ({"search": "model", "preset": "balanced", "min_stars": 3}, {"Model 1"}),
        ({"search": "\x1b"}, {"Model 1", "Model 2", "Model 3", "Model 4"}),
    ],
)
def test_each_filter_keeps_the_models_that_it_names(
    db: sqlite3.Connection, filters: dict[str, Any], expected: set[str]
) -> None:
    put(
        db,
        row(1, configuration={"preset_id": "balanced"}, quality_metrics={"overall_score": 3}),
        row(2, configuration={"hyperparameters": {"base_model": "Qwen"}}),
        row(3, dataset_id="d2"),
        row(4, created_at=None),
    )
    with transaction(db):
        put_downloaded(db, row(2)["id"], Path("models"))
    assert names(db, **filters) == expected
    assert models.count_models(db, ModelQuery(**filters)) == len(expected)


def test_facets_count_every_value(db: sqlite3.Connection) -> None:
    put(db, row(1), row(2, configuration={"preset_id": "balanced"}), row(3, dataset_id="d2"))
    facets = facet_counts(db)
    assert list(facets.datasets.items()) == [("Support mails", 2), ("Other", 1)]
    assert facets.presets == {None: 2, "balanced": 1}
    assert facets.convergences == {"unknown": 3}
    assert facets.downloaded == 0


values_of_facets = st.tuples(
    st.sampled_from(["d1", "d2", None]),
    st.sampled_from(["good", None]),
    st.sampled_from([1, 5, None]),
    st.sampled_from(["balanced", None]),
    st.sampled_from(["Qwen", None]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.none() | values_of_facets), max_size=20))
def test_facets_and_length_follow_every_new_changed_and_deleted_model(
    changes: list[tuple[int, tuple[Any, ...] | None]],
) -> None:
    with closing(memory()) as db:
        with transaction(db):
            records.put_datasets(db, [{"id": "d1", "name": "One"}, {"id": "d2", "name": "Two"}])
        kept: dict[int, tuple[Any, ...]] = {}
        for number, facet_values in changes:
            if facet_values is None:
                kept.pop(number, None)
                with transaction(db):
                    models.delete_models(db, [row(number)["id"]])
            else:
                kept[number] = facet_values
                put(db, row_with(number, *facet_values))
            facets, columns_ = facet_counts(db), list(zip(*kept.values(), strict=True))
            datasets, convergences, stars, presets, base_models = columns_ or [()] * 5
            names_ = [{"d1": "One", "d2": "Two"}[d] for d in datasets if d]
            assert facets.datasets == Counter(names_)
            assert facets.convergences == Counter(c or "unknown" for c in convergences)
            assert facets.stars == Counter(stars)
            assert facets.presets == Counter(presets)
            assert facets.base_models == Counter(base_models)
            assert list(facets.stars.values()) == sorted(facets.stars.values(), reverse=True)
            assert models.count_models(db, ModelQuery()) == len(kept)


def row_with(
    number: int,
    dataset: str | None,
    convergence: str | None,
    stars: int | None,
    preset: str | None,
    base_model: str | None,
) -> dict[str, Any]:
    return row(
        number,
        dataset_id=dataset,
        quality_metrics={"convergence_quality": convergence, "overall_score": stars},
        configuration={"preset_id": preset, "hyperparameters": {"base_model": base_model}},
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


def objects(*keys: str) -> st.SearchStrategy[Any]:
    """An object with some of the keys, or anything else."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(keys, json_values)) | json_values


odd_rows = st.fixed_dictionaries(
    {"id": st.text(max_size=8)},
    optional={
        **dict.fromkeys(("name", "version", "status", "dataset_id", "job_id"), json_values),
        "description": json_values | st.text(alphabet="a \n\x1b", max_size=9),
        "quality_metrics": objects(
            "overall_score", "convergence_quality", "final_training_loss", "perplexity"
        ),
        "training_summary": objects("final_loss", "total_cost", "training_duration_hours"),
        "configuration": st.fixed_dictionaries(
            {},
            optional={
                "preset_id": json_values,
                "hyperparameters": objects("base_model", "model_name"),
                "files": st.dictionaries(st.sampled_from("ab"), objects("size")),
            },
        ),
        "artifacts": st.dictionaries(st.sampled_from("ab"), json_values) | json_values,
        "job": objects("preset_id"),
        "created_at": st.sampled_from(["2026-11-01", "2026-11-01T01:02:03.4+02:00", "", None, 7]),
        "updated_at": st.sampled_from(["2026-11-01", "2026-11-02 10:00:00Z", "soon", None]),
    },
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(odd_rows)
def test_the_list_and_the_model_agree_on_any_row(odd: dict[str, Any]) -> None:
    model = Model.from_row(odd)
    flat = dict(zip(COLUMNS, columns(odd), strict=True))
    loss = model.quality.final_training_loss
    assert flat["name"] == model.name
    assert flat["version"] == model.version
    assert flat["description"] == model.description
    assert flat["status"] == model.status
    assert (flat["dataset_id"], flat["job_id"]) == (model.dataset_id, model.job_id)
    assert flat["preset_id"] == model.preset_id
    assert flat["base_model"] == model.hyperparameters.base_model
    assert flat["stars"] == model.quality.stars
    assert flat["convergence"] == model.quality.convergence
    assert flat["final_loss"] == (model.training.final_loss if loss is None else loss)
    assert flat["perplexity"] == model.quality.perplexity
    assert flat["cost"] == model.training.total_cost
    assert flat["duration_hours"] == model.training.duration_hours
    assert flat["size"] == model.size
    assert models.moment_of(int(str(flat["created_at"]))) == model.created_at
