"""What Effect compares: the values of the columns, unknown ones as None, of all models or many."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache.connection import open_cache
from lora_tui.cache.effect_runs import question_of, read_runs, variable_of
from lora_tui.cache.model_columns import MODEL_COLUMNS, Kind, column_of
from lora_tui.cache.model_query import ModelQuery, Sort
from lora_tui.reports.effect import effect_of
from lora_tui.reports.effect_table import effect_data
from lora_tui.widgets.charts.effect_points import points_of
from lora_tui.widgets.charts.scatter_plot import draw_scatter
from tests.tui.library import HOSTILE_NAMES, NOW, Library, model_row


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    library = Library(tmp_path / "cache.sqlite3")
    library.fill(12)
    library.put_models(model_row(20, quality_metrics={}, training_summary={}, configuration={}))
    library.put_models(*(model_row(30 + n, name=name) for n, name in enumerate(HOSTILE_NAMES)))
    return open_cache(library.path)


def test_runs_have_their_values_and_what_is_unknown_is_none(db: sqlite3.Connection) -> None:
    found = read_runs(db, ModelQuery(sort=Sort.NAME), question_of("preset", "cost", "tags"))
    assert found.total == len(found.runs) == len(set(found.ids)) == 21
    bare = found.runs[found.ids.index(model_row(20)["id"])]
    assert (bare.x, bare.y, bare.by, bare.base_model) == (None, None, "none", None)
    full = found.runs[found.ids.index(model_row(3)["id"])]
    assert (full.x, full.y, full.is_validated) == ("balanced", 6.11, True)


def test_of_a_very_long_list_pieces_from_its_beginning_to_its_end_are_read(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.cache.effect_runs.PIECES", 5)
    every = read_runs(db, ModelQuery(), question_of("preset", "cost"))
    found = read_runs(db, ModelQuery(), question_of("preset", "cost"), most=10)
    assert (found.total, len(found.runs), len(set(found.ids))) == (21, 10, 10)
    places = [every.ids.index(model_id) for model_id in found.ids]
    assert places == [0, 1, 4, 5, 8, 9, 12, 13, 16, 17]


@pytest.mark.parametrize("x", [column.name for column in MODEL_COLUMNS])
def test_every_column_can_be_compared_and_drawn(db: sqlite3.Connection, x: str) -> None:
    for y in ("created_at", "cost", "size"):
        if x == y:
            continue
        question = question_of(x, y, "name")
        found = read_runs(db, ModelQuery(), question)
        across, up = variable_of(question.x), variable_of(question.y)
        by = variable_of(column_of("name"))
        effect = effect_of(found.runs, across, up, by)
        texts: list[Any] = [effect.sentence, *(line.label for line in effect.lines)]
        points = points_of(found.runs, across, up, by)
        plot = draw_scatter(points.placed, 80, 20)
        texts += [part for line in (*plot.legend, *plot.rows) for part, _ in line]
        assert not [text for text in texts if "\x1b" in text or "\u202e" in text]
        assert effect_data(effect)["runs"] == effect.runs


def test_dates_are_dates_in_every_form(db: sqlite3.Connection) -> None:
    question = question_of("preset", "created_at")
    variable = variable_of(question.y)
    assert question.y.kind is Kind.MOMENT
    found = read_runs(db, ModelQuery(), question)
    effect = effect_of(found.runs, variable_of(question.x), variable)
    greatest = effect_data(effect)["table"][0]["greatest"]
    assert greatest.startswith(f"{NOW:%Y-%m-%d}T")
    assert variable.text(effect.lines[0].greatest) == f"{NOW:%Y-%m-%d}"
