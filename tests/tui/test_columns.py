"""The table shows the columns that one wants, as far as there is room."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.app import LoraTuiApp
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_existing, transaction
from lora_tui.cache.model_columns import MODEL_COLUMNS as REGISTRY
from lora_tui.cache.models import Sort
from lora_tui.widgets.model_columns import COLUMNS, MODEL_COLUMNS
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import Library

KEYS = [column.key for column in COLUMNS]


def heading(app: LoraTuiApp) -> str:
    return screen_text(app).splitlines()[1]


async def test_columns_are_chosen_seen_at_once_and_remembered(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill()
    path = tmp_path / "views.json"
    app = open_app(views=path)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "Converg." in heading(app)
        assert "Perpl." not in heading(app)
        await pilot.press("C", "j", "space", "j", "space", "j", "j", "space")
        assert "[x] Perplexity" in screen_text(app)
        await pilot.press("enter")
        assert "Converg." not in heading(app)
        assert "Curve" not in heading(app)
        assert "Perpl." in heading(app)
    app = open_app(views=path)
    async with app.run_test(size=(80, 24)):
        assert "Perpl." in heading(app)


@pytest.mark.slow
async def test_escape_discards_the_choice_and_x_resets_it(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        before = heading(app)
        await pilot.press("C", "space", "escape")
        assert heading(app) == before
        await pilot.press("C", "space", "enter")
        assert "Rating" not in heading(app)
        await pilot.press("C", "x", "enter")
        assert heading(app) == before


async def test_the_column_that_the_list_is_sorted_by_is_shown_on_any_width(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("s", *"jjjjjj", "enter")
        assert "Size" in heading(app)
        await pilot.resize_terminal(40, 12)
        await until(pilot, lambda: app.size.width == 40)
        assert "Size" in heading(app)


@pytest.mark.parametrize("width", [36, 56, 76, 96, 116, 156, 196])
def test_a_name_gets_two_fifths_of_the_line_before_more_columns(width: int) -> None:
    placed = {place.column.key: place for place in MODEL_COLUMNS.layout(width)}
    assert placed["name"].width >= min(44, width * 40 // 100, 18 if width < 56 else width)


@given(st.integers(20, 300), st.sets(st.sampled_from(KEYS)), st.sampled_from([None, *Sort]))
def test_any_choice_stays_within_the_line_and_in_order(
    width: int, chosen: set[str], sort: Sort | None
) -> None:
    end, keys = 0, []
    for placed in MODEL_COLUMNS.layout(width, chosen, sort=sort):
        assert placed.left >= end
        assert placed.width > 0
        end = placed.left + placed.width + 1
        keys.append(placed.column.key)
    assert end - 1 <= width
    assert keys == [key for key in KEYS if key in keys]
    assert keys[0] == "name"
    assert not chosen or set(keys) <= chosen | {"name"}


@given(st.lists(st.one_of(st.sampled_from(KEYS), st.text(), st.none(), st.integers())))
def test_keys_that_are_no_columns_are_ignored(keys: list[object]) -> None:
    known = MODEL_COLUMNS.valid_keys(keys)
    assert set(known) == set(keys) & set(KEYS)
    assert list(known) == [key for key in KEYS if key in known]


async def test_every_column_of_the_registry_can_be_found_by_typing_and_is_drawn(
    library: Library, open_app: Open
) -> None:
    library.fill()
    with closing(open_existing(library.path, None)) as db, transaction(db, Topic.MODELS):
        db.execute("UPDATE model_values SET rank = 4 * n, best_validation = NULL WHERE n > 1")
    app = open_app()
    async with app.run_test(size=(100, 24)) as pilot:
        await pilot.press("C", *"rank", "space")
        assert "[x] Rank: rank of the adapter" in screen_text(app)
        await pilot.press(*["backspace"] * 4, *"bestval", "space")
        assert "[x] Best val.: lowest validation loss of the run" in screen_text(app)
        await pilot.press("enter")
        assert heading(app).split()[-2:] == ["val.", "Rank"]
        assert screen_text(app).splitlines()[4].split()[-2:] == ["–", "12"]
        await pilot.press("C", "x", "enter")
        assert "Rank" not in heading(app)


def test_all_columns_together_stay_within_the_line_and_the_condition_s_come_first() -> None:
    keys = [column.key for column in MODEL_COLUMNS.all_columns]
    assert len(set(keys)) == len(keys)
    assert {column.name for column in REGISTRY} == set(keys) - {"curve"}
    for width in (40, 80, 120, 200, 400):
        placed = MODEL_COLUMNS.layout(width, keys)
        assert placed[-1].left + placed[-1].width <= width
        shown = [each.column.key for each in MODEL_COLUMNS.layout(width, needed=["rank", "gpu"])]
        assert {"rank"} <= set(shown)
    assert "alpha" in [each.column.key for each in MODEL_COLUMNS.layout(80, sort="alpha")]
    assert MODEL_COLUMNS.valid_keys(["verdict", "rank", "hours"]) == (
        *("convergence", "duration_hours", "rank"),
    )
