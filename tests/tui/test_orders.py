"""The list can be sorted by every column; many models are sorted while keys go on."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.cache import sorted_models
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_existing, transaction
from lora_tui.cache.model_query import ModelQuery
from lora_tui.cache.sorted_models import SortedModels, sort_models
from lora_tui.screens import slow_order
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import Library

SIZE = (100, 24)


@pytest.fixture
def ranked(library: Library) -> Library:
    """37 models, whose ranks fall with their age but for the newest, which has none."""
    library.fill()
    with closing(open_existing(library.path, None)) as db, transaction(db, Topic.MODELS):
        db.execute("UPDATE model_values SET rank = 4 * n")
        db.execute("UPDATE model_values SET rank = NULL WHERE n = (SELECT min(n) FROM models)")
    return library


def ranks(app: LoraTuiApp) -> list[str]:
    return [line.split()[-1] for line in screen_text(app).splitlines()[2:5]]


def title(app: LoraTuiApp) -> str:
    return screen_text(app).splitlines()[0]


async def test_any_column_is_found_by_typing_sorted_by_shown_and_remembered(
    ranked: Library, open_app: Open, tmp_path: Path
) -> None:
    path = tmp_path / "views.json"
    app = open_app(views=path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("s", *"rank")
        assert "Rank                  highest first" in screen_text(app)
        assert "Perplexity" not in screen_text(app)
        await pilot.press("enter", "g")
        assert "Rank, highest first" in title(app)
        assert "↓Rank" in screen_text(app)
        assert ranks(app) == ["148", "144", "140"]
        await pilot.press("S", "G")
        assert "Rank, lowest first" in title(app)
        assert screen_text(app).splitlines()[-3].split()[-1] == "–"
        await pilot.press("enter", "left_square_bracket", "escape", "s", "j", "k", "q")
        assert "Rank, lowest first" in title(app)
    app = open_app(views=path)
    async with app.run_test(size=SIZE):
        assert "Rank, lowest first" in title(app)
        assert ranks(app) == ["8", "12", "16"]


async def test_many_models_are_sorted_in_a_thread_and_escape_or_another_order_cancels_it(
    ranked: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_models, "QUICKLY_SORTED", 5)
    may_go_on = threading.Event()

    def slowly(db: sqlite3.Connection, query: ModelQuery) -> SortedModels:
        assert may_go_on.wait(60)
        return sort_models(db, query)

    monkeypatch.setattr(slow_order, "sort_models", slowly)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("s", *"rank", "enter")
        assert "sorting 37 models by rank…" in title(app)
        assert "Date↓" in screen_text(app)
        await pilot.press("j", "space")
        assert "1 marked" in screen_text(app)
        await pilot.press("escape")
        assert "sorting" not in title(app)
        assert "Date, newest first" in title(app)
        assert "1 marked" in screen_text(app)
        await pilot.press("s", *"rank", "enter", "s", *"cost", "enter")
        assert "Cost, most expensive first" in title(app)
        await pilot.press("s", *"rank", "enter")
        may_go_on.set()
        await until(pilot, lambda: "↓Rank" in screen_text(app))
        assert "sorting" not in title(app)
        await pilot.press("g")
        assert ranks(app) == ["148", "144", "140"]
        may_go_on.clear()
        with closing(open_existing(ranked.path, None)) as db, transaction(db, Topic.MODELS):
            db.execute("UPDATE model_values SET rank = 1000 WHERE rank = 8")
        app.poll_cache()
        await pilot.pause()
        assert ranks(app) == ["148", "144", "140"]  # the list stays until it is sorted again
        await pilot.press("s", *"alpha", "enter")
        assert "sorting 37 models by alpha…" in title(app)
        await pilot.press("escape")  # the order of before, of the cache as it is now
        may_go_on.set()
        await until(pilot, lambda: ranks(app)[0] == "1000")


async def test_a_cancelled_sort_ends_at_once_without_a_word(
    ranked: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_models, "QUICKLY_SORTED", 5)
    begun, ended = threading.Event(), threading.Event()

    def endless(db: sqlite3.Connection, query: ModelQuery) -> SortedModels:
        begun.set()
        try:
            numbers = "WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n FROM c)"
            db.execute(f"{numbers} SELECT max(n) FROM c").fetchone()
        finally:
            ended.set()
        return sort_models(db, query)

    monkeypatch.setattr(slow_order, "sort_models", endless)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("s", *"rank", "enter")
        await until(pilot, begun.is_set)
        await pilot.pause()
        await pilot.press("escape")
        await until(pilot, ended.is_set)
        assert "Date, newest first" in title(app)
        assert not toasts(app)
